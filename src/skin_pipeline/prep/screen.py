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
from skin_pipeline.prep.duplicates import colour_grid, perceptual_hash, pixel_digest
from skin_pipeline.prep.pictures import HIGHEST_MAX_PIXELS, RGBPicture, open_picture
from skin_pipeline.prep.quality import (
    AtLeast,
    AtMost,
    Check,
    Measure,
    contrast,
    find_faults,
    information,
    sharpness,
)
from skin_pipeline.schemas import Parameters

SIDE = Check(
    "side_px", "Shorter side", "too small", "Length of the shorter side of the raw picture, in pixels."
)
CONTRAST = Check(
    "contrast",
    "Contrast",
    "blank",
    "Standard deviation of the strongest colour channel, in grey levels of 255.",
)
INFORMATION = Check(
    "information",
    "Information",
    "nearly empty",
    "Shannon entropy of the grey levels, in bits of 8 (as in the CleanVision library).",
)
SHARPNESS = Check(
    "sharpness",
    "Sharpness",
    "blurred",
    "Energy of the Laplacian over energy of the gradient, with the longer side at 512 px at most. "
    "It does not depend on contrast (Pertuz et al., 2013, on both).",
)


class ScreenParameters(Parameters):
    """Which raw skins go on."""

    max_pixels: int = Field(default=50_000_000, ge=1, le=HIGHEST_MAX_PIXELS)
    """Width times height of the largest skin. Checked before a picture is unpacked."""

    min_side_px: int = Field(default=256, ge=1)
    """Shorter side of the smallest skin, in pixels."""

    contrast: AtLeast = AtLeast(at_least=2.0, action="reject")
    """A skin below this contrast is blank. Real keyboard skins lie above 20."""

    information: AtLeast = AtLeast(at_least=0.2)
    """A skin with less information shows hardly anything. Real keyboard skins lie above 0.4."""

    sharpness: AtLeast = AtLeast(at_least=0.02)
    """A skin below this is blurred. Real keyboard skins lie above 0.03, and below 0.016 once they are blurred
    with a standard deviation of one pixel at 512."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that screen at the same time."""

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that decide what is measured, as JSON, for ``Plan.parameters``."""
        return self.model_dump(mode="json", include={"max_pixels"})

    def limits(self) -> dict[Check, AtLeast | AtMost]:
        """Return what screened skins are judged by."""
        return {
            SIDE: AtLeast(at_least=self.min_side_px, action="reject"),
            CONTRAST: self.contrast,
            INFORMATION: self.information,
            SHARPNESS: self.sharpness,
        }


def make_screener(parameters: ScreenParameters) -> Worker:
    """Build the worker that reads and measures raw skins, the source ``raw_skins``."""
    return partial(_screen_batch, parameters)


def _screen_batch(parameters: ScreenParameters, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [screen_skin(task.inputs["raw_skins"], parameters) for task in tasks]


def screen_skin(item: Item, parameters: ScreenParameters) -> Output | Rejection:
    """Read and measure one raw skin.

    Args:
        item: A raw skin; its record may name a ``problem`` found when the folder was listed.
        parameters: The largest size that is read.

    Returns:
        What was measured, or the reason why the file is no skin at all.
    """
    problem = item.record.get("problem")
    if problem or item.path is None:
        name = Path(item.record.get("source", item.id)).name
        return Rejection(f"{name}: {problem or 'there is no file to read'}.")
    try:
        picture = open_picture(item.path, parameters.max_pixels)
    except InputError as error:
        return Rejection(str(error))
    height_px, width_px = picture.pixels.shape[:2]
    facts = {"mode": picture.mode, "format": picture.format, "orientation": picture.orientation}
    source = item.record.get("source", item.path.name)
    sizes = {"width_px": width_px, "height_px": height_px}
    return Output({"source": source, **sizes, **facts, **measure_skin(picture.pixels)})


def measure_skin(pixels: RGBPicture) -> dict[str, Any]:
    """Measure what screening, selecting and splitting go by.

    Args:
        pixels: uint8 RGB, (H, W, 3).

    Returns:
        ``pixels_sha256``, ``phash`` and ``colours`` (:mod:`skin_pipeline.prep.duplicates`), ``contrast``,
        ``information`` and ``sharpness`` (:mod:`skin_pipeline.prep.quality`).
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8)
    return {
        "pixels_sha256": pixel_digest(pixels),
        "phash": perceptual_hash(gray),
        "colours": colour_grid(pixels),
        "contrast": contrast(pixels),
        "information": information(gray),
        "sharpness": sharpness(gray),
    }


def screen_measures(record: Mapping[str, Any]) -> dict[str, Measure]:
    """Return what a screened skin is judged by, from its record."""
    record = dict(record.items())  # one reading of a record that lies on the disk
    width_px, height_px = record["width_px"], record["height_px"]
    return {
        SIDE.name: Measure(min(width_px, height_px), f"{width_px} x {height_px} px"),
        **{check.name: Measure(record[check.name]) for check in (CONTRAST, INFORMATION, SHARPNESS)},
    }


def reasons_to_reject(
    records: Mapping[str, Mapping[str, Any]], parameters: ScreenParameters
) -> dict[str, str]:
    """Judge screened skins: by the limits that reject, then by whether they repeat another's pixels.

    Args:
        records: Records of screened skins by id.
        parameters: The limits.

    Returns:
        Reason by id of each skin to leave out.
    """
    limits = parameters.limits()
    reasons = {}
    for item_id, record in records.items():
        faults = find_faults(screen_measures(record), limits, "reject")
        if faults:
            name = Path(record["source"]).name
            reasons[item_id] = f"{name}: " + " ".join(fault.sentence for fault in faults)
    return reasons | find_duplicates({key: record for key, record in records.items() if key not in reasons})


def find_duplicates(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Find screened skins whose pixels equal another's; the first of each kind, by id, stays.

    Args:
        records: Records of screened skins by id.

    Returns:
        Reason by id of each skin to leave out; it names the skin that stays.
    """
    first_by_pixels: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for item_id in sorted(records):
        kept = first_by_pixels.setdefault(records[item_id]["pixels_sha256"], item_id)
        if kept != item_id:
            source = records[kept]["source"]
            reasons[item_id] = f"duplicate: the same pixels as '{kept}' ({source}), which is kept."
    return reasons
