"""Colours that can be read on a picture.

Contrast is that of the Web Content Accessibility Guidelines 2.1: ``(L1 + 0.05) / (L2 + 0.05)`` of the
relative luminances of text and ground (section "contrast ratio"); text wants 4.5 or more (success criterion
1.4.3). A picture is no plain ground, so the contrast is taken with each of its pixels, and what counts is the
ratio that all but a small share of them reach.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb, contrast_ratio, relative_luminances, to_lab
from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import RgbaPixels

MIN_CONTRAST = 4.5
"""WCAG 2.1, success criterion 1.4.3."""
WORST_SHARE = 0.02
"""Share of the pixels that may fall below: a glint or the rim of a cap does not hide a letter."""
_LIGHTNESS_STEPS = 101
_WHITE = 255


@dataclass(frozen=True)
class LegibleColour:
    """A colour for text, and how well it can be read.

    Attributes:
        colour: sRGB, 0-255.
        ratio: The contrast that all but :data:`WORST_SHARE` of the pixels behind it reach, 1 to 21.
    """

    colour: Rgb
    ratio: float

    @property
    def is_legible(self) -> bool:
        """Whether the contrast is enough. On a ground of both black and white no colour's is."""
        return self.ratio >= MIN_CONTRAST


def contrast_with(colour: npt.ArrayLike, ground: RgbaPixels, worst_share: float = WORST_SHARE) -> float:
    """Return the contrast of a colour with a picture.

    Args:
        colour: (3,) sRGB, 0-255.
        ground: (..., 4) or (..., 3); pixels with alpha lie on white or on black, whichever is worse.
        worst_share: Share of the pixels, those of the least contrast, that do not count, in [0, 1).

    Returns:
        The least ratio among the others, 1 to 21.

    Raises:
        InputError: The picture has no pixels.
    """
    return float(_ratios(np.asarray([colour]), _luminances(ground), worst_share)[0])


def legible_colour(
    ground: RgbaPixels, preferred: Rgb | None = None, min_ratio: float = MIN_CONTRAST
) -> LegibleColour:
    """Choose a colour for text on a picture.

    Args:
        ground: What lies behind the text, (..., 4) or (..., 3), see :func:`contrast_with`.
        preferred: The colour wanted. It is taken as it is if it can be read, else made as little lighter or
            darker as need be, its hue kept (CIELAB). None for black or white.
        min_ratio: Least contrast.

    Returns:
        The colour; the one of the greatest contrast if none reaches ``min_ratio``.

    Raises:
        InputError: The picture has no pixels.
    """
    luminances = _luminances(ground)
    candidates = _candidates(preferred)
    ratios = _ratios(candidates, luminances, WORST_SHARE)
    if preferred is None or ratios.max() < min_ratio:
        best = int(ratios.argmax())
    else:
        best = int(np.flatnonzero(ratios >= min_ratio)[0])
    red, green, blue = (int(channel) for channel in candidates[best])
    return LegibleColour((red, green, blue), float(ratios[best]))


def legible_veil(grounds: Iterable[tuple[Rgb, Rgb]], alpha: int, preferred: Rgb) -> tuple[Rgb, int]:
    """Choose what a plain ground is overlaid with when it is pressed, so that text on it can still be read.

    A veil of the text's own colour brings the ground nearer to the text.

    Args:
        grounds: Pairs of a ground's colour and its text's, which is drawn over the veil.
        alpha: The veil's opacity, 0-255; as a last resort it is halved until every text can be read.
        preferred: The veil's colour wanted; else black or white is taken.

    Returns:
        Colour and opacity; the opacity is 0 if a text cannot be read even without a veil.
    """
    pairs = [(np.asarray(ground, np.float64), text) for ground, text in grounds]
    while alpha:
        share = alpha / _WHITE
        for veil in (preferred, (0, 0, 0), (_WHITE,) * 3):
            veiled = [(ground + share * (np.asarray(veil) - ground), text) for ground, text in pairs]
            if all(contrast_ratio(np.rint(ground), text) >= MIN_CONTRAST for ground, text in veiled):
                return veil, alpha
        alpha //= 2
    return preferred, 0


def _candidates(preferred: Rgb | None) -> npt.NDArray[np.uint8]:
    """Return colours (N, 3): the one wanted, then its shades by nearness, then black and white."""
    extremes = np.asarray(((0, 0, 0), (_WHITE, _WHITE, _WHITE)), np.uint8)
    if preferred is None:
        return extremes
    lab = to_lab(preferred)
    lightness = np.linspace(0, 100, _LIGHTNESS_STEPS, dtype=np.float32)
    shades = np.stack([lightness, np.full_like(lightness, lab[1]), np.full_like(lightness, lab[2])], axis=1)
    rgb = cv2.cvtColor(shades[None], cv2.COLOR_LAB2RGB)[0]
    order = np.argsort(np.abs(lightness - lab[0]), kind="stable")
    colours = np.rint(np.clip(rgb[order], 0, 1) * _WHITE).astype(np.uint8)
    return np.concatenate([np.asarray([preferred], np.uint8), colours, extremes])


def _luminances(ground: RgbaPixels) -> npt.NDArray[np.float64]:
    """Return the luminances that count: (N,), twice as many where the ground is not opaque."""
    if ground.size == 0:
        raise InputError("There are no pixels behind the text; its place lies outside of the picture.")
    pixels = ground.reshape(-1, ground.shape[-1])
    if pixels.shape[1] == 3 or bool((pixels[:, 3] == _WHITE).all()):
        return relative_luminances(pixels[:, :3])
    alpha = pixels[:, 3:] / _WHITE
    grounds = [pixels[:, :3] * alpha + behind * (1 - alpha) for behind in (0, _WHITE)]
    return relative_luminances(np.concatenate(grounds))


def _ratios(
    colours: npt.NDArray[np.generic], luminances: npt.NDArray[np.float64], worst_share: float
) -> npt.NDArray[np.float64]:
    """Return, for each colour (N, 3), the least contrast once the worst pixels are left out, (N,).

    Contrast falls towards the text's own luminance and rises away from it, so the worst pixels of any colour
    are found in the sorted luminances.
    """
    text = relative_luminances(colours)
    high = np.maximum(text[:, None], luminances[None]) + 0.05
    low = np.minimum(text[:, None], luminances[None]) + 0.05
    ratios = high / low
    skipped = int(worst_share * luminances.size)
    least: npt.NDArray[np.float64] = np.partition(ratios, skipped, axis=1)[:, skipped]
    return least
