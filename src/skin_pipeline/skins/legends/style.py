"""The style that legends of a picture have: their ink, their typeface, their shadow or glow.

A generated legend may be half missing, pale or smeared; all of them together still show what was meant. So
each measures by itself, weighted by how clearly it stands out, and the picture's style is the middle of all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb, contrast_ratio, to_lab
from skin_pipeline.skins.legends.erasing import Drawn, grown
from skin_pipeline.skins.legends.placing import Coverage, Line

Choice = TypeVar("Choice")

_CORE_SHARE = 0.2
"""Share of a legend's pixels, those that differ most, that show its ink; others are mixed with the face."""
_CLEAR = 12.0
"""CIELAB: what differs less from its face is too faint to tell dark ink from light."""
_SURE = 40.0
"""CIELAB: what differs more from its face certainly is lighter, or darker, though the others are not."""
_OF_ITS_OWN = 25.0
_SPREADS = 3.0
"""A legend has its own ink if that is so far, in CIELAB and in its own spread, from the others'."""
_BLACK, _WHITE = np.zeros(3, np.float32), np.full(3, 255, np.float32)
_MARGIN = 0.01
"""How much better than the plain typeface another must fit to be taken."""
_COMPARED_BLUR_PX = 0.7
_WIDTH_WEIGHT = 0.25
_GLOW_STEPS = ((0, 0), (0, 1), (1, 1), (-1, 1), (0, 2), (2, 2))
_GLOW_BLURS = (0.03, 0.08)
_GLOW_STEP = 0.04
"""Shadows are looked for at these steps to the right and down, and with these blurs, in em."""
_EXPLAINED, _SEEN = 0.35, 8.0
"""A shadow is one if it explains this share of what lies around the strokes, and has this many levels."""


@dataclass(frozen=True)
class Ink:
    """The ink of one drawn legend.

    Attributes:
        colour: (3,) sRGB, 0-255.
        difference: From its face, CIELAB.
        spread: Of its pixels, CIELAB.
        is_dark: Whether it is darker than its face.
    """

    colour: npt.NDArray[np.float32]
    difference: float
    spread: float
    is_dark: bool

    @property
    def is_clear(self) -> bool:
        """Whether it stands out enough to go by."""
        return self.difference >= _CLEAR


def ink_of(drawn: Drawn) -> Ink | None:
    """Measure the ink of a drawn legend; None if nothing is drawn."""
    if not drawn.mask.any():
        return None
    lab, face = to_lab(drawn.picture), to_lab(drawn.face)
    lighter = (lab - face)[..., 0]
    is_dark = float(lighter[drawn.mask].sum()) < 0
    of_ink = drawn.mask & ((lighter < 0) == is_dark)
    far = np.linalg.norm(lab - face, axis=2)
    core = of_ink & (far >= np.quantile(far[of_ink], 1 - _CORE_SHARE))
    colour = np.median(drawn.picture[core], axis=0)
    spread = float(np.median(np.linalg.norm(lab[core] - to_lab(colour), axis=1)))
    return Ink(colour.astype(np.float32), float(np.median(far[core])), spread, is_dark)


def common_inks(drawn: Sequence[Drawn], inks: Sequence[Ink | None]) -> list[Rgb]:
    """Return the ink of each legend: one for all that are darker than their faces, one for all lighter.

    A legend that is clearly of another colour, such as that of a coloured key, keeps it. Where too little is
    drawn to tell, the ink is taken that stands out more from the face; black or white if there is none.

    Args:
        drawn: What was drawn, a legend each.
        inks: Of each.
    """
    groups = {is_dark: _middle_ink(inks, is_dark) for is_dark in (True, False)}
    known = [ink.colour for ink in groups.values() if ink is not None] or [_BLACK, _WHITE]
    balance = sum(ink.difference * (1 if ink.is_dark else -1) for ink in inks if ink is not None)
    chosen = []
    for one, ink in zip(drawn, inks, strict=True):
        is_rare = ink is not None and ink.is_dark != (balance > 0) and ink.difference < _SURE
        group = None if ink is None or not ink.is_clear else groups[ink.is_dark != is_rare]
        if ink is None or group is None:
            face = np.median(one.face[one.inside], axis=0)
            chosen.append(max(known, key=lambda colour: contrast_ratio(colour, face)))
        else:
            usual = max(_OF_ITS_OWN, _SPREADS * ink.spread, _SPREADS * group.spread)
            away = _off_the_way(ink.colour, np.median(one.face[one.mask], axis=0), group.colour)
            chosen.append(ink.colour if away > usual else group.colour)
    return [_as_rgb(colour) for colour in chosen]


