"""Ray clusters of several nodes on this machine, and runs in processes that tests can kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

PROJECT = Path(__file__).parents[2]


class Cluster:
    """A Ray cluster; each node is a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.nodes: list[subprocess.Popen[str]] = []
        self._start("--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")

    def add_node(self, num_cpus: int) -> None:
        self._start(f"--address={self.address}", f"--num-cpus={num_cpus}")

    def _start(self, *options: str) -> None:
        command = [
            sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", *options,
            # apart by their addresses, so that a run joins the head and not a node that is to be killed
            f"--node-ip-address=127.0.0.{len(self.nodes) + 1}", "--min-worker-port=0", "--max-worker-port=0",
            "--object-store-memory=100000000", "--block",
        ]  # fmt: skip
        log = self.folder / f"node_{len(self.nodes)}.log"
        with log.open("w") as file:
            node = subprocess.Popen(
                command, stdout=file, stderr=file, env=environment(), start_new_session=True
            )
        self.nodes.append(node)
        wait_until(lambda: "Ray runtime started" in log.read_text(), node)

    def kill(self, number: int) -> None:
        """End a node and all its processes, as a power cut does."""
        node = psutil.Process(self.nodes[number].pid)
        for process in [node, *node.children(recursive=True)]:
            process.kill()
        self.nodes[number].wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A head that makes nothing, and two nodes with two processors each."""
    cluster = Cluster(tmp_path)
    try:
        cluster.add_node(num_cpus=2)
        cluster.add_node(num_cpus=2)
        yield cluster
    finally:
        for number, node in enumerate(cluster.nodes):
            if node.poll() is None:
                cluster.kill(number)


def environment() -> dict[str, str]:
    """Return what processes of these tests need around them."""
    path = os.pathsep.join([str(PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    quiet = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "COLUMNS": "1000"}
    return {**os.environ, "PYTHONPATH": path, **quiet}


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Wait for a condition while a process lives."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Saves:
    """Starts processes that bring folders of 40 small items up to date."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"

    def options(self, target: str, engine: dict, plan: dict | None = None, **worker: object) -> dict:
        """Describe a save; its worker notes each item that it makes, and its process, in the log."""
        return {
            "source": str(self.folder / "source"),
            "target": str(self.folder / target),
            "log": str(self.log),
            "engine": engine,
            "plan": {"num_workers": 2, **(plan or {})},
            "worker": worker,
        }

    def start(
        self, target: str, engine: dict, plan: dict | None = None, **worker: object
    ) -> subprocess.Popen[bytes]:
        """Start a save in a process of its own."""
        options = self.options(target, engine, plan, **worker)
        command = [sys.executable, "-m", "tests.engines.save_items", json.dumps(options)]
        output = (self.folder / f"{target}.output").open("w")
        with output:
            return subprocess.Popen(command, cwd=PROJECT, env=environment(), stdout=output, stderr=output)

    def finish(self, process: subprocess.Popen, target: str) -> str:
        """Wait for a save to end well; return what it said."""
        code = process.wait(timeout=300)
        said = (self.folder / f"{target}.output").read_text()
        assert code == 0, said
        return said

    def num_stored(self, target: str) -> int:
        return len(list((self.folder / target).glob("*.png")))

    def made(self) -> list[str]:
        """Return the ids in the log."""
        return [line.split()[0] for line in self.log.read_text().splitlines()]

    def processes(self) -> list[int]:
        """Return the processes in the log."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [int(line.split()[1]) for line in lines]

    def tree(self, target: str) -> dict[str, bytes]:
        """Return the content of every file but the lock."""
        folder = self.folder / target
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in {".lock", ".summary.json"}
        }


@pytest.fixture
def large_saves(tmp_path: Path, make_items: Callable[..., object]) -> Saves:
    """Twenty items whose pictures are too large for Ray to send with its messages: they lie on their node."""
    make_items(*(f"item_{number:02}" for number in range(20)), size_px=(1200, 1000))
    return Saves(tmp_path)


@pytest.fixture
def saves(tmp_path: Path, make_items: Callable[..., object]) -> Saves:
    make_items(*(f"item_{number:02}" for number in range(40)), "bad_1")
    return Saves(tmp_path)
