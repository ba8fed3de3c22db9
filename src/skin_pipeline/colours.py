"""One vocabulary of colours for drawing, captions and evaluation.

A colour is an sRGB triple of 0-255 values. A *name* is one of :data:`COLOURS`: the drawn skins are painted
in jittered anchors of these names, captions are written with them and the evaluation measures with them
whether a generated skin has the colours its prompt asked for.

Distances are taken in CIELAB under D65 (CIE 15:2004), with lightness weighted less than hue and chroma
because people keep a hue's name over a wide range of lightness.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

Rgb = tuple[int, int, int]

_LIGHTNESS_WEIGHT = 0.75
"""Share of a lightness difference that counts in a distance between colours."""
_NEUTRAL_CHROMA = 6.0
"""Below this CIELAB chroma a colour is white, gray or black, whatever its hue."""
_BLACK_BELOW_LIGHTNESS = 24.0
_WHITE_ABOVE_LIGHTNESS = 89.0
_TABLE_BITS = 5
_WORKING_SIDE_PX = 128


@dataclass(frozen=True)
class ColourName:
    """A basic colour.

    Attributes:
        english: Its English name, lower case.
        chinese: Its Chinese name, usable before a noun ("粉色键盘").
        anchor: The sRGB colour that shows it best.
        variants: Further shades of this name to paint with (darker, paler, greener ...).
        aliases: Other words for it that prompts use, of either language.
        extremes: Colours of this name at the edge of sRGB, for naming and not for painting.
    """

    english: str
    chinese: str
    anchor: Rgb
    variants: tuple[Rgb, ...] = ()
    aliases: tuple[str, ...] = ()
    extremes: tuple[Rgb, ...] = ()

    @property
    def all_shades(self) -> tuple[Rgb, ...]:
        """Every sRGB colour that stands for this name."""
        return (self.anchor, *self.variants, *self.extremes)


COLOURS: tuple[ColourName, ...] = (
    ColourName(
        "red",
        "红色",
        (222, 52, 56),
        ((190, 30, 40), (240, 84, 80)),
        ("crimson", "大红"),
        extremes=((255, 0, 0),),
    ),
    ColourName(
        "orange",
        "橙色",
        (248, 146, 44),
        ((230, 120, 30), (250, 176, 100)),
        ("橘色",),
        extremes=((255, 128, 0),),
    ),
    ColourName(
        "yellow",
        "黄色",
        (250, 214, 66),
        ((255, 232, 120), (226, 190, 40)),
        ("gold", "金色"),
        extremes=((255, 255, 0),),
    ),
    ColourName(
        "green",
        "绿色",
        (72, 168, 82),
        ((40, 124, 62), (120, 190, 90), (24, 76, 48), (120, 140, 70)),
        ("翠绿",),
        extremes=((0, 255, 0), (0, 128, 0)),
    ),
    ColourName("mint", "薄荷绿", (178, 230, 206), ((200, 236, 214), (150, 220, 190)), ("薄荷色",)),
    ColourName(
        "teal",
        "青色",
        (24, 148, 150),
        ((16, 112, 118), (12, 78, 84), (70, 180, 180)),
        ("蓝绿色",),
        extremes=((0, 255, 255),),
    ),
    ColourName(
        "sky blue", "天蓝色", (140, 202, 242), ((176, 220, 248), (110, 180, 235)), ("light blue", "浅蓝色")
    ),
    ColourName(
        "blue",
        "蓝色",
        (46, 104, 222),
        ((70, 130, 230), (36, 80, 190)),
        (),
        extremes=((0, 0, 255), (30, 60, 240)),
    ),
    ColourName(
        "navy",
        "藏青色",
        (28, 40, 86),
        ((18, 26, 60), (40, 56, 110)),
        ("dark blue", "深蓝色"),
        extremes=((0, 0, 128),),
    ),
    ColourName(
        "purple",
        "紫色",
        (128, 66, 186),
        ((100, 50, 150), (60, 32, 100), (150, 80, 190)),
        ("violet",),
        extremes=((255, 0, 255), (160, 32, 240)),
    ),
    ColourName(
        "lavender", "淡紫色", (198, 182, 240), ((216, 204, 246), (178, 160, 226)), ("浅紫色", "薰衣草色")
    ),
    ColourName(
        "pink",
        "粉色",
        (250, 172, 198),
        ((252, 200, 216), (240, 130, 170)),
        ("粉红色", "rose"),
        extremes=((255, 20, 147),),
    ),
    ColourName(
        "brown", "棕色", (134, 88, 58), ((100, 64, 42), (64, 42, 32), (166, 118, 84)), ("咖啡色", "褐色")
    ),
    ColourName("beige", "米色", (242, 226, 198), ((228, 208, 176), (248, 238, 218)), ("cream", "奶油色")),
    ColourName("white", "白色", (255, 255, 255), ((244, 244, 246),)),
    ColourName("gray", "灰色", (136, 139, 145), ((76, 78, 84), (200, 203, 208)), ("grey", "银色", "silver")),
    ColourName("black", "黑色", (22, 22, 25), ((40, 40, 44), (0, 0, 0))),
    ColourName("wine", "酒红色", (112, 26, 54), ((84, 20, 40), (140, 34, 66)), ("burgundy", "maroon")),
)
"""The vocabulary, in no particular order."""

_BY_NAME = {colour.english: colour for colour in COLOURS}


def colour_named(english: str) -> ColourName:
    """Return the colour with this English name.

    Raises:
        KeyError: No colour of the vocabulary has this name.
    """
    return _BY_NAME[english]


def to_lab(rgb: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Convert sRGB colours to CIELAB.

    Args:
        rgb: (..., 3), 0-255.

    Returns:
        (..., 3) of L* in [0, 100], a* and b* in about [-110, 110].
    """
    values = np.asarray(rgb, np.float32) / 255.0
    flat = np.ascontiguousarray(values.reshape(-1, 1, 3))
    lab: npt.NDArray[np.float32] = cv2.cvtColor(flat, cv2.COLOR_RGB2LAB).reshape(values.shape)
    return lab


