"""The floor of a run, with an autoencoder and readers that are known by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from skin_pipeline.evaluation import held_out_floor
from skin_pipeline.evaluation.held_out_floor import groups_of, plan_floor, summarise_floor
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.table import render_table
from skin_pipeline.geometry import quads_of
from skin_pipeline.items import Folder, Item, Items, item_key
from skin_pipeline.prep.publish import Row

PARAMETERS = EvaluationParameters(num_resamples=100)
SMALL, LARGE = [0, 0, 20, 20], [0, 30, 40, 70]  # read as 16 px and 32 px high once drawn in
NAMES = ["A"] * 8 + ["空"] * 8


class Whitening:
    """An autoencoder that makes the upper 25 rows white."""

    device, dtype = torch.device("cpu"), torch.float32
    config = SimpleNamespace(block_out_channels=(1, 1))

    def encode(self, pixels: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: pixels))

    def decode(self, latents: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=torch.cat([torch.ones_like(latents[:, :, :25]), latents[:, :, 25:]], 2))


class Knowing:
    """Reads what it is told of black crops, and nothing in white ones."""

    name = "knowing"

    def recognize(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        return [
            (name if crop.mean() < 128 else "", 0.9)
            for crop, name in zip(crops, NAMES * len(crops), strict=False)
        ]


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out_floor, "load_autoencoder", lambda _: Whitening())
    monkeypatch.setattr(held_out_floor, "load_reader", lambda _: Knowing())
    monkeypatch.setattr(held_out_floor, "present_readers", list)


def row_of(skin: str, legends: list[str]) -> Row:
    """Each legend stands in its place or, the first four of each script, in the upper one."""
    boxes = [SMALL if place % 8 < 4 else LARGE for place in range(len(legends))]
    quads = quads_of(boxes).tolist() if boxes else []
    return Row("a skin", f"{skin}.png", "", quads, skin, "per_skin", legends=legends)


ROWS = [row_of("a", NAMES), row_of("b", NAMES), row_of("c", [])]


@pytest.fixture
def dataset(tmp_path: Path) -> Folder:
    for row in ROWS:
        assert cv2.imwrite(str(tmp_path / row.image), np.zeros((73, 81, 3), np.uint8))
    return Folder(tmp_path, "", {row.image: row.skin for row in ROWS})


def measure(dataset: Folder, parameters: EvaluationParameters, rows: Sequence[Row] = ROWS) -> Items:
    plan = plan_floor(dataset, rows, "tiny", "digest", parameters)
    tasks = plan.tasks()
    outputs = plan.make_worker()(tasks)
    return Items(Item(task.id, output.record, "") for task, output in zip(tasks, outputs, strict=True))


def test_real_legends_are_read_before_and_after(dataset: Folder, caplog: pytest.LogCaptureFixture) -> None:
    measured = measure(dataset, PARAMETERS)
    assert list(measured) == ["a", "b"], "a skin without legends tells nothing"
    trained = [*ROWS, replace(ROWS[0], skin="d")]
    floor = summarise_floor(measured, trained, "tiny", PARAMETERS)
    assert floor["about"] == {
        "base_model": "tiny",
        "split": "validation",
        "num_skins": 2,
        "sizes_px": "81x73",
    }
    groups = {(script, height): figures for script, height, figures in groups_of(floor)}
    assert groups["all", "all"]["ppocr"]["before"] == 1.0
    assert groups["all", "all"]["tesseract"]["after"] == 0.5
    assert groups["Latin", "16"]["ppocr"]["after"] == 0.0
    assert groups["Chinese", "32"]["ppocr"]["after"] == 1.0
    assert groups["Chinese", "32"]["ppocr"]["num_legends"] == 8
    chinese = floor["readers"]["ppocr"]["scripts"]["Chinese"]
    assert (chinese["lost_below_px"], chinese["num_below"], chinese["num_in_set"]) == (20, 12, 24)
    assert (
        "By PP-OCR, 12 of 24 Latin legends are lower than 20 px and 12 of 24 Chinese legends are lower than"
        " 20 px in the training set. The autoencoder of 'tiny' does not keep such legends readable"
    ) in caplog.text
    table = render_table({"skipped": {}}, Items(), floor)
    assert "| Latin | 16 | 8 | 1.000 → 0.000 [0.000, 0.000] |" in table
    assert "By Tesseract, 12 of 24 Latin legends" in table


def test_nothing_is_said_of_heights_that_survive_or_were_not_seen(
    dataset: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    only_large = replace(ROWS[0], box=quads_of([LARGE] * 16).tolist())
    measured = measure(dataset, PARAMETERS, [only_large])
    floor = summarise_floor(measured, ROWS, "tiny", PARAMETERS)
    latin = floor["readers"]["ppocr"]["scripts"]["Latin"]
    assert (latin["lost_below_px"], latin["num_below"], latin["num_in_set"]) == (0, 0, 16)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("changes", "rows", "reason"),
    [
        ({"max_floor": 0}, ROWS, "evaluation.max_floor is 0"),
        ({"readers": ()}, ROWS, "evaluation.readers names no reader that is installed"),
        ({}, ROWS[2:], "no skin of the split 'validation' has legends that were read"),
    ],
)
def test_it_is_left_out_with_the_reason(
    changes: dict[str, Any], rows: list[Row], reason: str, dataset: Folder
) -> None:
    parameters = PARAMETERS.model_copy(update=changes)
    measured = measure(dataset, parameters, rows)
    assert not measured
    assert summarise_floor(measured, rows, "tiny", parameters) == {"skipped": reason}


def test_what_is_read_anew_follows_from_base_model_picture_and_legends(dataset: Folder) -> None:
    def key(
        rows: Sequence[Row] = ROWS, digest: str = "digest", folder: Folder = dataset, **changes: Any
    ) -> str:
        plan = plan_floor(folder, rows, "tiny", digest, PARAMETERS.model_copy(update=changes))
        return item_key(plan, plan.tasks()[0])

    same = key()
    assert key(num_workers=2, seed=3, max_floor=7) == same
    others = [
        key(digest="other"),
        key(readers=("ppocr",)),
        key([row_of("a", ["B"] * 16)]),
        key(folder=replace(dataset, files={**dataset.files, "a.png": "other"})),
    ]
    assert len({same, *others}) == 5


def test_at_most_so_many_skins_are_read_and_the_same_ones(dataset: Folder) -> None:
    one = measure(dataset, PARAMETERS.model_copy(update={"max_floor": 1}))
    again = measure(dataset, PARAMETERS.model_copy(update={"max_floor": 1}), ROWS[::-1])
    assert list(one) == list(again)
    assert len(one) == 1
