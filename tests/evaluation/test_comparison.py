"""Runs side by side: their facts, their best figures, and pictures of the same prompts and seeds."""

from __future__ import annotations

import base64
import re

import cv2
import numpy as np
import pytest

from skin_pipeline.errors import IncompleteDatasetError
from skin_pipeline.evaluation.comparison import (
    ComparedRun,
    CompareParameters,
    compare_runs,
    describe_run,
    render_comparison,
)
from skin_pipeline.items import Item, Items, encode_png


@pytest.fixture
def make_run(tmp_path):
    """Return what makes a run with a picture for each prompt."""

    def make(name, prompts=("a red skin",), scores=None, init=None, metrics=()):
        items = []
        for number, prompt in enumerate(prompts):
            path = tmp_path / f"{name}_{number}.png"
            path.write_bytes(encode_png(np.full((128, 128, 3), 90, np.uint8)))
            items.append(Item(f"skin_{number}/x-7", {"prompt": prompt, "seed": 7}, "0" * 64, path))
        card = {
            "parameters": {"controlnet_init": init, "resolution_px": 512},
            "dataset": {"num_train": 102},
            "base_model": {"name": "embedded"},
            "step": 6000,
            "images_seen": 48000,
        }
        row = {"conditioning": "shared", "outlines_of": "layout:four_parts"}
        given = {} if scores is None else {"generated": scores}
        return ComparedRun(name, card, row, Items(items), given, metrics)

    return make


def score(estimate):
    return {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1, "num_skins": 8}


def test_a_run_is_described_in_the_words_of_the_forerunners_table(make_run):
    kind = {"kind": "validation"}
    losses = ({**kind, "validation_loss": 0.4, "step": 0}, {**kind, "validation_loss": 0.3, "step": 50})
    described = describe_run(make_run("1", metrics=losses))
    assert described["type"] == "from scratch"
    assert described["num_skins"] == 102
    assert described["conditioning"] == "one shared image (layout:four_parts)"
    assert described["verdict"] == "too early"
    assert (described["validation_loss"], described["validation_loss_step"]) == (0.3, 50)
    assert describe_run(make_run("3", init="embedded-canny"))["type"] == "fine-tuned from embedded-canny"
    assert describe_run(make_run("3"))["validation_loss"] is None


def test_the_best_of_each_metric_is_marked_by_its_own_direction(make_run):
    runs = [
        make_run("a", scores={"edge_f1": score(0.5), "fid_autoencoder": score(3.0)}),
        make_run("b", scores={"edge_f1": score(0.7), "fid_autoencoder": score(5.0)}),
        make_run("c"),
    ]
    page = render_comparison(runs, CompareParameters())
    best = re.findall(r'<td class="best">([^<]*)</td>', page)
    assert best == ["0.7 [0.6, 0.8]", "3 [2.9, 3.1]"]
    assert compare_runs(runs)["b"]["scores"]["edge_f1"]["estimate"] == 0.7
    assert compare_runs(runs)["c"]["scores"] == {}


def test_one_skin_has_no_interval(make_run):
    alone = {**score(0.5), "low": 0.5, "high": 0.5, "num_skins": 1}
    page = render_comparison([make_run("a", scores={"edge_f1": alone})], CompareParameters())
    assert "<td>0.5 (one skin: no interval)</td>" in page


def test_pictures_of_the_same_prompt_stand_in_one_row(make_run):
    runs = [make_run("a", ("a red skin", "only here")), make_run("b", ("other", "a red skin"))]
    page = render_comparison(runs, CompareParameters(picture_side_px=64))
    assert page.count("<img ") == 2
    assert "only here" not in page
    assert "No two of these runs" not in page


def test_a_page_without_common_prompts_says_so_and_shows_what_there_is(make_run):
    page = render_comparison([make_run("a"), make_run("b", ("other",))], CompareParameters())
    assert "No two of these runs share a prompt" in page
    assert page.count("<img ") == 2


def test_the_page_keeps_to_its_limits_and_escapes(make_run):
    prompts = [f"<b>{number}</b>" for number in range(5)]
    page = render_comparison([make_run("a", prompts)], CompareParameters(max_rows=2, picture_side_px=64))
    assert page.count("<img ") == 2
    assert "<b>" not in page
    encoded = re.findall(r"base64,([^\"]+)", page)[0]
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (64, 64, 3)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(IncompleteDatasetError, match="no runs to compare"):
        compare_runs([])