def _middle_ink(inks: Sequence[Ink | None], is_dark: bool) -> Ink | None:
    """Return the middle of all clear inks that are dark (or light); its spread is that of their colours."""
    members = [ink for ink in inks if ink is not None and ink.is_clear and ink.is_dark == is_dark]
    if not members:
        return None
    differences = np.asarray([ink.difference for ink in members])
    colour = weighted_median(np.stack([ink.colour for ink in members]), differences)
    spread = float(np.median([_distance(ink.colour, colour) for ink in members]))
    return Ink(colour, float(np.median(differences)), spread, is_dark)


def _off_the_way(colour: npt.ArrayLike, start: npt.ArrayLike, end: npt.ArrayLike) -> float:
    """Return how far a colour is from all mixtures of two others, in CIELAB: pale ink is ink all the same."""
    to_end, to_colour = to_lab(end) - to_lab(start), to_lab(colour) - to_lab(start)
    share = np.clip(to_colour @ to_end / max(1e-6, float(to_end @ to_end)), 0, 1)
    return float(np.linalg.norm(to_colour - share * to_end))


def _distance(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the distance of two colours in CIELAB."""
    return float(np.linalg.norm(to_lab(first) - to_lab(second)))


def weighted_median(
    values: npt.NDArray[np.float32], weights: npt.NDArray[np.floating]
) -> npt.NDArray[np.float32]:
    """Return the median of each column of (N, C), N rows weighing (N,)."""
    order = np.argsort(values, axis=0, kind="stable")
    passed = np.cumsum(weights[order], axis=0)
    first = (passed >= passed[-1] / 2).argmax(axis=0)
    columns = np.arange(values.shape[1])
    medians: npt.NDArray[np.float32] = values[order[first, columns], columns]
    return medians


def _as_rgb(colour: npt.ArrayLike) -> Rgb:
    red, green, blue = (int(level) for level in np.clip(np.rint(np.asarray(colour)), 0, 255))
    return red, green, blue


# --- typefaces ------------------------------------------------------------------------------------------


def strokes_of(drawn: Drawn, ink: Ink | None) -> Coverage:
    """Return how much of its ink each pixel of a drawn legend shows, (h, w), 0 to 1."""
    if ink is None:
        return np.zeros(drawn.inside.shape, np.float32)
    way = to_lab(ink.colour) - to_lab(drawn.face)
    share = ((to_lab(drawn.picture) - to_lab(drawn.face)) * way).sum(axis=2) / np.maximum(
        (way**2).sum(axis=2), 1
    )
    return np.asarray(np.clip(share, 0, 1) * drawn.mask, np.float32)


def most_alike(
    choices: Sequence[Choice],
    drawn: Sequence[Drawn],
    strokes: Sequence[Coverage],
    set_in: Callable[[Choice], Sequence[Line]],
) -> Choice:
    """Return the way of setting legends that fits what is drawn best.

    Args:
        choices: Typefaces or sizes; the first is taken unless another is clearly better.
        drawn: What was drawn, N legends.
        strokes: Their strokes.
        set_in: Sets the N legends in one of the ways.

    Returns:
        The one with the highest correlation of its strokes with those drawn (cosine over all legends).
    """
    likeness = [_likeness(set_in(choice), drawn, strokes) for choice in choices]
    best = int(np.argmax(likeness))
    return choices[best] if likeness[best] > likeness[0] + _MARGIN else choices[0]


def _likeness(lines: Sequence[Line], drawn: Sequence[Drawn], strokes: Sequence[Coverage]) -> float:
    """Compare strokes by where they lie (cosine), and by how wide they are.

    Width is twice the area over the length of the outline, both sums over all legends; so pale legends, whose
    area and outline are both less, are as wide as clear ones.
    """
    shared, norms = 0.0, np.zeros(2)
    areas, outlines = np.zeros(2), np.zeros(2)
    for line, one, seen in zip(lines, drawn, strokes, strict=True):
        window = one.window
        covered = line.coverage(window.left, window.top, window.width, window.height)
        both = [cv2.GaussianBlur(each, (0, 0), _COMPARED_BLUR_PX) for each in (covered, seen)]
        shared += float((both[0] * both[1]).sum())
        norms += [float((each**2).sum()) for each in both]
        areas += [float(each.sum()) for each in both]
        outlines += [float(np.hypot(*np.gradient(each)).sum()) for each in both]
    if not (areas > 0).all():
        return 0.0
    widths = areas / outlines
    cosine = shared / float(np.sqrt(norms.prod()))
    return cosine - _WIDTH_WEIGHT * abs(float(np.log(widths[0] / widths[1])))


# --- shadows ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shadow:
    """A shadow, or a glow: ink in another place, blurred.

    Attributes:
        step: To the right and down, in em.
        blur: Standard deviation, in em.
        is_dark: A shadow, else a glow.
        opacity: Of black or white, 0 to 1.
    """

    step: tuple[float, float]
    blur: float
    is_dark: bool
    opacity: float

    def on(self, ground: npt.NDArray[np.float32], covered: Coverage, em_px: float) -> npt.NDArray[np.float32]:
        """Return a ground (h, w, 3) with the shadow of a legend that covers (h, w) of it."""
        share = self.opacity * cast(covered, self.step, self.blur, em_px)[..., None]
        return ground + share * ((0.0 if self.is_dark else 255.0) - ground)


def cast(covered: Coverage, step: tuple[float, float], blur: float, em_px: float) -> Coverage:
    """Return a coverage (h, w), moved by a step and blurred, both in em."""
    matrix = np.array([[1, 0, step[0] * em_px], [0, 1, step[1] * em_px]], np.float64)
    moved = cv2.warpAffine(covered, matrix, (covered.shape[1], covered.shape[0]))
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), max(0.4, blur * em_px)), np.float32)


@dataclass(frozen=True)
class Around:
    """What lies around the strokes of a drawn legend.

    Attributes:
        strokes: (h, w), 0 to 1.
        difference: Of lightness from the face, (h, w), CIELAB; 0 in and right beside the strokes, and where
            it is of the ink's kind.
        room: How far the face's lightness is from that of the shadow.
        em_px: Size of the type.
    """

    strokes: Coverage
    difference: npt.NDArray[np.float32]
    room: float
    em_px: float


def find_shadow(drawn: Sequence[Drawn], inks: Sequence[Ink | None], lines: Sequence[Line]) -> Shadow | None:
    """Find the shadow or glow that sets legends off from their faces.

    Only what is light around dark ink, or dark around light ink, is looked for: a shadow of the ink's own
    kind makes legends bolder, which the choice of the typeface sees.

    Args:
        drawn: What was drawn, a legend each.
        inks: Of each.
        lines: As each is set.

    Returns:
        What explains best what lies around the strokes, if there is anything.
    """
    clear = [
        (one, ink, line)
        for one, ink, line in zip(drawn, inks, lines, strict=True)
        if ink is not None and ink.is_clear
    ]
    if not clear:
        return None
    is_dark_ink = sum(ink.difference * (1 if ink.is_dark else -1) for _, ink, _ in clear) > 0
    around = [_around(one, ink, line.em_px) for one, ink, line in clear if ink.is_dark == is_dark_ink]
    fits = [
        _fit(around, (x * _GLOW_STEP, y * _GLOW_STEP), blur) for x, y in _GLOW_STEPS for blur in _GLOW_BLURS
    ]
    best = max(fits, key=lambda fit: fit.explained)
    if best.explained < _EXPLAINED or best.levels < _SEEN:
        return None
    opacity = best.levels / max(best.levels, float(np.median([one.room for one in around])), 1.0)
    return Shadow(best.step, best.blur, not is_dark_ink, float(opacity))


def _around(drawn: Drawn, ink: Ink, em_px: float) -> Around:
    lightness, face = to_lab(drawn.picture)[..., 0], to_lab(drawn.face)[..., 0]
    strokes = strokes_of(drawn, ink)
    away = (lightness - face) * (1 if ink.is_dark else -1)
    beside = drawn.inside & ~grown(strokes > 0.25, 1)
    middle = float(np.median(face[drawn.inside]))
    return Around(strokes, np.maximum(away, 0) * beside, 100 - middle if ink.is_dark else middle, em_px)


@dataclass(frozen=True)
class _ShadowFit:
    step: tuple[float, float]
    blur: float
    explained: float
    levels: float


def _fit(around: Sequence[Around], step: tuple[float, float], blur: float) -> _ShadowFit:
    """Fit a shadow by least squares over all legends."""
    shared, of_shadow, of_seen = 0.0, 0.0, 0.0
    for one in around:
        shape = cast(one.strokes, step, blur, one.em_px) * ~grown(one.strokes > 0.25, 1)
        shared += float((shape * one.difference).sum())
        of_shadow += float((shape**2).sum())
        of_seen += float((one.difference**2).sum())
    explained = shared**2 / max(1e-6, of_shadow * of_seen)
    return _ShadowFit(step, blur, explained, shared / max(1e-6, of_shadow))
