import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import quads_of
from skin_pipeline.training.text_legends import choose_legends, is_sampled_slot, placed_legends
from skin_pipeline.training.text_parameters import TextParameters

TEXTS = ["A", "B", "C", "D"]
QUADS = quads_of([[0, 0, 30, 20], [0, 30, 30, 50], [40, 0, 70, 8], [40, 30, 70, 50]])


def test_few_are_drawn_and_low_ones_never() -> None:
    parameters = TextParameters(mode="one_step", max_boxes=2, min_height_px=12)
    drawn = [choose_legends(TEXTS, QUADS, parameters, seed, False) for seed in range(20)]
    assert all(len(legends.gt_text) == len(legends.box) == 2 for legends in drawn)
    assert {text for legends in drawn for text in legends.gt_text} == {"A", "B", "D"}
    first = drawn[0]
    for text, quad in zip(first.gt_text, first.box, strict=True):
        np.testing.assert_array_equal(quad, QUADS[TEXTS.index(text)])
    assert first.text_length == (1, 1)


def test_the_same_turn_draws_the_same() -> None:
    parameters = TextParameters(mode="one_step", max_boxes=2)
    one, other = (choose_legends(TEXTS, QUADS, parameters, 7, True) for _ in range(2))
    assert one.gt_text == other.gt_text
    assert one.is_sampled


def test_a_picture_without_legends_has_none() -> None:
    legends = choose_legends([], [], TextParameters(mode="one_step"), 0, False)
    assert legends.gt_text == ()
    assert legends.box.shape == (0, 4, 2)


def test_each_quad_needs_its_string() -> None:
    row = {"text": 'a keyboard, writing "A", "B"', "box": QUADS[:2].tolist()}
    assert placed_legends(row, "line 1") == ["A", "B"]
    with pytest.raises(InputError, match="line 1 of the training set has 2 legends and 1 quads"):
        placed_legends({**row, "box": QUADS[:1].tolist()}, "line 1")
    told = {"text": 'a keyboard, writing "A"', "legends": ["A", "C"], "box": QUADS[:2].tolist()}
    assert placed_legends(told, "line 1") == ["A", "C"], "whatever the caption quotes"


@pytest.mark.parametrize(("share", "expected"), [(0.25, 2), (0.5, 4), (1.0, 8), (0.3, 2)])
def test_sampled_slots_are_the_share_asked_for(share: float, expected: int) -> None:
    assert sum(is_sampled_slot(slot, share) for slot in range(8)) == expected


def test_when_text_is_due() -> None:
    parameters = TextParameters(mode="both", start_step=3, every_steps=2)
    assert [step for step in range(9) if parameters.is_due(step)] == [3, 5, 7]
    assert not TextParameters().is_due(5)


def test_what_a_mode_does_not_use_is_no_part_of_a_run() -> None:
    assert TextParameters(feature_weight=9).identity() == TextParameters(measure=True).identity()
    one, other = TextParameters(mode="one_step"), TextParameters(mode="one_step", sampler_steps=7)
    assert one.identity() == other.identity()
    assert one.identity() != TextParameters(mode="one_step", timestep_limit=7).identity()
    assert "last_steps" in TextParameters(mode="both").identity()
    assert "last_steps" not in TextParameters(mode="sampled").identity()
