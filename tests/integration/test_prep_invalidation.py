"""What data_prep makes again after a change, counted on the real pipeline: no more and no less than that."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from skin_pipeline.training.config import TrainParameters
from tests import preparing

NUM_SKINS = 9
STAGES = (
    "screened_skins", "resized_skins", "edge_maps", "captions", "text_boxes", "glyph_maps", "selected_skins",
)  # fmt: skip
COUNTS = re.compile(r"^(\w+): (\d+) items, (\d+) reused, (\d+) made, (\d+) rejected$")

Changed = Mapping[str, Mapping[str, Any]]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    preparing.use_stand_ins(monkeypatch)
    for seed in range(NUM_SKINS):
        preparing.draw_picture(tmp_path / "01_raw" / "mine" / f"skin_{seed}.png", seed)
    preparing.run_data_prep(tmp_path)
    return tmp_path


@pytest.fixture
def made_by(data: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., dict[str, int]]:
    """Run data_prep again; return how many items each stage made."""

    def run(changed: Changed | None = None) -> dict[str, int]:
        caplog.clear()
        with caplog.at_level(logging.INFO):
            preparing.run_data_prep(data, changed)
        found = [COUNTS.match(record.getMessage()) for record in caplog.records]
        return {match[1]: int(match[4]) for match in found if match}

    return run


def files(data: Path) -> dict[str, int]:
    """Return the time of the last change of everything that the stages and the training set consist of."""
    folders = [folder for layer in ("02*", "03*", "04*", "05*") for folder in data.glob(f"{layer}/*/")]
    return {
        path.relative_to(data).as_posix(): path.stat().st_mtime_ns
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_nothing_changed_nothing_made(data: Path, made_by: Callable[..., dict[str, int]]) -> None:
    before = files(data)
    assert made_by() == dict.fromkeys(STAGES, 0)
    assert files(data) == before


def test_one_picture_changed_is_one_item_in_each_stage(
    data: Path, made_by: Callable[..., dict[str, int]]
) -> None:
    before = files(data)
    preparing.draw_picture(data / "01_raw" / "mine" / "skin_4.png", seed=1000)
    assert made_by() == dict.fromkeys(STAGES, 1)
    after = files(data)
    changed = {name for name in before if after[name] != before[name] and name.startswith(("02", "03", "04"))}
    assert {Path(name).name for name in changed} == {"skin_4.png", "_manifest.jsonl"}


def test_a_picture_that_was_only_touched_changes_nothing(
    data: Path, made_by: Callable[..., dict[str, int]]
) -> None:
    path = data / "01_raw" / "mine" / "skin_4.png"
    path.write_bytes(path.read_bytes())
    assert made_by() == dict.fromkeys(STAGES, 0)


def test_a_canny_threshold_is_edges_and_what_follows(made_by: Callable[..., dict[str, int]]) -> None:
    follow = {"edge_maps", "glyph_maps", "selected_skins"}
    assert made_by({"edges": {"low": 20}}) == {stage: NUM_SKINS * (stage in follow) for stage in STAGES}


def test_a_caption_prefix_is_captions_and_what_follows(made_by: Callable[..., dict[str, int]]) -> None:
    made = made_by({"captions": {"prefix": "a board of"}})
    assert made == {stage: NUM_SKINS * (stage in {"captions", "selected_skins"}) for stage in STAGES}


def test_more_workers_make_nothing(made_by: Callable[..., dict[str, int]]) -> None:
    assert made_by({stage: {"num_workers": 2} for stage in ("screen", "resize", "edges")}) == dict.fromkeys(
        STAGES, 0
    )


def test_no_stage_takes_part_in_the_trainers_parameters() -> None:
    """A learning rate cannot make data out of date: no node of data_prep is given one."""
    asked = {name for node in preparing.create_pipeline().nodes for name in node.inputs}
    assert "learning_rate" in TrainParameters.model_fields
    assert "params:train" not in asked
    assert not {"learning_rate", "train"} & {name.removeprefix("params:") for name in asked}


def test_a_removed_skin_disappears_downstream_with_its_files(
    data: Path, made_by: Callable[..., dict[str, int]]
) -> None:
    assert [name for name in files(data) if "skin_7" in name]
    (data / "01_raw" / "mine" / "skin_7.png").unlink()
    assert made_by() == dict.fromkeys(STAGES, 0)
    assert [name for name in files(data) if "skin_7" in name] == []
    lists = [path for path in data.rglob("*.jsonl") if not path.name.startswith(".")]
    assert len(lists) >= len(STAGES)
    assert not [path for path in lists if "skin_7" in path.read_text(encoding="utf-8")]


def test_a_skin_that_comes_back_is_made_again_alone(
    data: Path, made_by: Callable[..., dict[str, int]]
) -> None:
    path = data / "01_raw" / "mine" / "skin_7.png"
    content = path.read_bytes()
    path.unlink()
    made_by()
    path.write_bytes(content)
    assert made_by() == dict.fromkeys(STAGES, 1)
