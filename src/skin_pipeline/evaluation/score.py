"""The stage that measures each picture by itself: a record a picture, a field a metric.

A field is None where a picture cannot tell: its prompt names no colours, no layout is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.colour import dominant_colour, part_colours_agree, prompt_colours
from skin_pipeline.evaluation.edges import (
    MS_SSIM_LEAST_SIDE,
    controlnet_plus_plus_edges,
    edge_agreement,
    ms_ssim,
    outlines,
)
from skin_pipeline.evaluation.embed import CLIP_TEXT, load_features
from skin_pipeline.evaluation.features import clip_scores
from skin_pipeline.evaluation.layout import Boxes, enclosed_keys, find_keys, layout_agreement
from skin_pipeline.evaluation.legends import normalised_edit_similarity, read_legends
from skin_pipeline.evaluation.memorisation import TrainingPictures
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.evaluation.readers import ReaderName, load_reader, present_readers
from skin_pipeline.items import Folder, Item, Items, Output, Plan, Task, json_digest
from skin_pipeline.prep.edges import EdgeParameters, trace_edges
from skin_pipeline.prep.positions import lines_of
from skin_pipeline.prep.publish import Row, legends_of, split_legends
from skin_pipeline.skins.sheets.compose import SheetRecord
from skin_pipeline.skins.sheets.conditioning import lay_out, layout_of_outlines, places_of_keys
from skin_pipeline.skins.sheets.layout import load_layout

MODULES = (
    "skin_pipeline.colours",
    "skin_pipeline.evaluation.colour",
    "skin_pipeline.evaluation.edges",
    "skin_pipeline.evaluation.layout",
    "skin_pipeline.evaluation.legends",
    "skin_pipeline.evaluation.memorisation",
    "skin_pipeline.evaluation.score",
    "skin_pipeline.geometry",
    "skin_pipeline.prep.describe",
    "skin_pipeline.prep.edges",
    "skin_pipeline.prep.positions",
    "skin_pipeline.recognition.crops",
    "skin_pipeline.recognition.recognizers",
    "skin_pipeline.recognition.tesseract",
)

LEGEND_INSET = 0.1
"""How far quads of the training set are drawn in; they leave 0.115 of their shorter side around the ink."""

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Truth:
    """What pictures are measured against."""

    dataset: Folder
    """The training set."""
    rows: Mapping[str, Row]
    """Of the skins whose conditioning images were used."""
    control_images: Items
    """What pictures were conditioned on in place of these: layouts, drawn, with legends."""
    train_rows: Mapping[str, Row]
    """Of the skins that were trained on."""
    sheet_records: Items
    """Where keys lie, by skin, before it was resized; as far as known."""
    resized_skins: Items
    """How skins were resized."""


def plan_scores(
    pictures: Items,
    features: Items,
    truth: Truth,
    edges: EdgeParameters,
    parameters: EvaluationParameters,
) -> Plan:
    """Plan what is measured on each picture.

    Args:
        pictures: What is judged, with the records of :mod:`skin_pipeline.evaluation.sets`.
        features: Their features, by the same ids.
        truth: What they are measured against.
        edges: How the conditioning images' edges were traced.
        parameters: What to measure.
    """
    training = [_stored(truth.dataset, row.image, row.skin) for row in truth.train_rows.values()]
    readers = present_readers(parameters.readers)
    return Plan.from_tasks(
        "evaluation",
        tasks=[Task(item.id, dict(_inputs(item, features, truth))) for item in pictures.values()],
        make_worker=partial(Scorer, training, edges, readers, parameters),
        parameters={
            **parameters.scoring(),
            "edges": edges.item_parameters(),
            "readers": readers,
        },
        shared={"training_pictures": json_digest(sorted([one.id, one.sha256] for one in training))},
        modules=MODULES,
        batch_size=parameters.batch_size,
        num_workers=parameters.num_workers,
    )


def _inputs(item: Item, features: Items, truth: Truth) -> list[tuple[str, Item]]:
    skin = item.record["skin"]
    behind = _of_skin(item, truth) if skin in truth.rows else _of_layout(truth.control_images[skin])
    measured = [("features", features[item.id])] if item.id in features else []
    return [("picture", item), *behind, *measured]


def _of_layout(control_image: Item) -> list[tuple[str, Item]]:
    """Return what a picture is measured against that was conditioned on a drawn layout: no real picture."""
    record = control_image.record
    told = {
        "legends": [legend["text"] for legend in record["legends"]],
        "box": [legend["quad"] for legend in record["legends"]],
        "stretch": 1.0,
    }
    inputs = [("conditioning", control_image), ("row", Item(control_image.id, told, json_digest(told)))]
    layout = layout_of_outlines(record["outlines_of"])
    if layout is not None:
        sheet = lay_out(load_layout(layout), control_image.load_image().shape[1], name=layout)
        placed = sheet.model_dump(mode="json")
        unmoved = {"matrix": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]}
        inputs.append(("sheet", Item(layout, placed, json_digest(placed))))
        inputs.append(("resized", Item(layout, unmoved, json_digest(unmoved))))
    return inputs


def _of_skin(item: Item, truth: Truth) -> list[tuple[str, Item]]:
    """Return what a picture is measured against that was conditioned on a skin's conditioning image."""
    row = truth.rows[item.record["skin"]]
    has_own_outlines = row.outlines_of is None and row.conditioning != "shared"
    shows_legends = has_own_outlines or row.conditioning == "glyph"
    told = {**_told_legends(item, row, shows_legends), "stretch": _stretch(truth, row)}
    inputs = [
        ("conditioning", _stored(truth.dataset, row.conditioning_image, row.skin)),
        ("real", _stored(truth.dataset, row.image, row.skin)),
        ("row", Item(row.skin, told, json_digest(told))),
    ]
    if has_own_outlines and row.skin in truth.sheet_records and row.skin in truth.resized_skins:
        placed = {"matrix": truth.resized_skins[row.skin].record["matrix"]}
        inputs.append(("sheet", truth.sheet_records[row.skin]))
        inputs.append(("resized", Item(row.skin, placed, json_digest(placed))))
    return inputs


