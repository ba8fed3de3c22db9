"""What travels to a cluster, and who is blamed when workers die; without Ray."""

from __future__ import annotations

import logging

import pytest

from skin_pipeline.engines.ray import (
    Answer,
    Ledger,
    _collected_warnings,
    _hand_over,
    _require_same_sources,
    split_into_chunks,
)
from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.items import Plan, Rejection, Task, source_digest
from tests import workers


@pytest.mark.parametrize(
    ("num_items", "batch_size", "num_workers", "sizes"),
    [
        (0, 1, 1, []),
        (3, 1, 2, [[1], [1], [1]]),
        (200, 1, 2, [[1] * 16] * 12 + [[1] * 8]),
        (40, 1, 2, [[1] * 5] * 8),
        (10, 4, 1, [[4], [4], [2]]),
        (100, 32, 1, [[32], [32], [32], [4]]),
    ],
)
def test_chunks_hold_whole_batches_and_leave_some_for_each_worker(
    make_items, num_items, batch_size, num_workers, sizes
):
    items = make_items(*(f"item_{number:03}" for number in range(num_items)))
    plan = Plan("t", workers.Namer, sources={"skin": items}, batch_size=batch_size, num_workers=num_workers)
    chunks = split_into_chunks(plan, plan.tasks())
    assert [[len(batch) for batch in chunk] for chunk in chunks] == sizes
    assert [task.id for chunk in chunks for batch in chunk for task in batch] == list(items)


def test_ledger_blames_the_batch_that_was_under_way():
    ledger = Ledger()
    assert ledger.start(7) == (1, {})
    assert ledger.start(7) == (2, {})  # the first time, nobody announced batches
    ledger.begin(7, 0)
    ledger.begin(7, 1)
    assert ledger.start(7) == (3, {1: 1})
    ledger.begin(7, 0)
    ledger.begin(7, 1)
    ledger.begin(7, None)  # made, but lost with its node
    assert ledger.start(7) == (4, {1: 1})
    assert ledger.start(8) == (1, {})


def test_node_with_other_code_is_refused():
    module = "skin_pipeline.prep.edges"
    _require_same_sources({module: source_digest(module)})
    with pytest.raises(ConfigurationError, match=f"has another version of {module}"):
        _require_same_sources({module: "0" * 64})


def test_what_was_made_before_an_error_is_stored(caplog):
    made = [Rejection("blurred"), Rejection("empty")]
    warnings = [("skin_pipeline.prep", logging.WARNING, "100 % of it")]
    answer = Answer(made, InputError("torn"), warnings)
    stored = []
    with pytest.raises(InputError, match="torn"):
        _hand_over([[Task("a"), Task("b")], [Task("c")]], answer, lambda *result: stored.append(result))
    assert stored == [(Task("a"), made[0]), (Task("b"), made[1])]
    assert "100 % of it" in caplog.text


def test_answer_must_be_about_all_tasks():
    with pytest.raises(ValueError, match="shorter"):
        _hand_over([[Task("a"), Task("b")]], Answer([Rejection("x")], None), lambda *_: None)


def test_warnings_of_this_package_travel():
    with _collected_warnings() as warnings:
        logging.getLogger("skin_pipeline.prep.blip").warning("cut at %d tokens", 77)
        logging.getLogger("skin_pipeline.prep.blip").info("not this")
        logging.getLogger("somebody.else").warning("nor this")
    logging.getLogger("skin_pipeline").warning("too late")
    assert warnings == [("skin_pipeline.prep.blip", logging.WARNING, "cut at 77 tokens")]
