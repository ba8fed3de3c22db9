"""The engine of a cluster: the same files as the local engine's, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from tests.engines import save_items
from tests.engines.conftest import wait_until

pytest.importorskip("ray", reason="pip install 'skin_pipeline[ray]'")
pytestmark = pytest.mark.slow

LOCAL = {"kind": "local"}
RAY = {"kind": "ray", "ray": {"address": "local"}}


def on(cluster, **settings):
    return {"kind": "ray", "ray": {"address": cluster.address, **settings}}


@pytest.fixture
def undisturbed(saves):
    """What the local engine leaves."""
    return leave_undisturbed(saves)


def leave_undisturbed(saves):
    save_items.main(saves.options("undisturbed", LOCAL, {"num_workers": 1}))
    saves.log.unlink()
    return saves.tree("undisturbed")


def test_files_are_those_of_the_local_engine(saves, undisturbed):
    said = saves.finish(saves.start("ray", RAY), "ray")
    assert saves.tree("ray") == undisturbed
    assert sorted(saves.made()) == sorted(set(saves.made()))
    assert "threshold: 2 workers on Ray (1 node, " in said
    assert "40 items, 0 reused, 41 made, 1 rejected" in said
    again = saves.finish(saves.start("ray", LOCAL), "ray")
    assert "41 reused, 0 made" in again


def test_killed_worker_loses_nothing(saves, undisturbed):
    process = saves.start("ray", RAY, delay_seconds=0.1)
    wait_until(lambda: saves.num_stored("ray") >= 8, process)
    os.kill(saves.processes()[-1], signal.SIGKILL)
    saves.finish(process, "ray")
    assert saves.tree("ray") == undisturbed
    assert len(set(saves.processes())) >= 3


@pytest.mark.parametrize("pictures", ["saves", "large_saves"])
def test_killed_node_loses_nothing(request, cluster, pictures):
    saves = request.getfixturevalue(pictures)
    undisturbed = leave_undisturbed(saves)
    process = saves.start("ray", on(cluster), {"num_workers": 4}, delay_seconds=1)
    wait_until(lambda: len(set(saves.processes())) == 4, process)
    before = set(saves.processes())
    cluster.kill(1)
    wait_until(lambda: sum(map(is_alive, before)) == 2, process)
    saves.finish(process, "ray")
    assert saves.tree("ray") == undisturbed


@pytest.mark.parametrize(("first", "second"), [(RAY, LOCAL), (LOCAL, RAY)])
def test_dead_driver_is_resumed_by_the_other_engine(saves, undisturbed, first, second):
    process = saves.start("ray", first, delay_seconds=0.1)
    wait_until(lambda: saves.num_stored("ray") >= 8, process)
    process.kill()
    process.wait()
    num_kept = saves.num_stored("ray")
    wait_until_gone(saves.processes())
    saves.log.unlink()
    saves.finish(saves.start("ray", second), "ray")
    assert saves.tree("ray") == undisturbed
    assert len(saves.made()) <= 41 - num_kept + 1


def is_alive(process):
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(processes, seconds=30):
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.1)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_of_ray_outlives_a_killed_run(saves, end):
    process = saves.start("ray", RAY, delay_seconds=0.1)
    wait_until(lambda: saves.num_stored("ray") >= 2, process)
    family = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    assert len(family) > 3
    process.send_signal(end)
    assert process.wait(timeout=300) != 0
    wait_until_gone(saves.processes())
    wait_until_gone(family, 180)  # Ray's agents try to reach a dead cluster for a minute before they end


def test_item_that_crashes_its_worker_each_time_is_named(saves, undisturbed):
    process = saves.start("ray", RAY, kind="Crasher", crash_at="item_30")
    assert process.wait(timeout=300) != 0
    said = (saves.folder / "ray.output").read_text()
    assert "the worker process died 3 times while making 'item_30'" in said
    assert saves.made().count("item_30") == 3
    assert saves.num_stored("ray") >= 8
    saves.log.unlink()
    saves.finish(saves.start("ray", RAY), "ray")
    assert saves.tree("ray") == undisturbed


def test_run_that_cannot_go_on_ends(saves, cluster):
    """The nodes with processors are gone: nothing can be made, and nobody would ever say so."""
    process = saves.start("ray", on(cluster, stall_seconds=30), {"num_workers": 4}, delay_seconds=1)
    wait_until(lambda: saves.num_stored("ray") >= 3, process)
    cluster.kill(1)
    cluster.kill(2)
    assert process.wait(timeout=300) != 0
    assert "Ray finished nothing for 30 s" in (saves.folder / "ray.output").read_text()


def test_worker_that_no_node_can_hold_is_refused(saves):
    process = saves.start("ray", {"kind": "ray", "ray": {"address": "local", "worker": {"num_gpus": 99}}})
    assert process.wait(timeout=300) != 0
    assert "has 1 CPU and 99 GPUs, which one worker takes" in (saves.folder / "ray.output").read_text()


def test_address_without_a_cluster_is_refused(saves):
    process = saves.start("ray", {"kind": "ray", "ray": {"address": "127.0.0.1:1"}})
    assert process.wait(timeout=300) != 0
    assert "Ray cannot work at address '127.0.0.1:1'" in (saves.folder / "ray.output").read_text()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("complaining", "Stage 'threshold', 'bad_1': the file is empty"),
        ("broken", "Stage 'threshold' failed on 'bad_1': ZeroDivisionError"),
    ],
)
def test_errors_read_as_those_of_the_local_engine(saves, kind, message):
    for name, engine in {"local": LOCAL, "ray": RAY}.items():
        process = saves.start(name, engine, {"num_workers": 1}, kind=kind)
        assert process.wait(timeout=300) != 0
        assert message in (saves.folder / f"{name}.output").read_text()