def _told_legends(item: Item, row: Row, shows_legends: bool) -> dict[str, Any]:
    """Return the legends that a picture was told of, with their quads: all shown, or those it quotes."""
    legends = legends_of(row.text, row.legends)
    is_quoting = item.record["prompt"] == row.text
    number = len(legends) if shows_legends else len(split_legends(row.text)[1]) if is_quoting else 0
    return {"legends": legends[:number], "box": row.box[:number]}


def _stretch(truth: Truth, row: Row) -> float:
    """Return how much more resizing scaled a skin in x than in y; 1 where that is not known."""
    if row.skin not in truth.resized_skins:
        return 1.0
    (across, _, _), (_, down, _) = truth.resized_skins[row.skin].record["matrix"]
    return float(across / down)


def _stored(dataset: Folder, name: str, skin: str) -> Item:
    return Item(skin, {}, dataset.files[name], dataset.path / name)


class Scorer:
    """A worker that measures pictures."""

    def __init__(
        self,
        training: Sequence[Item],
        edges: EdgeParameters,
        readers: Sequence[ReaderName],
        parameters: EvaluationParameters,
    ) -> None:
        """Keep what it needs.

        Args:
            training: The training pictures.
            edges: How edges are traced.
            readers: What reads legends.
            parameters: What to measure.
        """
        self._training_items = training
        self._edges = edges
        self._readers = readers
        self._parameters = parameters

    @cached_property
    def _training(self) -> TrainingPictures | None:
        """The training pictures, small; read when the first picture comes. None if they are too few."""
        if len(self._training_items) < 2:
            return None
        return TrainingPictures((item.id, _rgb(item)) for item in self._training_items)

    def __call__(self, tasks: Sequence[Task]) -> list[Output]:
        """Measure each task's picture."""
        return [Output(self._measure(task)) for task in tasks]

    def _measure(self, task: Task) -> dict[str, Any]:
        said = dict(task.inputs["picture"].record)
        picture = _rgb(task.inputs["picture"])
        control = _rgb(task.inputs["conditioning"])
        if picture.shape != control.shape:
            raise InputError(
                f"Picture '{task.id}' is {picture.shape[1]}x{picture.shape[0]} px, its conditioning image"
                f" {control.shape[1]}x{control.shape[0]} px. Generate at the size of the conditioning image."
            )
        return {
            **said,
            **self._edge_fields(picture, control),
            **controlnet_plus_plus_fields(picture, task),
            **layout_fields(picture, control, task),
            **legend_fields(picture, task.inputs["row"].record, said["skin"], self._readers),
            **colour_fields(picture, said["prompt"], task.inputs["row"].record["stretch"]),
            "clip_score": _clip_score(task),
            **self._memorisation_fields(picture, said),
        }

    def _edge_fields(self, picture: Picture, control: Picture) -> dict[str, Any]:
        wanted = outlines(control)
        found = trace_edges(picture, self._edges.low, self._edges.high, self._edges.channels)
        near = edge_agreement(found, wanted, self._parameters.tolerance_px)
        exact = edge_agreement(found, wanted, 0)
        return {
            "edge_f1": near.f1,
            "edge_precision": near.precision,
            "edge_recall": near.recall,
            "edge_f1_0px": exact.f1,
            "edge_precision_0px": exact.precision,
            "edge_recall_0px": exact.recall,
            "edge_ms_ssim": _ms_ssim(found, wanted),
        }

    def _memorisation_fields(self, picture: Picture, said: Mapping[str, Any]) -> dict[str, Any]:
        if self._training is None:
            return {}
        is_itself = said["system"] == "real"
        nearest = self._training.nearest(picture, leave_out=said["skin"] if is_itself else None)
        return {
            "nearest_skin": nearest.skin,
            "nearest_distance": nearest.distance,
            "nearest_proportion": nearest.proportion if math.isfinite(nearest.proportion) else None,
            "nearest_hash_bits": nearest.hash_bits,
            "authentic": float(nearest.proportion >= 1),
        }


