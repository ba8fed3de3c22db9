"""Icons of function keys and toolbars, as vector strokes.

An icon lives in the unit square, x right and y down; strokes are polylines with round caps.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

_Stroke = Sequence[tuple[float, float]]
_SUPERSAMPLING = 4
_STROKE_WIDTH = 0.095


def _arc(
    x: float, y: float, radius_x: float, radius_y: float, start: float = 0.0, end: float = 360.0
) -> _Stroke:
    """Return an arc of an ellipse, angles in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 25))
    return [(x + radius_x * math.cos(angle), y + radius_y * math.sin(angle)) for angle in angles]


def _box(x0: float, y0: float, x1: float, y1: float) -> _Stroke:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]


def _gear() -> _Stroke:
    points = []
    for index in range(32):
        angle = 2 * math.pi * index / 32
        radius = 0.42 if index % 4 < 2 else 0.33
        points.append((0.5 + radius * math.cos(angle), 0.5 + radius * math.sin(angle)))
    return [*points, points[0]]


_STROKES: dict[str, Sequence[_Stroke]] = {
    "shift": [
        [
            (0.5, 0.1),
            (0.1, 0.52),
            (0.32, 0.52),
            (0.32, 0.88),
            (0.68, 0.88),
            (0.68, 0.52),
            (0.9, 0.52),
            (0.5, 0.1),
        ]
    ],
    "backspace": [
        [(0.34, 0.18), (0.96, 0.18), (0.96, 0.82), (0.34, 0.82), (0.04, 0.5), (0.34, 0.18)],
        [(0.5, 0.37), (0.76, 0.63)],
        [(0.76, 0.37), (0.5, 0.63)],
    ],
    "globe": [
        _arc(0.5, 0.5, 0.42, 0.42),
        _arc(0.5, 0.5, 0.19, 0.42),
        [(0.1, 0.36), (0.9, 0.36)],
        [(0.1, 0.64), (0.9, 0.64)],
    ],
    "emoji": [
        _arc(0.5, 0.5, 0.42, 0.42),
        _arc(0.5, 0.52, 0.22, 0.2, 20, 160),
        [(0.36, 0.37), (0.36, 0.42)],
        [(0.64, 0.37), (0.64, 0.42)],
    ],
    "mic": [
        [*_arc(0.5, 0.28, 0.15, 0.15, 180, 360), *_arc(0.5, 0.5, 0.15, 0.15, 0, 180), (0.35, 0.28)],
        _arc(0.5, 0.48, 0.3, 0.28, 0, 180),
        [(0.5, 0.76), (0.5, 0.92)],
        [(0.32, 0.92), (0.68, 0.92)],
    ],
    "enter": [[(0.86, 0.2), (0.86, 0.58), (0.14, 0.58)], [(0.36, 0.36), (0.14, 0.58), (0.36, 0.8)]],
    "search": [_arc(0.42, 0.42, 0.29, 0.29), [(0.64, 0.64), (0.9, 0.9)]],
    "grid": [
        *(_box(x, y, x + 0.28, y + 0.28) for x in (0.14, 0.58) for y in (0.14, 0.58)),
    ],
    "settings": [_gear(), _arc(0.5, 0.5, 0.14, 0.14)],
    "keyboard": [
        _box(0.04, 0.22, 0.96, 0.78),
        *([(x, 0.4), (x + 0.01, 0.4)] for x in (0.22, 0.41, 0.59, 0.78)),
        [(0.3, 0.6), (0.7, 0.6)],
    ],
    "collapse": [[(0.16, 0.36), (0.5, 0.68), (0.84, 0.36)]],
    "clipboard": [
        _box(0.18, 0.16, 0.82, 0.94),
        _box(0.36, 0.06, 0.64, 0.24),
        [(0.34, 0.48), (0.66, 0.48)],
        [(0.34, 0.68), (0.58, 0.68)],
    ],
    "palette": [
        [*_arc(0.5, 0.5, 0.42, 0.4, 60, 380), (0.7, 0.64), (0.6, 0.72), (0.71, 0.85)],
        [(0.3, 0.44), (0.31, 0.44)],
        [(0.47, 0.28), (0.48, 0.28)],
        [(0.67, 0.36), (0.68, 0.36)],
    ],
    "cursor": [[(0.5, 0.12), (0.5, 0.88)], [(0.36, 0.12), (0.64, 0.12)], [(0.36, 0.88), (0.64, 0.88)]],
}


@lru_cache(maxsize=256)
def icon_mask(name: str, size_px: int) -> npt.NDArray[np.float32]:
    """Return the coverage of an icon, (size_px, size_px), in [0, 1].

    Args:
        name: A name of :data:`skin_pipeline.skins.drawn.layouts.ICONS`.
        size_px: Side of its square, at least 4.
    """
    side = size_px * _SUPERSAMPLING
    canvas = np.zeros((side, side), np.uint8)
    thickness = max(1, round(side * _STROKE_WIDTH))
    for stroke in _STROKES[name]:
        points = np.round(np.asarray(stroke) * side).astype(np.int32)
        cv2.polylines(canvas, [points.reshape(-1, 1, 2)], isClosed=False, color=255, thickness=thickness)
    small = cv2.resize(canvas, (size_px, size_px), interpolation=cv2.INTER_AREA)
    mask: npt.NDArray[np.float32] = np.asarray(small, np.float32) / np.float32(255)
    mask.setflags(write=False)
    return mask
