"""A self-contained HTML page on which a skin can be typed on.

The page holds each keyboard twice, idle and with every key pressed, as the renderer draws them; a press shows
the key's rectangle of the second picture. So what is seen is what a phone would draw, and there is no second
drawing in the browser that could differ. Nothing is fetched.
"""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from skin_pipeline.errors import InputError
from skin_pipeline.pages import page_environment
from skin_pipeline.skins.model import (
    CandidateBar,
    Function,
    Key,
    Keyboard,
    KeyboardKind,
    Rect,
    Rgba,
    RgbaPixels,
    Skin,
    TextStyle,
    Theme,
)
from skin_pipeline.skins.rendering import render_keyboard

WIDTH_PX = 780
"""Width of the pictures: a phone's 390 points at two pixels each."""

_TEMPLATE = "page.html.jinja2"
_NAMES: Mapping[KeyboardKind, str] = {
    KeyboardKind.PINYIN_26: "26键",
    KeyboardKind.PINYIN_9: "9键",
    KeyboardKind.ENGLISH_26: "English",
    KeyboardKind.NUMBERS_9: "123",
    KeyboardKind.NUMBERS_26: "123 (26)",
    KeyboardKind.SYMBOLS: "符号",
}
"""The keyboards that the page shows, in the order of its tabs."""


def render_trial_page(skin: Skin, facts: Mapping[str, str] | None = None) -> str:
    """Return the page of a skin.

    Args:
        skin: Any skin; its portrait keyboards of 26 and 9 keys, English, numbers and symbols are shown.
        facts: What to say about it, such as the run that made it: text by label.

    Returns:
        HTML; the same skin and facts give the same page.

    Raises:
        InputError: The skin has none of these keyboards.
    """
    themes = [theme for theme in (_theme(theme) for theme in skin.themes) if theme["keyboards"]]
    if not themes:
        raise InputError(
            f"Skin '{skin.name}' has no portrait keyboard to try: expected one of {', '.join(_NAMES)}."
        )
    return (
        page_environment(Path(__file__).parent)
        .get_template(_TEMPLATE)
        .render(name=skin.name, author=skin.author, facts=dict(facts or {}), themes=themes)
    )


def _theme(theme: Theme) -> dict[str, Any]:
    boards = {board.kind: board for board in reversed(theme.keyboards) if board.orientation == "portrait"}
    return {
        "name": theme.name,
        "keyboards": [_keyboard(boards[kind]) for kind in _NAMES if kind in boards and boards[kind].keys],
    }


def _keyboard(board: Keyboard) -> dict[str, Any]:
    keys = [key for key in board.keys if key.function is not None and not key.touch.is_empty]
    bounds = board.bounds
    return {
        "kind": str(board.kind),
        "name": _NAMES[board.kind],
        "aspect": round(bounds.width / bounds.height, 5),
        "idle": _uri(render_keyboard(board, WIDTH_PX)),
        "pressed": _uri(render_keyboard(board, WIDTH_PX, pressed={key.id for key in keys})),
        "composing": _uri(render_keyboard(board, WIDTH_PX, candidates=[" "])),
        "bar": _bar(board.bar, bounds) if board.bar else None,
        "keys": [_key(key, bounds) for key in keys],
    }


def _key(key: Key, bounds: Rect) -> dict[str, Any]:
    function = key.function or Function.OTHER
    return {
        "id": key.id,
        "function": str(function),
        "text": key.text,
        "label": key.text or str(function).replace("_", " "),
        "shown": _share(key.rect, bounds),
        "touch": _share(key.touch, bounds),
    }


def _bar(bar: CandidateBar, bounds: Rect) -> dict[str, Any]:
    text = bar.text or bar.first_text or TextStyle(bar.rect.height * 0.4, (0, 0, 0, 255), (0, 0, 0, 255))
    first = bar.first_text or text
    return {
        "place": _share(bar.rect, bounds),
        "size": round(text.size / bounds.width, 5),
        "ink": _css(text.colour),
        "first_ink": _css(first.pressed_colour if bar.first_cell.pressed else first.colour),
    }


def _share(rect: Rect, bounds: Rect) -> list[float]:
    """Return left, top, width and height as shares of the whole picture."""
    return [
        round((rect.x - bounds.x) / bounds.width, 5),
        round((rect.y - bounds.y) / bounds.height, 5),
        round(rect.width / bounds.width, 5),
        round(rect.height / bounds.height, 5),
    ]


def _css(colour: Rgba) -> str:
    red, green, blue, alpha = colour
    return f"rgb({red} {green} {blue} / {alpha / 255:.3f})"


def _uri(pixels: RgbaPixels) -> str:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "WEBP", lossless=True, method=2, exact=True)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
