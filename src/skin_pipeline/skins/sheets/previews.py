"""Does a skin look as its own preview shows it: a keyboard, found in the picture that advertises the skin.

Most previews are title cards; a few show a keyboard, at some size, somewhere. It is found by normalised
cross-correlation over sizes and places, and compared where it was found.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.skins.model import Atlas, Keyboard, KeyboardKind, Theme
from skin_pipeline.skins.rendering import on_colour, render_keyboard

Picture = npt.NDArray[np.uint8]

KINDS = (KeyboardKind.PINYIN_26, KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_26)
"""Keyboards that a preview may show."""
SHOWS_A_KEYBOARD = 0.6
"""Correlation of a registered keyboard with a preview from which on the preview shows that keyboard."""

_DRAWN_WIDTH_PX = 720
_SEARCH_WIDTH_PX = 120
_WIDTH_SHARES = tuple(np.linspace(0.7, 1.0, 13))
_STRETCHES = tuple(np.linspace(0.8, 1.5, 29))
_BACKDROP = (0, 0, 0)
_MIN_SIDE_PX = 8


@dataclass(frozen=True)
class Match:
    """A keyboard found in a preview.

    Attributes:
        kind: Which keyboard.
        correlation: Normalised cross-correlation where it was found, -1 to 1.
        ssim: Structural similarity there.
        coverage: Share of the preview that the keyboard covers.
        box: x, y, width, height in the preview.
    """

    kind: str
    correlation: float
    ssim: float
    coverage: float
    box: tuple[int, int, int, int]


def find_in_preview(theme: Theme, preview: Atlas | None) -> Match | None:
    """Register a theme's keyboards with a preview.

    Args:
        theme: Its portrait keyboards of :data:`KINDS` are looked for.
        preview: The picture, or None.

    Returns:
        The most similar one where it lies best, whether or not the preview shows it (see
        :data:`SHOWS_A_KEYBOARD`); None without a preview or such a keyboard.
    """
    if preview is None:
        return None
    picture = on_colour(preview.pixels, _BACKDROP)
    boards = [board for board in theme.keyboards if board.kind in KINDS and board.orientation == "portrait"]
    found = [match for board in boards if (match := _register(board, picture)) is not None]
    return max(found, key=lambda match: match.ssim, default=None)


def draw(board: Keyboard, width_px: int, height_px: int | None = None) -> Picture:
    """Draw a keyboard on black, as RGB (H, W, 3)."""
    return on_colour(render_keyboard(board, width_px, height_px=height_px), _BACKDROP)


def _register(board: Keyboard, preview: Picture) -> Match | None:
    """Find the size and the place at which a keyboard correlates best with a preview.

    The search resizes one drawing; the sizes around its best one are drawn anew.
    """
    drawing, fine = (
        gray(draw(board, min(_DRAWN_WIDTH_PX, max(_SEARCH_WIDTH_PX, preview.shape[1])))),
        gray(preview),
    )
    area, small = preview.shape[0] * preview.shape[1], _SEARCH_WIDTH_PX / preview.shape[1]

    def merit(template: Picture, picture: Picture, width: int, height: int) -> tuple[float, int, int]:
        # A small piece correlates by chance more easily than a whole keyboard.
        return _correlate(template, picture)[0] * (width * height / area) ** 0.25, width, height

    coarse = cv2.resize(fine, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    guesses = (
        merit(_resized(drawing, round(width * small), round(height * small)), coarse, width, height)
        for width, height in _sizes(board, preview.shape[1])
    )
    _, width, height = max(guesses)
    near = [(width + dx, height + dy) for dx in range(-6, 7, 2) for dy in range(-9, 10, 3)]
    _, width, height = max(merit(_resized(drawing, *size), fine, *size) for size in near)
    near = [(width + dx, height + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if min(width, height) > 1]
    anew = [(*_correlate(gray(draw(board, *size)), fine), *size) for size in near]
    correlation, (x, y), width, height = max(anew, default=(-1.0, (0, 0), 0, 0))
    if correlation <= -1:
        return None
    shown = preview[y : y + height, x : x + width]
    similarity = ssim(gray(draw(board, width, height)), gray(shown))
    return Match(
        str(board.kind), float(correlation), similarity, width * height / area, (x, y, width, height)
    )


def _sizes(board: Keyboard, width_px: int) -> Iterator[tuple[int, int]]:
    """Yield sizes at which a keyboard may be shown in a preview of a width."""
    for share in _WIDTH_SHARES:
        for stretch in _STRETCHES:
            width = width_px * share
            yield round(width), round(width * board.bounds.height / board.bounds.width * stretch)


def _resized(picture: Picture, width: int, height: int) -> Picture:
    """Resize a picture; to one pixel where a side would vanish."""
    return np.asarray(cv2.resize(picture, (max(1, width), max(1, height)), interpolation=cv2.INTER_AREA))


def _correlate(template: Picture, picture: Picture) -> tuple[float, tuple[int, int]]:
    """Return the best correlation of a template with a picture, and its place; -1 if it does not fit."""
    height, width = template.shape
    if (
        not (_MIN_SIDE_PX <= width <= picture.shape[1] and _MIN_SIDE_PX <= height <= picture.shape[0])
        or template.std() < 1
    ):
        return -1.0, (0, 0)
    scores = cv2.matchTemplate(picture, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, place = cv2.minMaxLoc(np.nan_to_num(scores, nan=-1.0, posinf=-1.0, neginf=-1.0))
    return best, (place[0], place[1])


def gray(picture: Picture) -> Picture:
    """Return the luma of an RGB picture."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def ssim(one: Picture, other: Picture) -> float:
    """Return the structural similarity of two gray pictures (Wang et al. 2004: Gaussian window of 1.5 px)."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return float((luminance * (2 * covariance + c2) / (var_a + var_b + c2)).mean())


def _blur(picture: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return local means."""
    return np.asarray(cv2.GaussianBlur(picture, (11, 11), 1.5))
