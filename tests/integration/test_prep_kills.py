"""data_prep killed again and again: nothing half under a final name, and in the end what it would have been.

Each run is a fork of this process, which has imported everything, so that it starts in no time; it is killed
at a random moment by SIGKILL, alone or with all its worker processes. The stages, nodes, datasets and the
configuration are the real ones (:mod:`tests.preparing`).
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import preparing

STAGES = ("screen", "resize", "edges", "captions", "text_boxes", "glyphs")
TARGETS: tuple[Mapping[str, Mapping[str, Any]], ...] = (
    {},
    {"edges": {"low": 20}, "captions": {"prefix": "a skin of"}, "screen": {"min_side_px": 33}},
)
"""Runs go for one of these until it is reached, then for the other, over the files of the first."""


def start(data: Path, target: Mapping[str, Mapping[str, Any]]) -> int:
    """Run data_prep in a fork that leads a process group of its own; return its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        log = (data.parent / "log").open("w", buffering=1)
        sys.stdout = sys.stderr = log
        logging.basicConfig(level=logging.INFO, stream=log, force=True)
        cv2.setNumThreads(1)
        preparing.run_data_prep(data, target)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def finish(data: Path, target: Mapping[str, Mapping[str, Any]]) -> float:
    """Run to the end; return the seconds it took."""
    begun = time.monotonic()
    _, status = os.waitpid(start(data, target), 0)
    assert status == 0, (data.parent / "log").read_text()[-3000:]
    return time.monotonic() - begun


def kill_after(seconds: float, process: int, *, with_workers: bool) -> bool:
    """Kill a run; return whether it had come to its end by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            assert status == 0
            return True
        time.sleep(0.002)
    (os.killpg if with_workers else os.kill)(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return status == 0


def tree(data: Path) -> dict[str, str]:
    """Return the digest of everything that a run made, but for locks and what remembers files' times."""
    return {
        path.relative_to(data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data.rglob("*"))
        if path.is_file()
        and path.name not in {".raw_digests.jsonl", ".summary.json"}
        and not path.name.endswith(".lock")
        and not path.is_relative_to(data / "01_raw")
        and not path.is_relative_to(data / ".lineage")  # names runs and their times
    }


def check_nothing_is_half(data: Path) -> None:
    """Every file under a final name is whole, and what a list says of it."""
    for path in data.rglob("*.jsonl"):
        if path.name == "_journal.jsonl":
            check_items(path.parent, last_lines(path))
        elif path.name == "_manifest.jsonl":
            lines = last_lines(path)
            check_items(path.parent, lines)
            assert all(
                (path.parent / f"{line['id']}.png").exists()
                for line in lines.values()
                if "size_bytes" in line
            )
        elif not any(part.startswith(".") for part in path.relative_to(data).parts):
            for line in path.read_bytes().splitlines():
                json.loads(line)
    for marker in data.glob("*/*/_manifest.json"):
        if not marker.parent.name.startswith("."):
            for name, (sha256, _) in json.loads(marker.read_bytes())["files"].items():
                assert hashlib.sha256((marker.parent / name).read_bytes()).hexdigest() == sha256, name
    assert not [
        path for path in data.glob("05_model_input/train_dataset/") if not (path / "_manifest.json").exists()
    ]
    for page in data.glob("08_reporting/*.html"):
        assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")


def last_lines(path: Path) -> dict[str, dict[str, Any]]:
    """Return the last whole line of each id."""
    lines = (line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n"))
    return {line["id"]: line for line in map(json.loads, lines)}


def check_items(folder: Path, lines: Mapping[str, Mapping[str, Any]]) -> None:
    """Every picture can be decoded; one that the list records is the one that was recorded."""
    for path in folder.rglob("[!.]*.png"):
        content = path.read_bytes()
        item_id = path.relative_to(folder).with_suffix("").as_posix()
        assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) is not None, path
        recorded = lines.get(item_id, {}).get("sha256")
        assert recorded in (None, hashlib.sha256(content).hexdigest()), path


