"""Writing themes for fcitx5-android (``.zip``): one picture behind the keys, and 21 colours.

The app draws the keys; a skin's caps and legends become colours. The rules that a theme must keep are in
:mod:`skin_pipeline.skins.validators.fcitx5`.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from skin_pipeline.colours import Rgb
from skin_pipeline.skins.contrast import legible_veil
from skin_pipeline.skins.export.packages import Export, Losses, Provenance, encode_png, safe_name, write_zip
from skin_pipeline.skins.export.palette import Palette, palette_of
from skin_pipeline.skins.export.previews import main_keyboard
from skin_pipeline.skins.model import RgbaPixels, Skin

VERSION = "2.1"
_BUILT_IN_NAMES = frozenset(
    "MaterialLight MaterialDark PixelLight PixelDark NordLight NordDark DeepBlue Monokai AMOLEDBlack "
    "TransparentDark TransparentLight MonetLight MonetDark".casefold().split()
)
_OPAQUE = 255
_PRESSED_ALPHA = 0x33


def write_fcitx5(
    skin: Skin, path: Path, *, preview: RgbaPixels | None = None, provenance: Provenance | None = None
) -> Export:
    """Write a skin as a theme for fcitx5-android.

    Args:
        skin: What is written; its first theme, whose main keyboard sets picture and colours.
        path: The zip; its folder is made if need be.
        preview: A picture ``preview.png`` for people who look into the zip; the app draws its own.
        provenance: Where a generated skin came from; goes into ``provenance.txt``, for the theme's own file
            takes no further entries and the app reads the first ``.json`` that it finds.

    Returns:
        What was written, and what the format could not say.

    Raises:
        StorageError: The theme cannot be written.
    """
    losses = Losses()
    keyboard = main_keyboard(skin)
    losses.add(
        "keys", "pictures of keys, their places and legends", "the app draws keys in the skin's colours"
    )
    losses.add("keyboards", "all keyboards but one", f"'{keyboard.name}' sets picture and colours")
    if len(skin.themes) > 1:
        losses.add("theme", "light and dark pictures", f"the theme '{skin.themes[0].name}' is written")
    palette = palette_of(keyboard, keyboard.name, losses)
    name = _theme_name(skin)
    picture = encode_png(palette.picture)
    height, width = palette.picture.shape[:2]
    background = {
        "croppedFilePath": f"{name}-cropped.png",
        "srcFilePath": f"{name}-src",
        "brightness": 100,
        "cropRect": {"bottom": height, "left": 0, "right": width, "top": 0},
        "cropRotation": 0,
    }
    theme = {
        "name": name,
        "isDark": palette.is_dark,
        "backgroundImage": background,
        **_colours(palette),
        "version": VERSION,
    }
    files = {
        f"{name}.json": (json.dumps(theme, ensure_ascii=False, indent=2) + "\n").encode(),
        f"{name}-cropped.png": picture,
        f"{name}-src": picture,
    }
    if preview is not None:
        files["preview.png"] = encode_png(preview)
    if provenance is not None:
        files["provenance.txt"] = f"{provenance.sentence()}\n".encode()
    write_zip(path, files)
    return Export(path, "fcitx5", tuple(sorted(files)), losses.all())


def _theme_name(skin: Skin) -> str:
    """Return the skin's name; the app refuses those of its own themes."""
    name = safe_name(skin.name)
    if name.casefold() not in _BUILT_IN_NAMES:
        return name
    return f"{name}-{uuid.uuid5(uuid.NAMESPACE_URL, skin.name).hex[:8]}"


def _colours(palette: Palette) -> dict[str, int]:
    """Return the colours that the app wants, by its names."""
    letter, function, enter, bar = palette.letter, palette.function, palette.enter, palette.bar
    keys = [(key.colour, key.text.colour) for key in (letter, function, enter)]
    pressed = legible_veil(keys, _PRESSED_ALPHA, letter.text.colour)
    return {
        "backgroundColor": _argb(palette.panel.colour),
        "barColor": _argb(bar.colour, 0),
        "keyboardColor": _argb(palette.panel.colour, 0),
        "keyBackgroundColor": _argb(letter.colour),
        "keyTextColor": _argb(letter.text.colour),
        "candidateTextColor": _argb(bar.text.colour),
        "candidateLabelColor": _argb(bar.text.colour),
        "candidateCommentColor": _argb(bar.text.colour),
        "altKeyBackgroundColor": _argb(function.colour),
        "altKeyTextColor": _argb(function.text.colour),
        "accentKeyBackgroundColor": _argb(enter.colour),
        "accentKeyTextColor": _argb(enter.text.colour),
        "keyPressHighlightColor": _argb(*pressed),
        "keyShadowColor": _argb(_darker(palette.panel.colour)),
        "popupBackgroundColor": _argb(letter.colour),
        "popupTextColor": _argb(letter.text.colour),
        "spaceBarColor": _argb(palette.space.colour),
        "dividerColor": _argb(bar.text.colour, 0x1F),
        "clipboardEntryColor": _argb(letter.colour),
        "genericActiveBackgroundColor": _argb(enter.colour),
        "genericActiveForegroundColor": _argb(enter.text.colour),
    }


def _darker(colour: Rgb) -> Rgb:
    red, green, blue = (channel * 3 // 4 for channel in colour)
    return red, green, blue


def _argb(colour: Rgb, alpha: int = _OPAQUE) -> int:
    """Return a colour as the signed 32-bit number that Kotlin's Int is."""
    red, green, blue = colour
    value = alpha << 24 | red << 16 | green << 8 | blue
    return value - (1 << 32) if value >= 1 << 31 else value
