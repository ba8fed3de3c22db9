"""What a drawn skin's panel shows behind its keys.

Patterns are placed in units of the picture's height, so that they are the same at every size; lots are
drawn in an order that does not depend on the size.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.colours import Rgb, relative_luminance
from skin_pipeline.skins.drawn.palettes import SkinStyle, mix

Canvas = npt.NDArray[np.uint8]
_Point = tuple[float, float]

_SUBPIXEL_BITS = 4
_BAR_ZONE = 0.19
"""Large stars stay below this y, off the words of the candidate bar."""
_LIGHT_SKY = 0.3
"""Relative luminance above which a sky has a sun and not a moon."""
_ASPECT = 4 / 3
"""Width of a pattern's field in picture heights; patterns are stretched to the picture's true aspect."""


@dataclass(frozen=True)
class _Tones:
    """The two colours of a pattern."""

    panel: Rgb
    second: Rgb

    def between(self, share: float) -> Rgb:
        """Return the tone a share of the way from the panel's colour to the second."""
        return mix(self.panel, self.second, share)


class _Brush:
    """Paints antialiased shapes given in units of the field (x in [0, 4/3], y in [0, 1])."""

    def __init__(self, canvas: Canvas) -> None:
        self._canvas = canvas
        height, width = canvas.shape[:2]
        self._scale = np.asarray((width / _ASPECT, height))

    def polygon(self, points: Iterable[_Point], colour: Rgb) -> None:
        """Fill a polygon."""
        # OpenCV counts from the centre of the first pixel, not from its corner.
        positions = np.asarray(list(points)) * self._scale - 0.5
        pixels = np.round(positions * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(self._canvas, [pixels.reshape(-1, 1, 2)], colour, cv2.LINE_AA, _SUBPIXEL_BITS)

    def disc(self, x: float, y: float, radius: float, colour: Rgb) -> None:
        """Fill a circle."""
        self.polygon(_circle(x, y, radius), colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Rgb, inside: Rgb) -> None:
        """Fill a circle and a smaller one in it."""
        self.disc(x, y, radius, colour)
        self.disc(x, y, radius - width, inside)


def _circle(x: float, y: float, radius: float) -> list[_Point]:
    angles = [2 * math.pi * index / 40 for index in range(40)]
    return [(x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles]


def _turned(points: Iterable[_Point], x: float, y: float, size: float, angle: float) -> list[_Point]:
    """Turn a unit shape, scale it and move it to (x, y)."""
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    return [(x + px * cos - py * sin, y + px * sin + py * cos) for px, py in points]


def paint_background(
    random: Random, style: SkinStyle, width_px: int, height_px: int, bar_height: float
) -> Canvas:
    """Paint a panel.

    Args:
        random: Source of the pattern's choices.
        style: Colours and pattern.
        width_px: Width of the picture.
        height_px: Height of the picture.
        bar_height: Height of the candidate bar, in heights of the picture; the sun or moon stands there.

    Returns:
        (height_px, width_px, 3) uint8, RGB.
    """
    panel = style.panel.rgb
    canvas = np.empty((height_px, width_px, 3), np.uint8)
    canvas[:] = panel
    if style.second is None:
        return canvas
    if style.background in _GRADIENTS:
        return _gradient(canvas.shape, _GRADIENTS[style.background](random), panel, style.second.rgb)
    brush = _Brush(canvas)
    _PATTERNS[style.background](random, brush, _Tones(panel, style.second.rgb))
    if style.has_light and bar_height:
        _light(random, brush, panel, bar_height)
    return canvas


def blurred(canvas: Canvas, sigma_px: float) -> Canvas:
    """Return a picture seen through frosted glass: blurred at a fraction of its size, which is fast."""
    factor = max(1, int(sigma_px / 2))
    height, width = canvas.shape[:2]
    small = cv2.resize(
        canvas, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA
    )
    soft = cv2.GaussianBlur(small, (0, 0), sigma_px / factor)
    return np.asarray(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


# --- Gradients -----------------------------------------------------------------------------------------


_Field = Callable[[npt.NDArray[np.float32], npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Share of the second colour at x and y in [0, 1]."""


def _gradient(shape: tuple[int, ...], field: _Field, first: Rgb, second: Rgb) -> Canvas:
    """Paint a field computed on a coarse grid; it is smooth enough to be enlarged."""
    height, width = shape[:2]
    ys, xs = np.mgrid[0:97, 0:129].astype(np.float32)
    share = np.clip(field(xs / 128, ys / 96), 0.0, 1.0)[..., None]
    colours = np.asarray(first, np.float32) * (1 - share) + np.asarray(second, np.float32) * share
    large = cv2.resize(colours, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.round(large), np.uint8)


def _linear_field(random: Random) -> _Field:
    angle = random.choice((0.0, 0.25, 0.5, 0.75, 1.0)) * math.pi / 2 * random.choice((1, -1))
    cos, sin = math.cos(angle), math.sin(angle)
    reach = abs(cos) + abs(sin)

    def field(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        t = ((x - 0.5) * sin + (y - 0.5) * cos) / reach + 0.5
        # More than half of the panel stays near the first colour.
        return np.asarray(np.clip((t - 0.15) / 0.85, 0.0, 1.0) ** 1.5, np.float32)

    return field


def _radial_field(random: Random) -> _Field:
    centre_x, centre_y = random.uniform(0.2, 0.8), random.uniform(0.0, 0.6)
    radius = random.uniform(0.55, 0.75)

    def field(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        distance = np.hypot(x - np.float32(centre_x), y - np.float32(centre_y))
        return np.asarray(np.clip(1 - distance / np.float32(radius), 0.0, 1.0) ** 1.2, np.float32)

    return field


_GRADIENTS: dict[str, Callable[[Random], _Field]] = {
    "linear gradient": _linear_field,
    "radial gradient": _radial_field,
}


# --- Patterns ------------------------------------------------------------------------------------------


def _lattice(random: Random, pitch: float) -> Iterable[_Point]:
    """Yield the points of a staggered lattice that covers the field."""
    phase = random.random() * pitch
    for row in range(-1, math.ceil(1 / pitch) + 2):
        for column in range(-1, math.ceil(_ASPECT / pitch) + 2):
            yield (column + 0.5 * (row % 2)) * pitch + phase, row * pitch * 0.866 + phase


def _scatter(random: Random, pitch: float) -> Iterable[_Point]:
    """Yield the points of a lattice, each moved a little."""
    for x, y in _lattice(random, pitch):
        yield x + random.uniform(-0.28, 0.28) * pitch, y + random.uniform(-0.28, 0.28) * pitch


def _dots(random: Random, brush: _Brush, tones: _Tones) -> None:
    pitch = random.uniform(0.06, 0.13)
    radius = pitch * random.uniform(0.18, 0.27)
    for x, y in _lattice(random, pitch):
        brush.disc(x, y, radius, tones.second)


def _stripes(random: Random, brush: _Brush, tones: _Tones) -> None:
    pitch, share = random.uniform(0.07, 0.16), random.uniform(0.3, 0.42)
    lean = random.choice((0.0, 1.0, -1.0, 1.0))
    for index in range(-math.ceil(1 / pitch) - 1, math.ceil((_ASPECT + 1) / pitch) + 1):
        x = index * pitch
        brush.polygon(
            [(x, 0), (x + pitch * share, 0), (x + pitch * share + lean, 1), (x + lean, 1)], tones.second
        )


def _checks(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint gingham: bands in half of the second colour, squares of it where they cross."""
    pitch = random.uniform(0.09, 0.16)
    half = tones.between(0.35)
    columns, rows = range(math.ceil(_ASPECT / pitch)), range(math.ceil(1 / pitch))
    for column in columns:
        brush.polygon(_rectangle(column * pitch, 0, pitch / 2, 1.0), half)
    for row in rows:
        brush.polygon(_rectangle(0, row * pitch, _ASPECT, pitch / 2), half)
    for column in columns:
        for row in rows:
            brush.polygon(_rectangle(column * pitch, row * pitch, pitch / 2, pitch / 2), tones.second)


def _rectangle(x: float, y: float, width: float, height: float) -> list[_Point]:
    return [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]


def _waves(random: Random, brush: _Brush, tones: _Tones) -> None:
    pitch, length = random.uniform(0.1, 0.17), random.uniform(0.16, 0.34)
    swing, width = pitch * random.uniform(0.18, 0.3), pitch * random.uniform(0.28, 0.4)
    xs = [_ASPECT * index / 96 for index in range(97)]
    for row in range(-1, math.ceil(1 / pitch) + 1):
        top = [(x, row * pitch + swing * math.sin(2 * math.pi * x / length)) for x in xs]
        brush.polygon([*top, *((x, y + width) for x, y in reversed(top))], tones.second)


def _clouds(random: Random, brush: _Brush, tones: _Tones) -> None:
    for x, y in _scatter(random, random.uniform(0.3, 0.42)):
        size = random.uniform(0.05, 0.075)
        for dx, dy, radius in (
            (-1.1, 0.1, 0.7),
            (0, -0.35, 1.0),
            (1.15, 0.05, 0.75),
            (2.0, 0.25, 0.5),
            (-1.9, 0.3, 0.45),
        ):
            brush.disc(x + dx * size, y + dy * size, radius * size, tones.second)
        brush.polygon(_rectangle(x - 1.9 * size, y + 0.2 * size, 3.9 * size, 0.55 * size), tones.second)


_STAR = [
    (radius * math.sin(math.pi * index / 5), -radius * math.cos(math.pi * index / 5))
    for index, radius in enumerate((1.0, 0.42) * 5)
]
_SPARKLE = [
    (radius * math.sin(math.pi * index / 4), -radius * math.cos(math.pi * index / 4))
    for index, radius in enumerate((1.0, 0.24) * 4)
]


def _starry_sky(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint small and large stars, and a glow of the second colour at the horizon."""
    for step in range(8):
        top = 0.62 + 0.05 * step
        brush.polygon(_rectangle(0, top, _ASPECT, 1 - top), tones.between(0.08 * (step + 1)))
    light = mix(tones.panel, (255, 250, 225), 0.9)
    for x, y in _scatter(random, 0.085):
        brush.disc(x, y, random.uniform(0.0015, 0.0045), light)
    for x, y in _scatter(random, random.uniform(0.24, 0.34)):
        shape, size = random.choice((_STAR, _SPARKLE)), random.uniform(0.012, 0.024)
        if y > _BAR_ZONE:
            brush.polygon(_turned(shape, x, y, size, 0.0), light)


def _light(random: Random, brush: _Brush, panel: Rgb, bar_height: float) -> None:
    """Paint a sun into a light sky, or a moon, full or crescent, into a dark one."""
    x, y, radius = 0.1 * _ASPECT, 0.54 * bar_height, 0.34 * bar_height
    if relative_luminance(panel) > _LIGHT_SKY:
        for spread, share in ((1.35, 0.35), (1.0, 1.0)):
            brush.disc(x, y, radius * spread, mix(panel, (255, 148, 66), share))
        return
    brush.disc(x, y, radius * 1.3, mix(panel, (255, 246, 214), 0.16))
    brush.disc(x, y, radius, (255, 246, 214))
    if random.random() < 0.6:
        brush.disc(x + radius * 0.45, y - radius * 0.25, radius * 0.82, mix(panel, (255, 246, 214), 0.16))


def _hills(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint ranges of hills, from pale to full colour."""
    xs = [_ASPECT * index / 64 for index in range(65)]
    for layer in range(3):
        base, swing = 0.58 + 0.15 * layer, random.uniform(0.04, 0.075)
        waves = [
            (random.uniform(1.1, 2.2), random.uniform(0, 7)),
            (random.uniform(2.5, 4.5), random.uniform(0, 7)),
        ]
        ridge = [
            (x, base - sum(swing / (i + 1) * math.sin(f * x * 3 + p) for i, (f, p) in enumerate(waves)))
            for x in xs
        ]
        brush.polygon([*ridge, (_ASPECT, 1.0), (0.0, 1.0)], tones.between(0.35 + 0.3 * layer))


def _flowers(random: Random, brush: _Brush, tones: _Tones) -> None:
    centre = mix(tones.second, (255, 214, 90), 0.6)
    for x, y in _scatter(random, random.uniform(0.15, 0.22)):
        size, angle = random.uniform(0.022, 0.042), random.uniform(0, math.pi)
        for petal in range(5):
            turn = angle + 2 * math.pi * petal / 5
            brush.disc(
                x + size * 0.62 * math.cos(turn), y + size * 0.62 * math.sin(turn), size * 0.52, tones.second
            )
        brush.disc(x, y, size * 0.3, centre)


def _bubbles(random: Random, brush: _Brush, tones: _Tones) -> None:
    inside, shine = tones.between(0.35), mix(tones.second, (255, 255, 255), 0.7)
    for x, y in _scatter(random, random.uniform(0.16, 0.24)):
        radius = random.uniform(0.02, 0.075)
        brush.ring(x, y, radius, max(0.004, radius * 0.1), tones.second, inside)
        brush.disc(x - radius * 0.38, y - radius * 0.38, radius * 0.17, shine)


def _memphis(random: Random, brush: _Brush, tones: _Tones) -> None:
    triangle = [(0.0, -1.0), (0.87, 0.5), (-0.87, 0.5)]
    bar = [(-1.2, -0.25), (1.2, -0.25), (1.2, 0.25), (-1.2, 0.25)]
    pale = tones.between(0.5)
    for x, y in _scatter(random, random.uniform(0.13, 0.19)):
        size, angle = random.uniform(0.016, 0.034), random.uniform(0, math.pi)
        kind, colour = random.randrange(4), random.choice((tones.second, tones.second, pale))
        if kind == 0:
            brush.ring(x, y, size, size * 0.36, colour, tones.panel)
        elif kind == 1:
            brush.disc(x, y, size * 0.7, colour)
        else:
            brush.polygon(_turned((triangle, bar)[kind % 2], x, y, size, angle), colour)


_LEAF = [(math.sin(math.pi * t / 12) * 0.42, t / 6 - 1) for t in range(13)] + [
    (-math.sin(math.pi * t / 12) * 0.42, 1 - t / 6) for t in range(13)
]


def _leaves(random: Random, brush: _Brush, tones: _Tones) -> None:
    vein = tones.between(0.45)
    stem = [(-0.04, -0.8), (0.04, -0.8), (0.04, 1.25), (-0.04, 1.25)]
    for x, y in _scatter(random, random.uniform(0.14, 0.2)):
        size, angle = random.uniform(0.03, 0.055), random.uniform(0, 2 * math.pi)
        brush.polygon(_turned(_LEAF, x, y, size, angle), tones.second)
        brush.polygon(_turned(stem, x, y, size, angle), vein)


_HEART = [
    (
        0.0625 * 16 * math.sin(t) ** 3,
        -0.0625 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)),
    )
    for t in (2 * math.pi * index / 36 for index in range(36))
]


def _hearts(random: Random, brush: _Brush, tones: _Tones) -> None:
    pale = tones.between(0.55)
    for x, y in _scatter(random, random.uniform(0.11, 0.17)):
        points = _turned(_HEART, x, y, random.uniform(0.018, 0.036), random.uniform(-0.4, 0.4))
        brush.polygon(points, random.choice((tones.second, tones.second, pale)))


def _snow(random: Random, brush: _Brush, tones: _Tones) -> None:
    flake_colour = mix(tones.second, (255, 255, 255), 0.55)
    arm: Sequence[_Point] = [(-0.07, -1), (0.07, -1), (0.07, 1), (-0.07, 1)]
    for x, y in _scatter(random, 0.09):
        brush.disc(x, y, random.uniform(0.003, 0.008), flake_colour)
    for x, y in _scatter(random, random.uniform(0.22, 0.3)):
        size, angle = random.uniform(0.025, 0.045), random.uniform(0, 1)
        for turn in range(3):
            brush.polygon(_turned(arm, x, y, size, angle + turn * math.pi / 3), flake_colour)


def _diamonds(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint argyle: diamonds in half of the second colour, thin lines of it across."""
    width = random.uniform(0.12, 0.18)
    height, half, line = width * 1.5, tones.between(0.6), 0.004
    for row in range(-1, math.ceil(1 / height) + 1):
        for column in range(-1, math.ceil(_ASPECT / width) + 1):
            x, y = column * width, row * height
            rhombus = [
                (x + width / 2, y),
                (x + width, y + height / 2),
                (x + width / 2, y + height),
                (x, y + height / 2),
            ]
            if (row + column) % 2:
                brush.polygon(rhombus, half)
            for (ax, ay), (bx, by) in pairwise(rhombus):
                brush.polygon(
                    [(ax - line, ay), (ax + line, ay), (bx + line, by), (bx - line, by)], tones.second
                )


def _grid(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint the thin lines of squared paper."""
    pitch = random.uniform(0.055, 0.1)
    width = pitch * random.uniform(0.08, 0.14)
    for column in range(math.ceil(_ASPECT / pitch)):
        brush.polygon(_rectangle((column + 0.5) * pitch, 0, width, 1.0), tones.second)
    for row in range(math.ceil(1 / pitch)):
        brush.polygon(_rectangle(0, (row + 0.5) * pitch, _ASPECT, width), tones.second)


def _paws(random: Random, brush: _Brush, tones: _Tones) -> None:
    toes = [
        (-0.72, -0.35, 0.26),
        (-0.27, -0.78, 0.28),
        (0.27, -0.78, 0.28),
        (0.72, -0.35, 0.26),
        (0, 0.2, 0.52),
    ]
    for x, y in _scatter(random, random.uniform(0.13, 0.18)):
        size, angle = random.uniform(0.026, 0.04), random.uniform(-0.6, 0.6)
        for toe_x, toe_y, radius in toes:
            ((px, py),) = _turned([(toe_x, toe_y)], x, y, size, angle)
            brush.disc(px, py, radius * size, tones.second)


def _cats(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint heads of cats: a flattened disc with ears, eyes and a nose."""
    head = [(px * 1.1, py * 0.88 + 0.12) for px, py in _circle(0, 0, 1.0)]
    ears = ([(-1.0, -0.05), (-0.88, -1.1), (-0.2, -0.65)], [(1.0, -0.05), (0.88, -1.1), (0.2, -0.65)])
    face = [(-0.45, 0.05, 0.13), (0.45, 0.05, 0.13), (0.0, 0.36, 0.1)]
    for x, y in _scatter(random, random.uniform(0.15, 0.2)):
        size, angle = random.uniform(0.034, 0.05), random.uniform(-0.3, 0.3)
        for part in (head, *ears):
            brush.polygon(_turned(part, x, y, size, angle), tones.second)
        for spot_x, spot_y, radius in face:
            ((px, py),) = _turned([(spot_x, spot_y)], x, y, size, angle)
            brush.disc(px, py, radius * size, tones.panel)


def _citrus(random: Random, brush: _Brush, tones: _Tones) -> None:
    """Paint slices of fruit: rind, pith and eight segments."""
    pith, segment = mix(tones.second, (255, 255, 255), 0.75), mix(tones.second, (255, 255, 255), 0.12)
    for x, y in _scatter(random, random.uniform(0.19, 0.25)):
        size, angle = random.uniform(0.045, 0.07), random.uniform(0, 1)
        brush.ring(x, y, size, size * 0.14, tones.second, pith)
        for index in range(8):
            start = angle + index * math.pi / 4
            rim = [(start + step, 0.74) for step in (0.09, 0.25, 0.4, 0.55, 0.7)]
            wedge = [(r * math.cos(a), r * math.sin(a)) for a, r in [(start + math.pi / 8, 0.12), *rim]]
            brush.polygon(_turned(wedge, x, y, size, 0.0), segment)


_PATTERNS: dict[str, Callable[[Random, _Brush, _Tones], None]] = {
    "starry sky": _starry_sky,
    "hills": _hills,
    "dots": _dots,
    "stripes": _stripes,
    "checks": _checks,
    "waves": _waves,
    "clouds": _clouds,
    "flowers": _flowers,
    "bubbles": _bubbles,
    "memphis": _memphis,
    "leaves": _leaves,
    "hearts": _hearts,
    "snow": _snow,
    "diamonds": _diamonds,
    "grid": _grid,
    "paws": _paws,
    "cats": _cats,
    "citrus": _citrus,
}