def draw_raw(folder: Path, num: int) -> None:
    """Draw skins, some of them bad or repeated."""
    for seed in range(num):
        preparing.draw_picture(folder / f"{seed % 3}" / f"skin_{seed:04}.png", seed)
    (folder / "0" / "cut.png").write_bytes((folder / "0" / "skin_0000.png").read_bytes()[:-30])
    (folder / "1" / "again.png").write_bytes((folder / "1" / "skin_0001.png").read_bytes())
    (folder / "2" / "page.jpg").write_text("<!doctype html>")


ALONE = "TEST_PREP_KILLS_ALONE"
"""Set in the interpreter that a test of this file has to itself."""


@pytest.fixture(autouse=True)
def alone(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Have the test run in an interpreter of its own: a fork of one in which others left threads may hang."""
    if ALONE in os.environ:
        return
    command = [sys.executable, "-m", "pytest", f"{__file__}::{request.node.name}", "-q", "-m", ""]
    own = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'alone'}"]
    environment = {**os.environ, ALONE: "1"}
    done = subprocess.run([*command, *own], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    pytest.skip("ran in an interpreter of its own, and passed")


@pytest.fixture
def kill_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, int]]:
    """Kill runs and compare what they end in with what was never killed."""

    def kill(num_kills: int, num_skins: int, seed: int) -> dict[str, int]:
        preparing.use_stand_ins(monkeypatch)
        chance = random.Random(seed)  # noqa: S311
        expected, seconds = [], 0.0
        for number, target in enumerate(TARGETS):
            data = tmp_path / f"whole_{number}" / "data"
            draw_raw(data / "01_raw", num_skins)
            seconds = finish(data, target)
            expected.append(tree(data))
        assert expected[0] != expected[1]
        data = tmp_path / "killed" / "data"
        draw_raw(data / "01_raw", num_skins)
        killed_in: dict[str, int] = {}
        goal = num_killed = num_ends = 0
        while num_killed < num_kills:
            workers = {chance.choice(STAGES): {"num_workers": 2}} if chance.random() < 0.3 else {}
            target = {
                stage: {**TARGETS[goal].get(stage, {}), **workers.get(stage, {})}
                for stage in {*TARGETS[goal], *workers}
            }
            process = start(data, target)
            ended = kill_after(
                chance.uniform(0.01, 0.6) * seconds, process, with_workers=chance.random() < 0.5
            )
            check_nothing_is_half(data)
            if not ended:
                num_killed += 1
                if num_killed % 20 == 0:
                    logging.getLogger(__name__).warning("%d kills, %s", num_killed, killed_in)
                where = stage_under_way(tmp_path / "killed" / "log")
                killed_in[where] = killed_in.get(where, 0) + 1
                continue
            num_ends += 1
            assert tree(data) == expected[goal]
            goal = 1 - goal
        finish(data, TARGETS[goal])
        assert tree(data) == expected[goal]
        return {"kills": num_killed, "ends": num_ends, **killed_in}

    return kill


def stage_under_way(log: Path) -> str:
    """Return the node that a killed run had begun last."""
    begun = [line for line in io.StringIO(log.read_text(errors="replace")) if "Running node" in line]
    return begun[-1].split("Running node:")[1].split()[0].rstrip(":") if begun else "before the first node"


def test_some_kills_lose_nothing(kill_again_and_again: Callable[..., dict[str, int]]) -> None:
    assert kill_again_and_again(6, 12, seed=1)["kills"] == 6


@pytest.mark.slow
def test_two_hundred_kills_lose_nothing(
    kill_again_and_again: Callable[..., dict[str, int]], record_property: Callable[[str, object], None]
) -> None:
    counts = kill_again_and_again(200, 300, seed=0)
    record_property("killed_in", counts)
    logging.getLogger(__name__).warning("%s", counts)
    assert counts["kills"] == 200
    assert counts["ends"] >= 2
    assert (
        sum(name in counts for name in ("screen_skins", "resize_skins", "trace_edges", "publish_dataset"))
        >= 3
    )
