"""Quality of skins as numbers, the limits they are judged by, and the sentences that say how it went.

Measures are taken once, when a stage makes an item, and kept in its record. Limits are applied to the records
at the end of every run, so a changed limit measures nothing again and is in no item's key. What a limit does
is its ``action``: leave the skin out, only report it, or nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from skin_pipeline.prep.pictures import RGBPicture
from skin_pipeline.schemas import Parameters

Action = Literal["reject", "report", "off"]

SHARPNESS_SIDE_PX = 512
"""Sharpness is measured with the longer side no longer than this: what training will see of it."""
SPECK_SHARE = 1 / 64
"""An edge that extends over less than this share of the picture's side is a speck, no outline."""
ENOUGH_SIDES = 8.0
"""Edges as long, in all, as so many sides of the picture are enough to draw a keyboard after."""
CALM_SIDES, TANGLED_SIDES = 96.0, 160.0
"""Up to the first length edges can be outlines; from the second on they are a tangle (at 512 px: 19 and 31 %
of all pixels)."""
SPECKLED_SHARE = 0.4
"""From this share of specks on, an edge map is noise."""


# --- limits -------------------------------------------------------------------------------------------


class Limit(Parameters):
    """A bound on a measure, and what to do with skins beyond it."""

    action: Action = "report"
    """``reject`` leaves the skin out; ``report`` only lists it; ``off`` does not look."""


class AtLeast(Limit):
    """A lower bound."""

    at_least: float
    """The least value that is good, in the measure's unit."""

    @property
    def bound(self) -> float:
        """The least value that is good."""
        return self.at_least

    def admits(self, value: float) -> bool:
        """Say whether a value is good."""
        return value >= self.at_least

    def __str__(self) -> str:
        """Say what is expected."""
        return f"at least {self.at_least:g}"


class AtMost(Limit):
    """An upper bound."""

    at_most: float
    """The largest value that is good, in the measure's unit."""

    @property
    def bound(self) -> float:
        """The largest value that is good."""
        return self.at_most

    def admits(self, value: float) -> bool:
        """Say whether a value is good."""
        return value <= self.at_most

    def __str__(self) -> str:
        """Say what is expected."""
        return f"at most {self.at_most:g}"


@dataclass(frozen=True)
class Check:
    """Something that skins are judged by.

    Attributes:
        name: Name of the measure, and of the limit among the parameters (``sharpness``).
        title: What it is called (``Sharpness``).
        fault: What a skin beyond the limit is (``blurred``).
        meaning: How it is measured, its unit and its source, for people.
    """

    name: str
    title: str
    fault: str
    meaning: str


@dataclass(frozen=True)
class Measure:
    """A value, and what more there is to say about it."""

    value: float
    detail: str = ""


@dataclass(frozen=True)
class Fault:
    """A measure beyond its limit."""

    check: Check
    measure: Measure
    limit: AtLeast | AtMost

    @property
    def sentence(self) -> str:
        """Say what is wrong, what was measured and what is expected."""
        detail = f" ({self.measure.detail})" if self.measure.detail else ""
        return (
            f"{self.check.fault}: {self.check.title.lower()} {self.measure.value:g}{detail}, "
            f"expected {self.limit}."
        )


def find_faults(
    measures: Mapping[str, Measure], limits: Mapping[Check, AtLeast | AtMost], action: Action
) -> list[Fault]:
    """List the measures beyond those limits that have an action.

    Args:
        measures: Measure by the name of its check.
        limits: Limit by check.
        action: Only limits with this action are looked at.

    Returns:
        In the order of the limits.
    """
    return [
        Fault(check, measures[check.name], limit)
        for check, limit in limits.items()
        if limit.action == action and not limit.admits(measures[check.name].value)
    ]


# --- pictures -----------------------------------------------------------------------------------------


def contrast(pixels: RGBPicture) -> float:
    """Measure the standard deviation of the strongest colour channel, 0 to 127.5 grey levels.

    Of the strongest, as a skin may live by its hues alone.
    """
    _, deviations = cv2.meanStdDev(pixels)
    return round(float(np.max(deviations)), 3)