def relative_luminances(rgb: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the relative luminance of sRGB colours, (..., 3) of 0-255 -> (...) in [0, 1] (WCAG 2.1)."""
    values = np.asarray(rgb, np.float64) / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    luminances: npt.NDArray[np.float64] = linear @ np.asarray((0.2126, 0.7152, 0.0722))
    return luminances


def relative_luminance(rgb: npt.ArrayLike) -> float:
    """Return the relative luminance of an sRGB colour, in [0, 1] (WCAG 2.1)."""
    return float(relative_luminances(rgb))


def contrast_ratio(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the contrast ratio of two sRGB colours, in [1, 21] (WCAG 2.1).

    Text wants 4.5 or more against what lies behind it.
    """
    low, high = sorted((relative_luminance(first), relative_luminance(second)))
    return (high + 0.05) / (low + 0.05)


@lru_cache(maxsize=1)
def _anchors() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.intp]]:
    """Return all anchors in CIELAB, (N, 3), and the index in COLOURS each belongs to, (N,)."""
    owners = [index for index, colour in enumerate(COLOURS) for _ in colour.all_shades]
    colours = [rgb for colour in COLOURS for rgb in colour.all_shades]
    return to_lab(colours), np.asarray(owners, np.intp)


def _nearest_indices(rgb: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Return the index in COLOURS of each of the colours (N, 3)."""
    lab = to_lab(rgb)
    anchors, owners = _anchors()
    scale = np.asarray((_LIGHTNESS_WEIGHT, 1.0, 1.0), np.float32)
    distances = np.linalg.norm((lab[:, None] - anchors[None]) * scale, axis=2)
    indices = owners[distances.argmin(axis=1)]
    names = [colour.english for colour in COLOURS]
    lightness = lab[:, 0]
    neutral = np.where(
        lightness < _BLACK_BELOW_LIGHTNESS,
        names.index("black"),
        np.where(lightness > _WHITE_ABOVE_LIGHTNESS, names.index("white"), names.index("gray")),
    )
    return np.where(np.hypot(lab[:, 1], lab[:, 2]) < _NEUTRAL_CHROMA, neutral, indices)


def name_colour(rgb: npt.ArrayLike) -> ColourName:
    """Return the name of an sRGB colour (3,), 0-255."""
    return COLOURS[int(_nearest_indices(np.asarray(rgb, np.float32).reshape(1, 3))[0])]


@lru_cache(maxsize=1)
def _name_table() -> npt.NDArray[np.uint8]:
    """Return the index in COLOURS of every colour quantised to 5 bits a channel, (32, 32, 32)."""
    step = 256 >> _TABLE_BITS
    levels = np.arange(0, 256, step) + step // 2
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1)
    return _nearest_indices(grid.reshape(-1, 3)).astype(np.uint8).reshape(grid.shape[:3])


def dominant_colours(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_] | None = None, k: int = 3
) -> list[tuple[Rgb, float]]:
    """Return the colours that cover most of a picture.

    Pixels are grouped by the name of their colour, so that a gradient within a name is one colour and no
    two results share a name.

    Args:
        image: (H, W, 3) uint8, RGB.
        mask: (H, W), True where the picture counts; everywhere if None.
        k: The most colours to return, at least 1.

    Returns:
        At most k pairs of the median colour of a group and its share in (0, 1], largest share first.
        Empty if the mask is.
    """
    # Nearest, not area: averaging would invent colours between a key and its panel.
    step = max(1, max(image.shape[:2]) // _WORKING_SIDE_PX)
    pixels = image[step // 2 :: step, step // 2 :: step].reshape(-1, 3)
    if mask is not None:
        pixels = pixels[mask[step // 2 :: step, step // 2 :: step].reshape(-1)]
    if not len(pixels):
        return []
    quantised = pixels >> (8 - _TABLE_BITS)
    indices = _name_table()[quantised[:, 0], quantised[:, 1], quantised[:, 2]]
    counts = np.bincount(indices, minlength=len(COLOURS))
    largest = np.argsort(-counts, kind="stable")[:k]
    return [
        (_median(pixels[indices == index]), float(counts[index]) / len(pixels))
        for index in largest
        if counts[index]
    ]


def _median(pixels: npt.NDArray[np.uint8]) -> Rgb:
    red, green, blue = np.median(pixels, axis=0).astype(int).tolist()
    return red, green, blue


@lru_cache(maxsize=1)
def _words() -> tuple[re.Pattern[str], dict[str, ColourName]]:
    """Return a pattern of all colour words, longest first, and the colour each means."""
    meaning: dict[str, ColourName] = {}
    for colour in COLOURS:
        for word in (colour.english, colour.chinese, *colour.aliases):
            meaning[word] = colour
    longest_first: Sequence[str] = sorted(meaning, key=len, reverse=True)
    parts = [rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in longest_first]
    return re.compile("|".join(parts), re.IGNORECASE), meaning


def colours_in(text: str) -> list[ColourName]:
    """Return the colours that a text names, in its order, without repeats.

    The longest word wins: "sky blue" is one colour and not also "blue".
    """
    pattern, meaning = _words()
    found = [meaning[match.group().lower()] for match in pattern.finditer(text)]
    return list(dict.fromkeys(found))
