"""The floor of a run: legends of held-out skins before and after the base model's autoencoder.

:mod:`skin_pipeline.evaluation.legend_floor` says what a floor is. Here it is measured of the real skins of a
training set, picture by picture, and held against the heights of all legends of the set.

A summary has ``about`` (base model, split, number of skins) and ``readers``: for each the figures
``overall``, of ``scripts`` (with the height below which legends are lost, null if at every height, and how
many of the training set's lie there) and of ``groups`` by script and height, with intervals. Where nothing
could be measured it has the reason instead, ``skipped``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from skin_pipeline.evaluation.features import load_autoencoder
from skin_pipeline.evaluation.legend_floor import LegendFloor, encode_decode
from skin_pipeline.evaluation.legends import (
    SCRIPTS,
    LegendReading,
    Script,
    line_height,
    read_legends,
    score_readings,
    script_of,
)
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.readers import READER_TITLES, ReaderName, load_reader, present_readers
from skin_pipeline.evaluation.score import LEGEND_INSET, Picture
from skin_pipeline.geometry import as_quads, draw_in
from skin_pipeline.items import Folder, Item, Items, Output, Plan, Task, Worker, json_digest
from skin_pipeline.prep.publish import Row, legends_of

MODULES = (
    __name__,
    "skin_pipeline.evaluation.legend_floor",
    "skin_pipeline.evaluation.legends",
    "skin_pipeline.geometry",
    "skin_pipeline.recognition.crops",
    "skin_pipeline.recognition.recognizers",
    "skin_pipeline.recognition.tesseract",
)
SPLIT = "validation"

Floor = Mapping[str, Any]

logger = logging.getLogger(__name__)


def plan_floor(
    dataset: Folder,
    held_out: Sequence[Row],
    base_model: str,
    base_model_digest: str,
    parameters: EvaluationParameters,
) -> Plan:
    """Plan what is read on each held-out skin, before and after the autoencoder.

    Args:
        dataset: The training set.
        held_out: Its rows that are not trained on; those without legends are passed over.
        base_model: Whose autoencoder is used.
        base_model_digest: Which it is exactly.
        parameters: What reads, and of how many skins.
    """
    readers = present_readers(parameters.readers)
    told = [row for row in held_out if readers and legends_of(row.text, row.legends)]
    by_lot = sorted(told, key=lambda row: json_digest(row.skin))[: parameters.max_floor]
    return Plan.from_tasks(
        "legend_floor",
        tasks=[_task(row, dataset) for row in by_lot],
        make_worker=partial(make_floor_reader, base_model, readers, parameters.num_threads),
        parameters={"readers": readers},
        shared={"base_model": base_model_digest},
        modules=MODULES,
        batch_size=parameters.batch_size,
        num_workers=parameters.num_workers,
    )


def _task(row: Row, dataset: Folder) -> Task:
    told = {"legends": legends_of(row.text, row.legends), "box": row.box}
    return Task(
        row.skin,
        {
            "picture": Item(row.skin, {}, dataset.files[row.image], dataset.path / row.image),
            "row": Item(row.skin, told, json_digest(told)),
        },
    )


def make_floor_reader(base_model: str, readers: Sequence[ReaderName], num_threads: int | None) -> Worker:
    """Build the worker that reads legends before and after the autoencoder."""
    if num_threads is not None:
        import torch

        torch.set_num_threads(num_threads)
    return partial(_read_batch, base_model, readers)


def _read_batch(base_model: str, readers: Sequence[ReaderName], tasks: Sequence[Task]) -> list[Output]:
    autoencoder = load_autoencoder(base_model)
    outputs = []
    for task in tasks:
        before = task.inputs["picture"].load_image()
        after = encode_decode(autoencoder, before)
        sides = {"before": before, "after": after}
        legends = {
            reader: {side: _read(picture, task, reader) for side, picture in sides.items()}
            for reader in readers
        }
        outputs.append(Output({"size_px": [before.shape[1], before.shape[0]], "legends": legends}))
    return outputs


def _read(picture: Picture, task: Task, reader: ReaderName) -> list[dict[str, Any]]:
    told = task.inputs["row"].record
    readings = read_legends(
        picture, told["box"], told["legends"], load_reader(reader), task.id, inset=LEGEND_INSET
    )
    return [asdict(reading) for reading in readings]


def summarise_floor(
    measured: Items, rows: Sequence[Row], base_model: str, parameters: EvaluationParameters
) -> dict[str, Any]:
    """Return the floor's figures; warn of legends of the training set that lie below it.

    Args:
        measured: Records of the stage.
        rows: All rows of the training set.
        base_model: Its name, for tables and messages.
        parameters: What read, and how to redraw.
    """
    if not measured:
        return {"skipped": _reason(parameters)}
    heights = _heights_of(rows)
    readers = {reader: _summary_of(floor, heights) for reader, floor in _floors(measured, parameters).items()}
    for reader, summary in readers.items():
        warning = small_legends(summary)
        if warning:
            logger.warning("%s. %s", warning_of(reader, warning), _advice(base_model))
    sizes = sorted({tuple(item.record["size_px"]) for item in measured.values()})
    about = {
        "base_model": base_model,
        "split": SPLIT,
        "num_skins": len(measured),
        "sizes_px": ", ".join(f"{width}x{height}" for width, height in sizes),
    }
    return {"about": about, "readers": readers}


def groups_of(floor: Floor) -> Iterator[tuple[str, str, dict[str, Mapping[str, Any]]]]:
    """Yield script, height and each reader's figures of every group, for tables; all together first."""
    summaries = floor["readers"]
    first = next(iter(summaries.values()))
    for place, group in enumerate(first["groups"]):
        yield (
            group["script"],
            group["height_px"],
            {reader: summary["groups"][place] for reader, summary in summaries.items()},
        )


