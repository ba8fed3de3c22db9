"""The engine of one machine: every task once, errors that name their items, few batches at a time."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest

from skin_pipeline.engines import LocalEngine, Made
from skin_pipeline.errors import InputError, SkinPipelineError
from skin_pipeline.items import Output, Plan, Rejection
from tests import workers


def plan_of(items, worker=None, **fields):
    make_worker = functools.partial(workers.give, worker or workers.Thresholder())
    return Plan("threshold", make_worker, sources={"skin": items}, **fields)


def results_of(plan):
    results = {}
    LocalEngine().run(plan, plan.tasks(), lambda task, result: results.__setitem__(task.id, result))
    return results


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 1), (3, 1), (100, 1), (2, 2)])
def test_engine_makes_each_task_once(make_items, batch_size, num_workers):
    items = make_items("a", "b", "bad_c", "d", "e")
    plan = plan_of(items, batch_size=batch_size, num_workers=num_workers)
    results = results_of(plan)
    assert set(results) == set(items)
    assert results["bad_c"] == Rejection("it is bad")
    expected = items["d"].load_image().mean(axis=2) > 128
    made = results["d"]
    assert isinstance(made, Made)
    picture = cv2.imdecode(np.frombuffer(made.content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(picture > 0, expected)
    assert made.record == {"share": expected.mean()}


def test_processes_build_their_worker_once(make_items, tmp_path):
    log = tmp_path / "log"
    items = make_items(*(f"item_{n:02}" for n in range(12)))
    results_of(plan_of(items, workers.Thresholder(log=log, delay_seconds=0.05), num_workers=2))
    processes = {line.split()[1] for line in log.read_text().splitlines()}
    assert len(processes) == 2


@pytest.mark.parametrize("num_workers", [1, 2])
def test_bug_in_a_worker_names_the_items(make_items, num_workers):
    plan = plan_of(make_items("a", "b"), workers.broken, num_workers=num_workers)
    with pytest.raises(RuntimeError, match=r"'threshold' failed on '[ab]': ZeroDivisionError: 1 tasks"):
        results_of(plan)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_mendable_error_keeps_its_kind_and_names_the_items(make_items, num_workers):
    items = make_items(*(f"item_{n}" for n in range(12)))
    plan = plan_of(items, workers.complaining, batch_size=6, num_workers=num_workers)
    with pytest.raises(InputError, match=r"'item_\d', .* and 2 more: the file is empty"):
        results_of(plan)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_error_in_loading_a_model_comes_back(make_items, num_workers):
    plan = Plan(
        "caption",
        workers.make_without_weights,
        sources={"skin": make_items("a", "b")},
        num_workers=num_workers,
    )
    with pytest.raises(InputError, match="there are no weights"):
        results_of(plan)


def test_death_of_a_process_is_explained(make_items):
    plan = plan_of(make_items("a", "b", "c"), workers.dying, num_workers=2)
    with pytest.raises(SkinPipelineError, match=r"worker process died.*Lower num_workers"):
        results_of(plan)


def test_engine_holds_few_batches_at_a_time(make_items, tmp_path):
    log = tmp_path / "log"
    items = make_items(*(f"item_{n:02}" for n in range(40)))
    plan = plan_of(items, workers.Thresholder(log=log), num_workers=2)
    num_reported = 0
    most_ahead = 0

    def on_result(_task, _result):
        nonlocal num_reported, most_ahead
        num_begun = len(log.read_text().splitlines())
        most_ahead = max(most_ahead, num_begun - num_reported)
        num_reported += 1

    LocalEngine().run(plan, plan.tasks(), on_result)
    assert num_reported == 40
    assert most_ahead <= 2 * 2 + 1


def test_record_that_is_not_json_is_refused(make_items):
    def worker(tasks):
        return [Output({"path": Path("x")}) for _ in tasks]

    with pytest.raises(RuntimeError, match="'a': TypeError: PosixPath is not JSON"):
        results_of(plan_of(make_items("a"), worker))
