"""Screen raw skins: measure each, leave out what cannot be trained on, and say why."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from skin_pipeline.errors import InputError
from skin_pipeline.items import Item, Output, Rejection, Task, Worker
from skin_pipeline.prep.duplicates import (
    hash_distance,
    near_duplicates_of_kept,
    perceptual_hash,
    pixel_digest,
)
from skin_pipeline.prep.pictures import HIGHEST_MAX_PIXELS, Picture, RGBPicture, open_picture
from skin_pipeline.schemas import Parameters


class ScreenParameters(Parameters):
    """Which raw skins go on."""

    min_side_px: int = Field(default=256, ge=1)
    """Shorter side of the smallest skin, in pixels."""

    max_pixels: int = Field(default=50_000_000, ge=1, le=HIGHEST_MAX_PIXELS)
    """Width times height of the largest skin. Checked before a picture is unpacked."""

    min_contrast: float = Field(default=2.0, ge=0, le=127.5)
    """Least standard deviation of the strongest colour channel, in grey levels; a skin below it is blank."""

    min_laplacian_variance: float | None = Field(default=None, ge=0)
    """Least variance of the Laplacian of the grey picture. Below it a skin is blurred; null: measure only."""

    near_duplicate_bits: int | None = Field(default=None, ge=0, le=16)
    """Skins whose perceptual hashes differ in so many of 64 bits, or fewer, are duplicates. Null: only skins
    with equal pixels are. Skins that differ in nothing but text or hue are 0 to 12 bits apart."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that screen at the same time."""

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that decide on a single skin, as JSON, for ``Plan.parameters``."""
        return self.model_dump(mode="json", exclude={"near_duplicate_bits", "num_workers"})


def make_screener(parameters: ScreenParameters) -> Worker:
    """Build the worker that reads and measures raw skins, the source ``raw_skins``."""
    return partial(_screen_batch, parameters)


def _screen_batch(parameters: ScreenParameters, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [screen_skin(task.inputs["raw_skins"], parameters) for task in tasks]


def screen_skin(item: Item, parameters: ScreenParameters) -> Output | Rejection:
    """Read one raw skin and decide whether it goes on.

    Args:
        item: A raw skin; its record may name a ``problem`` found when the folder was listed.
        parameters: The thresholds.

    Returns:
        What was measured, or the reason why the skin is left out.
    """
    problem = item.record.get("problem")
    if problem or item.path is None:
        name = Path(item.record.get("source", item.id)).name
        return Rejection(f"{name}: {problem or 'there is no file to read'}.")
    try:
        picture = open_picture(item.path, parameters.max_pixels)
    except InputError as error:
        return Rejection(str(error))
    measures = measure_skin(picture.pixels)
    reason = _reason_to_reject(picture, measures, parameters)
    if reason:
        return Rejection(f"{item.path.name}: {reason}")
    height_px, width_px = picture.pixels.shape[:2]
    facts = {"mode": picture.mode, "format": picture.format, "orientation": picture.orientation}
    source = item.record.get("source", item.path.name)
    return Output({"source": source, "width_px": width_px, "height_px": height_px, **facts, **measures})


def measure_skin(pixels: RGBPicture) -> dict[str, Any]:
    """Measure what screening and splitting go by.

    Args:
        pixels: uint8 RGB, (H, W, 3).

    Returns:
        ``phash`` (16 hex digits), ``pixels_sha256``, ``laplacian_variance`` (of the grey picture) and
        ``contrast`` (standard deviation of the strongest channel; a skin may live by its hues alone).
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    _, deviations = cv2.meanStdDev(pixels)
    # 16 bit hold the Laplacian of 8-bit pixels, -1020 to 1020, exactly.
    _, sharpness = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))
    return {
        "phash": perceptual_hash(gray),
        "pixels_sha256": pixel_digest(pixels),
        "laplacian_variance": round(float(sharpness[0, 0]) ** 2, 3),
        "contrast": round(float(np.max(deviations)), 3),
    }


def _reason_to_reject(
    picture: Picture, measures: Mapping[str, Any], parameters: ScreenParameters
) -> str | None:
    height_px, width_px = picture.pixels.shape[:2]
    if min(height_px, width_px) < parameters.min_side_px:
        return (
            f"too small: {width_px}x{height_px}, expected at least {parameters.min_side_px} px on each side."
        )
    if measures["contrast"] < parameters.min_contrast:
        return f"blank: contrast {measures['contrast']:.2f}, expected at least {parameters.min_contrast}."
    least = parameters.min_laplacian_variance
    if least is not None and measures["laplacian_variance"] < least:
        return f"blurred: Laplacian variance {measures['laplacian_variance']:.1f}, expected at least {least}."
    return None


def find_duplicates(
    records: Mapping[str, Mapping[str, Any]], near_duplicate_bits: int | None = None
) -> dict[str, str]:
    """Find screened skins that repeat another; the first of each kind, by id, stays.

    Args:
        records: Records of screened skins by id.
        near_duplicate_bits: See :class:`ScreenParameters`.

    Returns:
        Reason by id of each skin to leave out; it names the skin that stays.
    """
    first_by_pixels: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for item_id in sorted(records):
        kept = first_by_pixels.setdefault(records[item_id]["pixels_sha256"], item_id)
        if kept != item_id:
            reasons[item_id] = f"duplicate: the same pixels as {_named(kept, records)}, which is kept."
    if near_duplicate_bits is not None:
        hashes = {item_id: record["phash"] for item_id, record in records.items() if item_id not in reasons}
        for item_id, kept in near_duplicates_of_kept(hashes, near_duplicate_bits).items():
            bits = hash_distance(hashes[item_id], hashes[kept])
            reasons[item_id] = (
                f"near-duplicate: {bits} of 64 hash bits from {_named(kept, records)}, which is kept "
                f"(near_duplicate_bits is {near_duplicate_bits})."
            )
    return reasons


def _named(item_id: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    return f"'{item_id}' ({records[item_id]['source']})"
