"""Colours and styles of drawn skins: what goes with what.

A palette is chosen by names and painted in jittered anchors of :mod:`skin_pipeline.colours`, so that a
caption made from the names is true of the pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np

from skin_pipeline.colours import Rgb, colour_named, contrast_ratio, name_colour
from skin_pipeline.skins.drawn.layouts import LayoutName

Background = Literal[
    "plain",
    "linear gradient",
    "radial gradient",
    "dots",
    "stripes",
    "checks",
    "waves",
    "clouds",
    "starry sky",
    "hills",
    "flowers",
    "bubbles",
    "memphis",
    "leaves",
    "hearts",
    "snow",
    "diamonds",
    "grid",
    "paws",
    "cats",
    "citrus",
]
KeyShape = Literal["square", "rounded", "pill", "circle", "leaf"]
KeyFinish = Literal["flat", "shadow", "raised", "glossy", "glass", "outlined", "borderless"]
Brightness = Literal["light", "dark"]

MIN_LEGEND_CONTRAST = 4.5
"""WCAG 2.1 contrast ratio of a legend to what lies behind it, at least (level AA)."""
MIN_KEY_STEP = 38.0
"""Difference of gray levels between a solid key and the panel below which the key gets a border."""

_DIM = 110.0
"""Gray level below which a thin white veil suits a panel."""
_JITTER = 9
_NEARLY_READABLE = 2.9
"""Contrast with white from which a fill is darkened until white legends can be read on it."""


@dataclass(frozen=True)
class Paint:
    """A named colour and the very colour that is painted.

    Attributes:
        name: English name, from :data:`skin_pipeline.colours.COLOURS`.
        rgb: sRGB, 0-255; :func:`skin_pipeline.colours.name_colour` of it is the name.
    """

    name: str
    rgb: Rgb

    @property
    def gray(self) -> float:
        """Gray level (Rec. 601 luma), 0-255."""
        red, green, blue = self.rgb
        return 0.299 * red + 0.587 * green + 0.114 * blue


@dataclass(frozen=True)
class SkinStyle:
    """How a skin looks.

    Attributes:
        panel: Colour of most of the panel.
        second: The other end of a gradient, or the colour of the pattern; None for a plain panel.
        key: Fill of the letter keys; of their outline if the finish is 'outlined'; the panel's colour if
            the keys have no fill of their own.
        function_key: Fill (or outline) of the function keys.
        accent: Fill of the enter key, and of the space key if ``accented_space``.
        legend: Ink on letter keys.
        function_legend: Ink on function keys.
        accent_legend: Ink on accented keys.
        bar: Fill of the candidate bar; None if the panel shows through.
        bar_legend: Ink on the candidate bar.
        accented_space: Whether the space key has the accent's colour.
        background: What the panel shows.
        has_light: Whether a sun or a moon stands beside the bar's items, for skies.
        key_shape: Outline of the keys.
        key_roundness: Corner radius of 'rounded' keys, in units of their shorter side.
        key_finish: How the keys are painted.
        key_border: Colour of the keys' border; None for no border.
        key_alpha: Opacity of the fill of letter and function keys, in [0, 1].
        brightness: Whether the theme is light or dark.
        latin_typeface: Typeface of Latin legends.
        chinese_typeface: Typeface of legends with Chinese characters.
        legend_share: Height of a capital letter in heights of a key.
        layout: '26_key' or '9_key'.
    """

    panel: Paint
    second: Paint | None
    key: Paint
    function_key: Paint
    accent: Paint
    legend: Paint
    function_legend: Paint
    accent_legend: Paint
    bar: Paint | None
    bar_legend: Paint
    accented_space: bool
    background: Background
    has_light: bool
    key_shape: KeyShape
    key_roundness: float
    key_finish: KeyFinish
    key_border: Paint | None
    key_alpha: float
    brightness: Brightness
    latin_typeface: str
    chinese_typeface: str
    legend_share: float
    layout: LayoutName


@dataclass(frozen=True)
class _Scheme:
    """What goes with a panel colour, by names.

    Attributes:
        seconds: Partners in a gradient or a pattern.
        keys: Solid letter keys.
        accents: Enter keys.
    """

    seconds: Sequence[str]
    keys: Sequence[str]
    accents: Sequence[str]


_LIGHT: dict[str, _Scheme] = {
    "pink": _Scheme(
        ("white", "lavender", "beige", "red"),
        ("white", "white", "wine", "beige"),
        ("red", "wine", "purple", "white"),
    ),
    "lavender": _Scheme(
        ("white", "pink", "sky blue"), ("white", "white", "purple", "navy"), ("purple", "pink", "navy")
    ),
    "sky blue": _Scheme(
        ("white", "mint", "lavender"),
        ("white", "white", "navy", "blue"),
        ("blue", "yellow", "navy", "orange"),
    ),
    "mint": _Scheme(
        ("white", "sky blue", "yellow"), ("white", "white", "teal", "green"), ("teal", "green", "orange")
    ),
    "beige": _Scheme(
        ("white", "pink", "orange"), ("white", "brown", "brown", "wine"), ("brown", "orange", "green", "wine")
    ),
    "yellow": _Scheme(
        ("white", "orange", "beige"), ("white", "white", "brown", "black"), ("orange", "brown", "red", "teal")
    ),
    "white": _Scheme(
        ("pink", "sky blue", "mint", "lavender", "beige"),
        ("gray", "sky blue", "pink", "lavender", "mint", "black", "yellow", "blue", "teal"),
        ("blue", "red", "orange", "teal", "purple", "green", "pink"),
    ),
    "gray": _Scheme(("white", "sky blue"), ("white", "white", "black"), ("blue", "orange", "teal", "red")),
    "orange": _Scheme(
        ("yellow", "red", "beige"), ("white", "beige", "brown"), ("red", "brown", "yellow", "teal")
    ),
}
_DARK: dict[str, _Scheme] = {
    "black": _Scheme(
        ("gray", "navy", "wine", "purple"),
        ("gray", "white", "red", "yellow", "orange", "green", "mint", "sky blue", "lavender"),
        ("orange", "red", "yellow", "sky blue", "green", "purple", "pink", "mint"),
    ),
    "navy": _Scheme(
        ("purple", "blue", "teal"),
        ("white", "sky blue", "blue", "lavender", "yellow"),
        ("yellow", "pink", "orange", "sky blue"),
    ),
    "purple": _Scheme(
        ("navy", "pink", "blue"),
        ("lavender", "white", "pink", "navy"),
        ("pink", "yellow", "orange", "sky blue"),
    ),
    "wine": _Scheme(
        ("brown", "black", "red"), ("pink", "beige", "white"), ("beige", "yellow", "orange", "pink")
    ),
    "teal": _Scheme(
        ("navy", "green", "sky blue"),
        ("white", "mint", "navy", "beige"),
        ("yellow", "orange", "mint", "navy"),
    ),
    "green": _Scheme(
        ("teal", "yellow", "mint"),
        ("white", "mint", "beige", "yellow"),
        ("yellow", "orange", "brown", "beige"),
    ),
    "blue": _Scheme(
        ("sky blue", "purple", "navy"),
        ("white", "sky blue", "navy"),
        ("yellow", "orange", "navy", "sky blue"),
    ),
    "brown": _Scheme(
        ("black", "beige", "orange"), ("beige", "white", "orange"), ("orange", "beige", "yellow", "green")
    ),
    "red": _Scheme(
        ("wine", "orange", "pink"), ("white", "beige", "wine", "yellow"), ("yellow", "wine", "black", "white")
    ),
}

_LIGHT_BACKGROUNDS: Sequence[Background] = (
    *(
        "plain",
        "plain",
        "linear gradient",
        "linear gradient",
        "radial gradient",
        "dots",
        "stripes",
        "checks",
        "waves",
    ),
    *("clouds", "flowers", "bubbles", "memphis", "leaves", "hearts", "hills"),
    *("plain", "linear gradient", "diamonds", "grid", "paws", "cats", "citrus"),
)
_DARK_BACKGROUNDS: Sequence[Background] = (
    *("plain", "plain", "linear gradient", "linear gradient", "radial gradient", "dots", "stripes", "waves"),
    *("starry sky", "starry sky", "hills", "snow", "flowers", "bubbles", "memphis", "leaves"),
    *("plain", "linear gradient", "diamonds", "grid", "cats"),
)
_FINISHES: Sequence[KeyFinish] = (
    *("flat", "flat", "shadow", "shadow", "raised", "raised", "glossy", "glass", "glass"),
    *("outlined", "outlined", "borderless"),
)
_BUSY: frozenset[Background] = frozenset(
    (
        *(
            "dots",
            "stripes",
            "checks",
            "waves",
            "clouds",
            "flowers",
            "memphis",
            "leaves",
            "hearts",
            "snow",
            "diamonds",
        ),
        *("bubbles", "grid", "paws", "cats", "citrus"),
    )
)
"""Patterns on which legends need a key behind them."""
_CALM: frozenset[Background] = frozenset(("plain", "linear gradient", "radial gradient"))
_OPEN_BAR_SHARE = 0.6
"""How often calm panels show through the bar."""
_LATIN_OF_CHINESE = {
    "sans_sc_bold": ("grotesque", "humanist", "rounded", "geometric"),
    "sans_sc_regular": ("grotesque", "humanist", "narrow"),
    "kai_sc": ("rounded", "humanist", "kai_sc"),
    "serif_sc": ("serif_sc", "humanist"),
}
_CHINESE_TYPEFACES = ("sans_sc_bold", "sans_sc_bold", "sans_sc_bold", "sans_sc_regular", "kai_sc", "serif_sc")


_INKS = ("black", "wine", "navy", "brown", "purple", "teal", "blue", "green", "red")
_BRIGHT_INKS = (
    "white",
    "white",
    "white",
    "yellow",
    "mint",
    "sky blue",
    "pink",
    "lavender",
    "beige",
    "orange",
)


def paint_of(rgb: Rgb) -> Paint:
    """Return a colour with the name it has."""
    return Paint(name_colour(rgb).english, rgb)


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """Return the colour a share of the way from the first to the second, in sRGB."""
    red, green, blue = (
        (np.asarray(first) * (1 - share) + np.asarray(second) * share).round().astype(int).tolist()
    )
    return red, green, blue


def paint_named(random: Random, name: str, brightness: Brightness) -> Paint:
    """Return a jittered shade of a named colour that still has this name.

    Gray is taken dark in dark themes and pale in light ones; other colours mostly at their anchor.
    """
    colour = colour_named(name)
    if name == "gray":
        anchor = min(colour.variants) if brightness == "dark" else max(colour.variants)
    else:
        anchor = random.choice((colour.anchor, colour.anchor, *colour.variants))
    for _ in range(20):
        shift = random.uniform(-_JITTER, _JITTER) / 2
        levels = [
            round(min(255.0, max(0.0, v + shift + random.uniform(-_JITTER, _JITTER) / 2))) for v in anchor
        ]
        rgb = (levels[0], levels[1], levels[2])
        if name_colour(rgb).english == name:
            return Paint(name, rgb)
    return Paint(name, anchor)


def choose_style(random: Random, layout: LayoutName) -> SkinStyle:
    """Draw the lots of a style.

    Args:
        random: Source of all choices.
        layout: '26_key' or '9_key'; circles suit only wide keys.
    """
    brightness: Brightness = "light" if random.random() < 0.55 else "dark"
    schemes = _LIGHT if brightness == "light" else _DARK
    panel_name = random.choice(list(schemes))
    scheme = schemes[panel_name]
    panel = paint_named(random, panel_name, brightness)
    background = random.choice(_LIGHT_BACKGROUNDS if brightness == "light" else _DARK_BACKGROUNDS)
    second = None if background == "plain" else paint_named(random, random.choice(scheme.seconds), brightness)
    grounds = [panel] if second is None else [panel, second]
    keys = _choose_keys(random, scheme, grounds, background, brightness)
    accent, accent_legend = _choose_accent(random, scheme, keys, grounds, brightness)
    bar, bar_legend = _choose_bar(random, background, grounds, keys)
    chinese = random.choice(_CHINESE_TYPEFACES)
    return SkinStyle(
        panel=panel,
        second=second,
        key=keys.key,
        function_key=keys.function_key,
        accent=accent,
        legend=keys.legend,
        function_legend=keys.function_legend,
        accent_legend=accent_legend,
        bar=bar,
        bar_legend=bar_legend,
        accented_space=random.random() < 0.2,
        background=background,
        has_light=background in ("starry sky", "hills") and bar is None,
        key_shape=_choose_shape(random, layout),
        key_roundness=random.uniform(0.1, 0.34),
        key_finish=keys.finish,
        key_border=keys.border,
        key_alpha=keys.alpha,
        brightness=brightness,
        latin_typeface=random.choice(_LATIN_OF_CHINESE[chinese]),
        chinese_typeface=chinese,
        legend_share=random.uniform(0.38, 0.5),
        layout=layout,
    )


@dataclass(frozen=True)
class _Keys:
    """The part of a style that concerns letter and function keys."""

    finish: KeyFinish
    key: Paint
    function_key: Paint
    legend: Paint
    function_legend: Paint
    border: Paint | None
    alpha: float


def _deepened(fill: Paint) -> Paint:
    """Return a medium fill darkened as far as white legends need, if it keeps its name."""
    white = (255, 255, 255)
    if not _NEARLY_READABLE <= contrast_ratio(fill.rgb, white) < MIN_LEGEND_CONTRAST:
        return fill
    for step in range(1, 13):
        rgb = mix(fill.rgb, (0, 0, 0), 0.02 * step)
        if contrast_ratio(rgb, white) >= MIN_LEGEND_CONTRAST:
            return Paint(fill.name, rgb) if name_colour(rgb).english == fill.name else fill
    return fill


def _choose_keys(
    random: Random, scheme: _Scheme, grounds: Sequence[Paint], background: Background, brightness: Brightness
) -> _Keys:
    """Return keys whose legends can be read; see-through ones only where the panel allows them."""
    finish = random.choice(_FINISHES)
    if finish in ("outlined", "borderless") and background in _BUSY:
        finish = random.choice(("glass", "flat", "shadow"))
    if finish in ("glass", "outlined", "borderless"):
        keys = _see_through_keys(random, finish, grounds)
        if keys is not None:
            return keys
        finish = "shadow"
    names = [
        name for name in scheme.keys if name not in {ground.name for ground in grounds[1:]}
    ] or scheme.keys
    key = _deepened(paint_named(random, random.choice(names), brightness))
    function_key = random.choice(
        (key, key, paint_of(mix(key.rgb, grounds[0].rgb, 0.4)), paint_of(mix(key.rgb, (0, 0, 0), 0.14)))
    )
    legend = _choose_ink(random, [key])
    function_legend = (
        legend if _contrast(legend, [function_key]) >= MIN_LEGEND_CONTRAST else _plain_ink([function_key])
    )
    return _Keys(
        finish, key, function_key, legend, function_legend, _choose_border(random, key, legend, grounds), 1.0
    )


def _see_through_keys(random: Random, finish: KeyFinish, grounds: Sequence[Paint]) -> _Keys | None:
    """Return keys that show the panel, or None if no ink can be read on all of it."""
    if finish == "glass":
        return _glass_keys(random, grounds)
    legend = _choose_ink(random, grounds)
    if _contrast(legend, grounds) < MIN_LEGEND_CONTRAST:
        return None
    if finish == "outlined":
        return _Keys(finish, legend, legend, legend, legend, legend, 0.0)
    return _Keys(finish, grounds[0], grounds[0], legend, legend, None, 0.0)


def _glass_keys(random: Random, grounds: Sequence[Paint]) -> _Keys | None:
    """Return glass keys of the first kind that can be read, or None."""
    white, black = Paint("white", (255, 255, 255)), Paint("black", (20, 20, 24))
    # Veil, its opacity, and whether the ink on it is light.
    kinds = [(white, random.uniform(0.42, 0.64), False), (black, random.uniform(0.42, 0.64), True)]
    random.shuffle(kinds)
    if max(ground.gray for ground in grounds) < _DIM:
        kinds.insert(0, (white, random.uniform(0.17, 0.26), True))
    for veil, alpha, wants_light in kinds:
        behind = [paint_of(mix(ground.rgb, veil.rgb, alpha)) for ground in grounds]
        legend = _choose_ink(random, behind)
        is_light = legend.gray > max(paint.gray for paint in behind)
        if is_light != wants_light or _contrast(legend, behind) < MIN_LEGEND_CONTRAST:
            continue
        border = paint_of(mix(veil.rgb, legend.rgb, 0.15)) if random.random() < 0.5 else None
        if min(abs(veil.gray - ground.gray) * alpha for ground in grounds) < MIN_KEY_STEP:
            border = legend
        return _Keys("glass", veil, veil, legend, legend, border, alpha)
    return None


def _contrast(ink: Paint, behind: Sequence[Paint]) -> float:
    return min(contrast_ratio(ink.rgb, paint.rgb) for paint in behind)


def _plain_ink(behind: Sequence[Paint]) -> Paint:
    """Return white or near-black, whichever reads better."""
    inks = (Paint("white", (255, 255, 255)), Paint("black", (24, 24, 28)), Paint("black", (0, 0, 0)))
    readable = [ink for ink in inks if _contrast(ink, behind) >= MIN_LEGEND_CONTRAST]
    return readable[0] if readable else max(inks, key=lambda ink: _contrast(ink, behind))


def _choose_ink(random: Random, behind: Sequence[Paint]) -> Paint:
    """Return an ink that reads well on all of the colours behind it: coloured if it can be, else plain."""
    dark = sum(contrast_ratio(paint.rgb, (0, 0, 0)) for paint in behind) > sum(
        contrast_ratio(paint.rgb, (255, 255, 255)) for paint in behind
    )
    names = _INKS if dark else _BRIGHT_INKS
    candidates = [Paint(name, colour_named(name).anchor) for name in names]
    readable = [ink for ink in candidates if _contrast(ink, behind) >= MIN_LEGEND_CONTRAST + 0.5]
    if readable and random.random() < 0.6:
        return random.choice(readable)
    return _plain_ink(behind)


def _choose_border(random: Random, key: Paint, legend: Paint, grounds: Sequence[Paint]) -> Paint | None:
    """Return a border that shows where a key ends, if its fill alone does not or by choice."""
    step = min(abs(key.gray - ground.gray) for ground in grounds)
    if step >= MIN_KEY_STEP and random.random() > 0.15:
        return None
    border = paint_of(mix(key.rgb, legend.rgb, 0.55))
    far_enough = all(abs(border.gray - other.gray) >= MIN_KEY_STEP for other in (key, *grounds))
    return border if far_enough else legend


def _choose_accent(
    random: Random, scheme: _Scheme, keys: _Keys, grounds: Sequence[Paint], brightness: Brightness
) -> tuple[Paint, Paint]:
    """Return fill and ink of the enter key."""
    if random.random() < 0.25 and keys.alpha == 1.0:
        return keys.function_key, keys.function_legend
    taken = {keys.key.name, *(ground.name for ground in grounds)}
    names = [name for name in (*scheme.accents, "orange", "teal") if name not in taken][: len(scheme.accents)]
    accent = _deepened(paint_named(random, random.choice(names), brightness))
    return accent, _plain_ink([accent])


def _choose_bar(
    random: Random, background: Background, grounds: Sequence[Paint], keys: _Keys
) -> tuple[Paint | None, Paint]:
    """Return fill (None: none) and ink of the candidate bar."""
    skies = ("starry sky", "hills")
    if background in skies or (background in _CALM and random.random() < _OPEN_BAR_SHARE):
        # The second colour of a sky begins below the bar.
        behind = grounds[:1] if background in skies else grounds
        ink = keys.legend if _contrast(keys.legend, behind) >= MIN_LEGEND_CONTRAST else _plain_ink(behind)
        if _contrast(ink, behind) >= MIN_LEGEND_CONTRAST:
            return None, ink
    toward = (255, 255, 255) if grounds[0].gray > 128 else (0, 0, 0)
    bar = paint_of(mix(grounds[0].rgb, toward, random.uniform(0.2, 0.6)))
    return bar, _choose_ink(random, [bar])


def _choose_shape(random: Random, layout: LayoutName) -> KeyShape:
    shapes: Sequence[KeyShape] = (
        "rounded",
        "rounded",
        "rounded",
        "rounded",
        "square",
        "pill",
        "pill",
        "leaf",
    )
    return random.choice((*shapes, "circle") if layout == "9_key" else shapes)