def information(gray: NDArray[np.uint8]) -> float:
    """Measure the Shannon entropy of a picture's grey levels, 0 to 8 bits.

    The measure of "low information" pictures in the CleanVision library. One flat colour has 0 bits.

    Args:
        gray: uint8, (H, W).
    """
    shares = np.bincount(gray.ravel(), minlength=256) / gray.size
    shares = shares[shares > 0]
    return round(float(-(shares * np.log2(shares)).sum()), 3) + 0.0


def sharpness(gray: NDArray[np.uint8]) -> float:
    """Measure the energy of a picture's second derivatives over that of its first, 0 for no edges at all.

    Both are common measures of focus (energy of the Laplacian, and Tenengrad: Pertuz et al., Analysis of
    focus measure operators, 2013), and both grow with contrast. Their ratio does not: it is about the mean
    square spatial frequency of the edges, so dark skins with faint borders are not called blurred.

    Args:
        gray: uint8, (H, W).
    """
    scale = SHARPNESS_SIDE_PX / max(gray.shape)
    if scale < 1:
        size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    # 16 bit hold both derivatives of 8-bit pixels exactly.
    second = cv2.Laplacian(gray, cv2.CV_16S).astype(np.float64)
    first = [cv2.Sobel(gray, cv2.CV_16S, *order).astype(np.float64) for order in ((1, 0), (0, 1))]
    energy = float(sum(np.mean(derivative**2) for derivative in first))
    return round(float(np.mean(second**2)) / energy, 5) if energy else 0.0


# --- edge maps ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EdgeQuality:
    """How good a conditioning image an edge map is.

    Attributes:
        length_sides: Length of all edges, in sides of the picture (square root of its area), so that it
            hardly depends on the resolution.
        speck_share: Share of that length in pieces that extend over less than 1/64 of a side.
        score: 0 (nothing, or noise) to 1; see :func:`edge_quality`.
    """

    length_sides: float
    speck_share: float
    score: float

    @property
    def detail(self) -> str:
        """Say what the score comes from."""
        return f"edges of {self.length_sides:.1f} sides, {self.speck_share:.0%} of it specks"


def edge_quality(edges: NDArray[np.uint8]) -> EdgeQuality:
    """Score an edge map by whether it holds outlines: not too few, not a tangle, not specks.

    ``score = enough * calm * clean``, each 0 to 1::

        enough = length / 8 sides                       up to 1: an empty map has 0
        calm   = (160 sides - length) / (160 - 96)      from 1 down to 0: a tangle has 0
        clean  = 1 - speck_share / 0.4                  down to 0: noise has 0

    The parts are those that the ControlNet Dataset Curator rates Canny maps by (share of white pixels,
    penalty for small connected components); lengths in sides make them independent of the resolution.

    Args:
        edges: uint8, (H, W), 0 off edges; edges are one pixel wide.

    Returns:
        The score and what it comes from.
    """
    side_px = float(np.sqrt(edges.size))
    _, _, stats, _ = cv2.connectedComponentsWithStats((edges > 0).astype(np.uint8), connectivity=8)
    pieces = stats[1:]
    length_px = int(pieces[:, cv2.CC_STAT_AREA].sum())
    extents = np.maximum(pieces[:, cv2.CC_STAT_WIDTH], pieces[:, cv2.CC_STAT_HEIGHT])
    specks_px = int(pieces[extents < SPECK_SHARE * side_px, cv2.CC_STAT_AREA].sum())
    length, specks = length_px / side_px, specks_px / max(1, length_px)
    enough = min(1.0, length / ENOUGH_SIDES)
    calm = float(np.clip((TANGLED_SIDES - length) / (TANGLED_SIDES - CALM_SIDES), 0, 1))
    clean = max(0.0, 1 - specks / SPECKLED_SHARE)
    return EdgeQuality(round(length, 3), round(specks, 4), round(enough * calm * clean, 4))
