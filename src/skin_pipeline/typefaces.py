"""The typefaces that ship with the package, and what they can write.

The files in ``fonts/`` are subsets under the SIL Open Font License or the Apache License; ``fonts/FONTS.md``
names the origin and the copyright of each, and ``tools/subset_fonts.py`` made them.
"""

from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from skin_pipeline.errors import ConfigurationError

_FOLDER = Path(__file__).parent / "fonts"

LATIN_TYPEFACES: tuple[str, ...] = ("grotesque", "humanist", "rounded", "geometric", "narrow")
"""Typefaces with printable ASCII only."""

CHINESE_TYPEFACES: tuple[str, ...] = ("sans_sc_regular", "sans_sc_bold")
"""Typefaces with ASCII, GB 2312 level 1 (3755 characters), punctuation and arrows."""

DISPLAY_TYPEFACES: tuple[str, ...] = ("kai_sc", "serif_sc")
"""Typefaces with ASCII and only those Chinese characters that drawn keyboards use."""

TYPEFACES: tuple[str, ...] = LATIN_TYPEFACES + CHINESE_TYPEFACES + DISPLAY_TYPEFACES

_NONCHARACTER = "\U0010ffff"
"""A code point that Unicode promises never to assign."""
_COMPARING_SIZE_PX = 32

_SUFFIXES = {"narrow": ".otf", "sans_sc_regular": ".otf", "sans_sc_bold": ".otf", "serif_sc": ".otf"}


_MEASURING_SIZE_PX = 200


def font_path(name: str) -> Path:
    """Return the file of a shipped typeface.

    Args:
        name: One of :data:`TYPEFACES`.

    Raises:
        ConfigurationError: No such typeface is shipped.
    """
    if name not in TYPEFACES:
        raise ConfigurationError(
            f"No typeface {name!r} ships with skin_pipeline; choose one of {', '.join(TYPEFACES)}."
        )
    return _FOLDER / f"{name}{_SUFFIXES.get(name, '.ttf')}"


@lru_cache(maxsize=512)
def load_font(path: Path, size_px: int) -> ImageFont.FreeTypeFont:
    """Open a font file at a size; repeated calls return the same object.

    Args:
        path: A TrueType or OpenType file.
        size_px: The em square, in pixels, at least 1.

    Raises:
        ConfigurationError: The file is missing or is not a font.
    """
    try:
        # Basic layout: the subsets have no ligatures to shape, and it is the same on every platform.
        return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.BASIC)
    except OSError as exc:
        raise ConfigurationError(
            f"Cannot read the font file {path} ({exc}); give a .ttf or .otf file."
        ) from exc


@lru_cache(maxsize=1024)
def ink_box(text: str, path: Path) -> tuple[float, float, float, float]:
    """Return the box of a text's ink around its origin on the baseline, xyxy in em."""
    font = load_font(path, _MEASURING_SIZE_PX)
    # The font's own bounding box reaches to the next character's origin; the ink is what is painted.
    left, top, right, bottom = (int(value) for value in font.getbbox(text, anchor="ls"))
    mask = Image.new("L", (right - left + 2 * _MEASURING_SIZE_PX, bottom - top + 2))
    ImageDraw.Draw(mask).text((_MEASURING_SIZE_PX - left, 1 - top), text, fill=255, font=font, anchor="ls")
    box = mask.getbbox()
    if box is None:
        raise ConfigurationError(
            f"The font {path.name} paints nothing for {text!r}; use one that has its glyphs."
        )
    shift_x, shift_y = left - _MEASURING_SIZE_PX, top - 1
    x0, y0, x1, y1 = box[0] + shift_x, box[1] + shift_y, box[2] + shift_x, box[3] + shift_y
    return x0 / _MEASURING_SIZE_PX, y0 / _MEASURING_SIZE_PX, x1 / _MEASURING_SIZE_PX, y1 / _MEASURING_SIZE_PX


def missing_glyphs(text: str, path: Path) -> set[str]:
    """Return the characters of a text that a font file cannot draw.

    A missing character is painted as the font's ``.notdef`` glyph (an empty box, mostly), which is also what
    a code point that no font maps is painted as. White space counts as drawable.

    Raises:
        ConfigurationError: The file is missing or is not a font.
    """
    return {character for character in text if not character.isspace() and not _can_draw(character, path)}


@lru_cache(maxsize=16_384)
def _can_draw(character: str, path: Path) -> bool:
    return _painted(character, path) != _painted(_NONCHARACTER, path)


def _painted(character: str, path: Path) -> tuple[tuple[int, int], bytes]:
    mask = load_font(path, _COMPARING_SIZE_PX).getmask(character)
    return mask.size, bytes(mask)