def controlnet_plus_plus_fields(picture: Picture, task: Task) -> dict[str, Any]:
    """Measure by ControlNet++'s protocol, if there is a real picture to measure against.

    Returns:
        Counts, as the F1 of a condition pools its pictures.
    """
    if "real" not in task.inputs:
        return {}
    found = controlnet_plus_plus_edges(picture)
    wanted = controlnet_plus_plus_edges(_rgb(task.inputs["real"]))
    return {
        "cnpp_true_positives": int(np.count_nonzero(found & wanted)),
        "cnpp_num_found": int(np.count_nonzero(found)),
        "cnpp_num_wanted": int(np.count_nonzero(wanted)),
        "cnpp_ms_ssim": _ms_ssim(found, wanted),
    }


def layout_fields(picture: Picture, control: Picture, task: Task) -> dict[str, Any]:
    """Compare the keys that are seen with those of the layout, or with those that the control encloses."""
    source, wanted = "layout", np.empty((0, 4))
    if "sheet" in task.inputs:
        record = SheetRecord.model_validate(task.inputs["sheet"].record)
        wanted = layout_boxes(record, task.inputs["resized"].record["matrix"], picture.shape[:2])
    if not len(wanted):
        source, wanted = "conditioning", enclosed_keys(lines_of(control))
    if not len(wanted):
        return {"key_iou": None, "key_recall": None, "key_precision": None, "layout_from": None}
    agreement = layout_agreement(find_keys(picture, wanted), wanted)
    return {
        "key_iou": agreement.iou,
        "key_recall": agreement.recall,
        "key_precision": agreement.precision,
        "layout_from": source,
    }


def layout_boxes(record: SheetRecord, matrix: Sequence[Sequence[float]], shape: tuple[int, ...]) -> Boxes:
    """Return where a layout's keys lie in the resized picture, (N, 4); keys cut in half or more are left out.

    Args:
        record: The layout, in pixels of the sheet.
        matrix: [[a, 0, x], [0, d, y]], from the sheet to the picture.
        shape: Height and width of the picture.
    """
    (across, _, x), (_, down, y) = matrix
    places = places_of_keys(record).values()
    boxes = np.array([(one.x, one.y, one.right, one.bottom) for one in places], dtype=np.float64)
    boxes = boxes.reshape(-1, 4) * (across, down, across, down) + (x, y, x, y)
    height, width = shape
    inside = boxes.clip(0, (width, height, width, height))
    kept: Boxes = inside[_areas(inside) > _areas(boxes) / 2]
    return kept


def legend_fields(
    picture: Picture, told: Mapping[str, Any], skin: str, readers: Sequence[ReaderName]
) -> dict[str, Any]:
    """Read the legends that a picture should have, with each reader."""
    fields: dict[str, Any] = {}
    for name in readers if told["legends"] else ():
        readings = read_legends(
            picture, told["box"], told["legends"], load_reader(name), skin, inset=LEGEND_INSET
        )
        fields[f"legends_{name}"] = [asdict(reading) for reading in readings]
        fields[f"sen_acc_{name}"] = float(np.mean([one.read == one.truth for one in readings]))
        alike = [normalised_edit_similarity(one.read, one.truth) for one in readings]
        fields[f"ned_{name}"] = float(np.mean(alike))
    return fields


def colour_fields(picture: Picture, prompt: str, stretch: float) -> dict[str, Any]:
    """Say whether colours are the prompt's; see :mod:`skin_pipeline.evaluation.colour`."""
    dominant = dominant_colour(picture).english
    wanted = prompt_colours(prompt).large
    parts = part_colours_agree(picture, prompt, stretch=stretch)
    return {
        "dominant_colour": dominant,
        "colour": float(dominant in wanted) if wanted else None,
        "panel_colour": None if parts.panel is None else float(parts.panel),
        "key_colour": None if parts.keys is None else float(parts.keys),
    }


def _clip_score(task: Task) -> float | None:
    if "features" not in task.inputs:
        return None
    features = load_features(task.inputs["features"])
    if CLIP_TEXT not in features:
        return None
    return float(clip_scores(features["clip"][None], features[CLIP_TEXT][None])[0])


def _ms_ssim(found: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float | None:
    return None if min(found.shape) < MS_SSIM_LEAST_SIDE else ms_ssim(found, wanted)


def _areas(boxes: Boxes) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _rgb(item: Item) -> Picture:
    image = item.load_image()
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
