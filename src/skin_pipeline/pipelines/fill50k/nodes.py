"""The nodes of the fill50k pipeline."""

import json
import logging
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from skin_pipeline.colours import Rgb
from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.circles import (
    CircleErrors,
    FoundCircle,
    chance_of_colours,
    find_circle,
    measure_circle,
    score_circles,
)
from skin_pipeline.items import Folder, FolderPlan, Item, Items
from skin_pipeline.prep.fill50k import Fill50kParameters, caption_colours, palette_colours, plan_fill50k
from skin_pipeline.prep.publish import SPLITS

logger = logging.getLogger(__name__)


def draw_circles(parameters: Fill50kParameters) -> FolderPlan:
    """Plan the training set of circles.

    Args:
        parameters: Which circles.

    Returns:
        The plan of ``train_dataset``.
    """
    return plan_fill50k(parameters)


def measure_circles(
    generated_skins: Items, train_dataset: Folder, parameters: Fill50kParameters
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Measure whether generated circles are where and in the colours they were asked for.

    Args:
        generated_skins: What inference made of the circles' outlines and captions.
        train_dataset: Holds the outlines.
        parameters: The palette counts.

    Returns:
        A row a picture, and their summary.

    Raises:
        InputError: Nothing was generated, or from something else than circles.
    """
    outlines = _outlines(train_dataset)
    rows: list[dict[str, Any]] = []
    errors: list[CircleErrors] = []
    found: list[FoundCircle | None] = []
    wanted: list[tuple[Rgb, Rgb]] = []
    palette = list(palette_colours(parameters.palette).values())
    for item in generated_skins.values():
        prompt, skin = item.record["prompt"], item.id.rpartition("/")[0]
        if skin not in outlines:
            raise InputError(f"'{item.id}' was not generated from a circle of {train_dataset.path}.")
        picture = item.load_image()
        colours = caption_colours(prompt, parameters.palette)
        circle = find_circle(picture)
        error = measure_circle(circle, _load_outline(outlines[skin], picture.shape), colours, palette)
        rows.append({"id": item.id, "prompt": prompt, **_finite(asdict(error)), "is_right": error.is_right})
        errors.append(error)
        found.append(circle)
        wanted.append(colours)
    scores = score_circles(errors, chance_of_colours(found, wanted, palette))
    shares = (scores.right, scores.in_place, scores.right_ground, scores.right_colour)
    logger.info(
        "circles: %.0f %% right in all; %.0f %% in place, %.0f %% with the right ground, %.0f %% with the"
        " right colour (both: %.0f %%, by chance %.0f %%); centres %.1f px and radii %.1f px off (medians)",
        *(100 * share.estimate for share in shares),
        100 * scores.right_colours.estimate,
        100 * scores.chance,
        scores.median_centre_px,
        scores.median_radius_px,
    )
    return rows, _finite(asdict(scores))


def _outlines(dataset: Folder) -> dict[str, Item]:
    """Return the conditioning images by the skin's id."""
    outlines = {}
    for split in SPLITS:
        with (dataset.path / f"{split}.jsonl").open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                name = row["conditioning_image"]
                outlines[row["skin"]] = Item(row["skin"], row, dataset.files[name], dataset.path / name)
    return outlines


def _load_outline(outline: Item, shape: tuple[int, ...]) -> np.ndarray:
    """Load an outline at the size of the picture that was generated from it."""
    image = outline.load_image()
    if image.shape[:2] == shape[:2]:
        return image
    resized: np.ndarray = cv2.resize(image, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return resized


def _finite(fields: dict[str, Any]) -> dict[str, Any]:
    """Replace infinities, which JSON does not know, by null."""
    return {name: None if value == np.inf else value for name, value in fields.items()}