def small_legends(summary: Mapping[str, Any]) -> str:
    """Say how many legends of the training set lie below one reader's floor; empty if none does."""
    told = []
    for script, found in summary["scripts"].items():
        px = found["lost_below_px"]
        where = "too low, whatever their height," if px is None else f"lower than {px} px"
        if found["num_below"]:
            told.append(f"{found['num_below']} of {found['num_in_set']} {script} legends are {where}")
    return " and ".join(told)


def warning_of(reader: ReaderName, small: str) -> str:
    """Return :func:`small_legends` as a sentence about the training set."""
    return f"By {READER_TITLES[reader]}, {small} in the training set"


def _advice(base_model: str) -> str:
    return (
        f"The autoencoder of '{base_model}' does not keep such legends readable, whatever is trained: train"
        " at a larger size (data_prep's resize), crop closer to the keys, or take a base model that keeps"
        " more detail."
    )


def _reason(parameters: EvaluationParameters) -> str:
    if not parameters.max_floor:
        return "evaluation.max_floor is 0"
    if not present_readers(parameters.readers):
        return "evaluation.readers names no reader that is installed"
    return f"no skin of the split '{SPLIT}' has legends that were read"


def _floors(measured: Items, parameters: EvaluationParameters) -> dict[ReaderName, LegendFloor]:
    records = [item.record["legends"] for item in measured.values()]
    floors: dict[ReaderName, LegendFloor] = {}
    for reader in parameters.readers:
        if reader in records[0]:
            before, after = (
                score_readings(
                    (LegendReading(**one) for record in records for one in record[reader][side]),
                    seed=parameters.seed,
                    num_resamples=parameters.num_resamples,
                )
                for side in ("before", "after")
            )
            floors[reader] = LegendFloor(reader, before, after)
    return floors


def _heights_of(rows: Sequence[Row]) -> dict[Script, list[float]]:
    """Return the heights of all legends by script, in pixels of the training set's pictures."""
    heights: dict[Script, list[float]] = {script: [] for script in SCRIPTS}
    for row in rows:
        texts = legends_of(row.text, row.legends)
        quads = draw_in(as_quads(row.box if texts else ()), LEGEND_INSET)
        for text, quad in zip(texts, quads, strict=True):
            heights[script_of(text)].append(line_height(quad, text))
    return heights


def _summary_of(floor: LegendFloor, heights: Mapping[Script, Sequence[float]]) -> dict[str, Any]:
    groups = floor.as_rows()
    scripts = {}
    for script in SCRIPTS:
        found = next((g for g in groups if g["script"] == script and g["height_px"] == "all"), None)
        if found is not None:
            lost_below_px = floor.lost_below_px(script)
            scripts[script] = {
                **_figures(found),
                "lost_below_px": None if math.isinf(lost_below_px) else int(lost_below_px),
                "num_below": sum(height < lost_below_px for height in heights[script]),
                "num_in_set": len(heights[script]),
            }
    return {"overall": _figures(groups[0]), "scripts": scripts, "groups": groups}


def _figures(group: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group's figures without their bounds, which only tables show."""
    names = ("num_legends", "num_pictures", "before", "after", "ned_before", "ned_after")
    return {name: group[name] for name in names}
