"""Writing themes for Trime, a free keyboard for Android (``<name>.trime.yaml`` and pictures).

The app lays keys out in rows: each key takes a share of the width, each row of the height. So the panel is
cut into cells half way between neighbours, and each key's picture is what the skin paints in its cell.
Pictures are named in a colour scheme, one for each brightness, and keys name the entry of the scheme, so both
themes share their keyboards. The theme is complete in itself and depends on no file of the app.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import yaml

from skin_pipeline.skins.export.baidu import paints_of
from skin_pipeline.skins.export.packages import (
    PROVENANCE_FILE,
    Export,
    Losses,
    Provenance,
    encode_png,
    safe_name,
    write_folder,
    write_zip,
)
from skin_pipeline.skins.export.packing import picture_digest
from skin_pipeline.skins.export.palette import Palette, palette_of
from skin_pipeline.skins.export.previews import preview_of
from skin_pipeline.skins.model import (
    Action,
    CandidateBar,
    Function,
    Gesture,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    Layer,
    Lettering,
    Paint,
    Rect,
    RgbaPixels,
    Skin,
    State,
    Theme,
    Tile,
)
from skin_pipeline.skins.rendering import render_bar, render_keyboard

Node = dict[str, object]

_SCREEN_WIDTH_DP = 390
"""The screen that heights and sizes of text are meant for."""
_MAX_WIDTH_PX = 1440
"""Width of the widest screens that phones have."""
_NAMES: Mapping[KeyboardKind, str] = {
    KeyboardKind.PINYIN_26: "default",
    KeyboardKind.PINYIN_9: "nine",
    KeyboardKind.ENGLISH_26: "letter",
    KeyboardKind.NUMBERS_9: "number",
    KeyboardKind.NUMBERS_26: "number",
    KeyboardKind.SYMBOLS: "symbols",
}
"""Names of keyboards; the app opens 'default' where a schema asks for nothing else."""
_KEYS: Mapping[Function, tuple[str, Node]] = {
    Function.SPACE: ("Space", {"send": "space"}),
    Function.ENTER: ("Enter", {"send": "Return", "functional": True}),
    Function.BACKSPACE: ("Back", {"send": "BackSpace", "repeatable": True, "functional": True}),
    Function.DELETE: ("Delete", {"send": "Delete", "repeatable": True, "functional": True}),
    Function.SHIFT: ("Shift", {"send": "Shift_L", "shift_lock": "long", "functional": True}),
    Function.CAPS_LOCK: ("Shift", {"send": "Shift_L", "shift_lock": "long", "functional": True}),
    Function.CLEAR: ("Clear", {"send": "Escape", "functional": True}),
    Function.TAB: ("Tab", {"send": "Tab", "functional": True}),
    Function.HOME: ("Home", {"send": "Home", "functional": True}),
    Function.END: ("End", {"send": "End", "functional": True}),
    Function.LEFT: ("Left", {"send": "Left", "repeatable": True, "functional": True}),
    Function.RIGHT: ("Right", {"send": "Right", "repeatable": True, "functional": True}),
    Function.UP: ("Up", {"send": "Up", "repeatable": True, "functional": True}),
    Function.DOWN: ("Down", {"send": "Down", "repeatable": True, "functional": True}),
    Function.PAGE_UP: ("PageUp", {"send": "Page_Up", "functional": True}),
    Function.PAGE_DOWN: ("PageDown", {"send": "Page_Down", "functional": True}),
    Function.SELECT_ALL: ("SelectAll", {"send": "Control+a", "functional": True}),
    Function.CUT: ("Cut", {"send": "Control+x", "functional": True}),
    Function.COPY: ("Copy", {"send": "Control+c", "functional": True}),
    Function.PASTE: ("Paste", {"send": "Control+v", "functional": True}),
    Function.UNDO: ("Undo", {"send": "Control+z", "functional": True}),
    Function.REDO: ("Redo", {"send": "Control+Shift+z", "functional": True}),
    Function.HIDE: ("Hide", {"send": "BACK", "functional": True}),
    Function.MENU: ("Menu", {"send": "Menu", "functional": True}),
    Function.SETTINGS: ("Settings", {"send": "SETTINGS", "functional": True}),
    Function.INPUT_METHOD: ("OtherKeyboard", {"send": "LANGUAGE_SWITCH", "functional": True}),
    Function.BACK: ("BackToLetters", {"send": "Eisu_toggle", "select": ".default", "functional": True}),
}
_LANGUAGE: tuple[str, Node] = (
    "Language",
    {"send": "Mode_switch", "toggle": "ascii_mode", "states": ["中", "英"], "functional": True},
)
_GESTURES: Mapping[Gesture, str] = {
    Gesture.TAP: "click",
    Gesture.HOLD: "long_click",
    Gesture.UP: "swipe_up",
    Gesture.DOWN: "swipe_down",
    Gesture.LEFT: "swipe_left",
    Gesture.RIGHT: "swipe_right",
}
_CLEAR = "0x00000000"


def write_trime(
    skin: Skin, path: Path, *, preview: RgbaPixels | None = None, provenance: Provenance | None = None
) -> Export:
    """Write a skin as a theme for Trime.

    Args:
        skin: What is written: its upright keyboards.
        path: A zip if it ends in ``.zip``, else a folder; either is unpacked or copied into the app's user
            folder.
        preview: The picture ``demo.png``; the skin's own, or else a rendering of it, if None.
        provenance: Where a generated skin came from; goes into the theme's comment and a file of its own.

    Returns:
        What was written, and what the format could not say.

    Raises:
        StorageError: The theme cannot be written.
    """
    losses = Losses()
    name = safe_name(skin.name).replace(" ", "_")
    writer = _ThemeWriter(skin, name, losses)
    folder = f"backgrounds/{name}"
    note = f"# {provenance.sentence()}\n" if provenance else ""
    theme = yaml.dump(
        writer.document(), Dumper=yaml.SafeDumper, allow_unicode=True, sort_keys=False, width=110
    )
    files = {f"{name}.trime.yaml": (note + theme).encode()}
    files |= {f"{folder}/{file}": content for file, content in writer.pictures.items()}
    files[f"{folder}/demo.png"] = encode_png(preview if preview is not None else preview_of(skin))
    if provenance is not None:
        files[f"{folder}/{PROVENANCE_FILE}"] = provenance.document()
    if path.suffix.lower() == ".zip":
        write_zip(path, files)
    else:
        write_folder(path, files)
    return Export(path, "trime", tuple(sorted(files)), losses.all())


def nine_patch_source(pixels: RgbaPixels, insets: Insets) -> RgbaPixels:
    """Return a picture with the border of one pixel that says what stretches: black along top and left.

    Args:
        pixels: (H, W, 4).
        insets: Widths of the edges that do not stretch, in pixels; the middle must not be empty.
    """
    height, width = pixels.shape[:2]
    bordered = np.zeros((height + 2, width + 2, 4), np.uint8)
    bordered[1:-1, 1:-1] = pixels
    black = (0, 0, 0, 255)
    bordered[0, 1 + int(insets.left) : width + 1 - int(insets.right)] = black
    bordered[1 + int(insets.top) : height + 1 - int(insets.bottom), 0] = black
    return bordered


@dataclass(frozen=True)
class _Cell:
    """A key and the place that the app gives it."""

    key: Key
    rect: Rect


class _ThemeWriter:
    """Writes one theme; pictures are collected on the way."""

    def __init__(self, skin: Skin, name: str, losses: Losses) -> None:
        self.pictures: dict[str, bytes] = {}
        self._skin = skin
        self._name = name
        self._losses = losses
        self._preset_keys: dict[str, Node] = {}
        self._schemes = _schemes(skin)
        self._boards = {scheme: _named_keyboards(theme) for scheme, theme in self._schemes.items()}
        self._first = self._boards["default"]
        self._colours: dict[str, Node] = {}
        self._units_px: dict[int, float] = {}

    def document(self) -> Node:
        """Return the theme."""
        main = self._first["default"]
        for scheme, boards in self._boards.items():
            self._colours[scheme] = self._scheme(scheme, boards["default"])
        keyboards = {name: self._keyboard(name, board) for name, board in self._first.items()}
        self._report_rest()
        return {
            "config_version": "3.0",
            "name": self._skin.name,
            "author": self._skin.author or "skin_pipeline",
            "style": self._style(main),
            "preset_color_schemes": self._colours,
            "fallback_colors": {"hilited_key_symbol_color": "hilited_key_text_color"},
            "preset_keys": self._preset_keys,
            "preset_keyboards": keyboards,
        }

    # --- look ---

    def _style(self, main: Keyboard) -> Node:
        """Write sizes, which are in dp, and that nothing is added between keys."""
        bar = main.bar.rect.height if main.bar else main.size[0] / 8
        text = main.bar.text.size if main.bar and main.bar.text else main.size[0] / 20
        return {
            "background_folder": self._name,
            "keyboard_height": self._dp(main, main.size[1]),
            "candidate_view_height": self._dp(main, bar),
            "candidate_text_size": self._dp(main, text),
            "candidate_padding": 6,
            "comment_text_size": 12,
            "key_height": 50,
            "key_width": 10.0,
            "key_text_size": self._dp(main, main.size[0] / 20),
            "key_long_text_size": self._dp(main, main.size[0] / 28),
            "symbol_text_size": 10,
            "label_text_size": self._dp(main, text),
            "horizontal_gap": 0,
            "vertical_gap": 0,
            "key_border": 0,
            "round_corner": 0,
            "shadow_radius": 0.0,
        }

    def _scheme(self, scheme: str, main: Keyboard) -> Node:
        """Write the colours of one brightness, and the pictures that stand for colours."""
        palette = palette_of(main, f"{scheme} {main.name}", self._losses)
        node: Node = {"name": f"{self._skin.name} {scheme}", "author": self._skin.author or "skin_pipeline"}
        if scheme == "default":
            node |= {
                "light_scheme": "default",
                "dark_scheme": "dark" if "dark" in self._schemes else "default",
            }
        return node | _plain_colours(palette) | self._slots(main)

    def _slots(self, main: Keyboard) -> Node:
        """Write the pictures of panel and bar, and the caps for keyboards that the skin does not have."""
        decorated = _bare(main, tuple(key for key in main.keys if not key.actions))
        slots: Node = {
            "keyboard_background": self._picture(
                render_keyboard(decorated, round(main.size[0] * self._unit_px(main)))
            )
        }
        if main.bar is not None:
            slots["candidate_background"] = self._picture(_drawn_bar(main.bar, self._unit_px(main)))
        letter = main.key(Function.LETTER) or main.key(Function.TEXT)
        function = main.key(Function.BACKSPACE) or letter
        for prefix, key in (("", letter), ("off_", function), ("on_", function)):
            if key is not None:
                slots[f"{prefix}key_back_color"] = self._cap(key, pressed=prefix == "on_")
                slots[f"hilited_{prefix}key_back_color"] = self._cap(key, pressed=True)
        return slots

    def _cap(self, key: Key, *, pressed: bool) -> str:
        """Return a key's cap as a nine-patch: its own insets, or a third of each side."""
        cap = replace(key, rect=Rect(0, 0, key.rect.width, key.rect.height), foregrounds=())
        size = (key.rect.width, key.rect.height)
        board = Keyboard(KeyboardKind.CUSTOM, "", "portrait", size, keys=(cap,))
        pixels = render_keyboard(board, max(3, round(size[0])), pressed=[key.id] if pressed else [])
        paint = key.background.appearance.paint("pressed" if pressed else "normal")
        return self._picture(nine_patch_source(pixels, _cap_insets(paint, pixels)), ".9.png")

    def _picture(self, pixels: RgbaPixels, suffix: str = ".png") -> str:
        """Take up a picture and return its name, the same for equal ones."""
        name = f"{picture_digest(pixels)[:12]}{suffix}"
        self.pictures[name] = encode_png(pixels)
        return name

    # --- keyboards ---

    def _keyboard(self, name: str, board: Keyboard) -> Node:
        """Write a keyboard: rows of keys from left to right, every row as wide as the screen."""
        rows = _rows(board)
        keys: list[Node] = []
        for number, row in enumerate(rows):
            for cell in self._row_cells(board, rows, number):
                keys.append(self._key(name, board, cell))
            if len(row) != len({key.id for key in row}):
                self._losses.add(board.name, "keys of one name", "they share their pictures")
        node: Node = {
            "name": f"{self._skin.name} {name}",
            "author": self._skin.author or "skin_pipeline",
            "keyboard_height": self._dp(board, board.size[1]),
            "columns": -1,
            "ascii_mode": int(board.kind is KeyboardKind.ENGLISH_26),
            "keys": keys,
        }
        if name == "default" and "letter" in self._first:
            node["ascii_keyboard"] = "letter"
        return node

    def _row_cells(self, board: Keyboard, rows: Sequence[Sequence[Key]], number: int) -> Iterable[_Cell]:
        """Cut a row into cells half way between keys; the outermost reach the edges."""
        tops = [min(key.rect.y for key in row) for row in rows]
        bottoms = [
            max(key.rect.bottom for key in row if _row_of(key, rows) == i) for i, row in enumerate(rows)
        ]
        lines = [0.0, *((bottoms[i] + tops[i + 1]) / 2 for i in range(len(rows) - 1)), board.size[1]]
        row = rows[number]
        edges = [
            0.0,
            *((one.rect.right + two.rect.x) / 2 for one, two in pairwise(row)),
            board.size[0],
        ]
        top, bottom = lines[number], lines[number + 1]
        for key, left, right in zip(row, edges, edges[1:], strict=False):
            if key.rect.bottom > bottom + 0.15 * (bottom - top):
                self._losses.add(
                    f"{board.name}, {key.id}", "a key over several rows", "it takes the first of them"
                )
            yield _Cell(key, Rect(left, top, max(1.0, right - left), bottom - top))

    def _key(self, name: str, board: Keyboard, cell: _Cell) -> Node:
        """Write a key, and its pictures in every colour scheme."""
        key, title = cell.key, f"{board.name}, {cell.key.id}"
        node: Node = {"width": round(cell.rect.width / board.size[0] * 100, 4)}
        node["height"] = round(cell.rect.height / board.size[1] * 1000, 2)
        label = _label(key)
        slot = f"{name}_{safe_name(key.id)}"
        for scheme, boards in self._boards.items():
            other = boards.get(name, board)
            twin = next((candidate for candidate in other.keys if candidate.id == key.id), key)
            place = cell.rect if other.size == board.size else _scaled(cell.rect, board, other)
            for state, pressed in (("", False), ("_down", True)):
                pixels = _drawn_key(_without(twin, label), place, self._unit_px(other), pressed=pressed)
                self._colours[scheme][f"{slot}{state}"] = self._picture(pixels)
            self._colours[scheme] |= _text_slots(slot, _label(twin), _label(twin, "pressed"))
        node |= {"key_back_color": slot, "hilited_key_back_color": f"{slot}_down"}
        node |= {"key_text_color": f"{slot}_text", "hilited_key_text_color": f"{slot}_text_down"}
        node |= {"key_symbol_color": "clear", "hilited_key_symbol_color": "clear"}
        if label is not None:
            node |= {"key_text_size": self._dp(board, label.size)}
            if key.function is not Function.LETTER:
                node["label"] = label.text
        node |= self._actions(key, title)
        if key.variants:
            self._losses.add(title, "how it is in other circumstances", "it stays as it is")
        return node

    def _actions(self, key: Key, title: str) -> Node:
        node: Node = {}
        for gesture, action in key.actions.items():
            said = self._action(action, key.code if gesture is Gesture.TAP else "")
            if said is None:
                self._losses.add(title, f"{gesture}: {action.function} {action.text!r}", "nothing happens")
            else:
                node[_GESTURES[gesture]] = said
        # A key without an action on touch would be a gap, and not be drawn.
        node.setdefault("click", self._preset("Nothing", {"send": "VoidSymbol", "functional": True}))
        return node

    def _action(self, action: Action, code: str) -> str | None:
        """Return what the app calls an action; keys that do more than write are defined in the theme."""
        function = action.function
        if function in (Function.LETTER, Function.TEXT):
            return code or action.text or None
        if function is Function.LANGUAGE:
            return self._preset(*_LANGUAGE)
        targets = {Function.NUMBERS: "number", Function.SYMBOLS: "symbols", Function.LAYOUT: "nine"}
        if function in targets:
            return self._opens(targets[function])
        if function in _KEYS:
            return self._preset(*_KEYS[function])
        return None

    def _opens(self, name: str) -> str | None:
        if name not in self._first:
            return None
        node: Node = {"send": "Eisu_toggle", "select": name, "functional": True}
        return self._preset(f"Open_{name}", node)

    def _preset(self, name: str, node: Node) -> str:
        self._preset_keys[name] = {"label": " ", **node}
        return name

    def _unit_px(self, board: Keyboard) -> float:
        """Return pixels in a design pixel at which a keyboard's pictures lose nothing, within reason."""
        if id(board) not in self._units_px:
            scales = [paint.scale for paint in paints_of(board) if isinstance(paint, Tile)]
            self._units_px[id(board)] = min(_MAX_WIDTH_PX / board.size[0], 1 / min([1.0, *scales]))
        return self._units_px[id(board)]

    def _dp(self, board: Keyboard, length: float) -> int:
        """Return design pixels in dp of the screen that the theme is meant for."""
        return max(1, round(length * _SCREEN_WIDTH_DP / board.size[0]))

    def _report_rest(self) -> None:
        """Note what has no place in the format."""
        written = {id(board) for board in self._first.values()}
        for theme in self._schemes.values():
            for board in theme.keyboards:
                if theme is self._schemes["default"] and id(board) not in written:
                    self._losses.add(
                        f"{board.orientation} {board.name}", "the keyboard", "the app has its own"
                    )
        for board in self._first.values():
            if board.lists:
                self._losses.add(board.name, "lists beside the keys", "they are left out")
            if board.bar and board.bar.icons:
                self._losses.add(board.name, "buttons of the candidate bar", "the app draws its own")
            if board.popups:
                self._losses.add(board.name, "bubbles over keys", "the app draws its own")


def _bare(board: Keyboard, keys: tuple[Key, ...]) -> Keyboard:
    """Return a keyboard with nothing but its panel and some keys."""
    return replace(board, keys=keys, lists=(), grid=None, bar=None, preedit=None)


def _is_centred(layer: Layer) -> bool:
    return layer.insets == Insets() and not any(layer.offset)


def _schemes(skin: Skin) -> dict[str, Theme]:
    """Return the theme of each colour scheme: 'default', and 'dark' if the skin has one."""
    themes = {theme.name: theme for theme in skin.themes}
    schemes = {"default": themes.get("light", skin.themes[0])}
    return schemes | ({"dark": themes["dark"]} if "dark" in themes and len(themes) > 1 else {})


def _named_keyboards(theme: Theme) -> dict[str, Keyboard]:
    """Name the upright keyboards; without pinyin on 26 keys, another becomes the default."""
    boards: dict[str, Keyboard] = {}
    for keyboard in theme.keyboards:
        name = _NAMES.get(keyboard.kind)
        if name is not None and keyboard.orientation == "portrait":
            boards.setdefault(name, keyboard)
    if "default" not in boards:
        first = next(iter(boards), None)
        boards["default"] = boards.pop(first) if first is not None else theme.keyboards[0]
    return boards


def _cap_insets(paint: Paint | None, pixels: RgbaPixels) -> Insets:
    """Return the edges of a cap that must not stretch; a cap that does not say has thirds."""
    height, width = pixels.shape[:2]
    if isinstance(paint, Tile) and paint.fit == "nine_patch":
        left, top, right, bottom = (round(side * paint.scale) for side in astuple(paint.insets))
        if left + right < width and top + bottom < height:
            return Insets(left, top, right, bottom)
    return Insets(width // 3, height // 3, width // 3, height // 3)


def _plain_colours(palette: Palette) -> Node:
    """Write the colours that the app asks for by name."""
    bar, panel, letter = palette.bar, palette.panel, palette.letter
    return {
        "clear": _CLEAR,
        "back_color": _hex(panel.colour),
        "border_color": _hex(panel.colour),
        "text_color": _hex(panel.text.colour),
        "text_back_color": _hex(panel.colour),
        "candidate_text_color": _hex(bar.text.colour),
        "comment_text_color": _hex(bar.text.colour),
        "label_color": _hex(bar.text.colour),
        "candidate_separator_color": _CLEAR,
        "hilited_text_color": _hex(palette.enter.text.colour),
        "hilited_back_color": _hex(palette.enter.colour),
        "hilited_candidate_text_color": _hex(palette.enter.text.colour),
        "hilited_candidate_back_color": _hex(palette.enter.colour),
        "hilited_comment_text_color": _hex(palette.enter.text.colour),
        "key_text_color": _hex(letter.on_picture.colour),
        "key_symbol_color": _hex(letter.on_picture.colour),
        "hilited_key_text_color": _hex(palette.pressed.on_picture.colour),
        "hilited_key_symbol_color": _hex(palette.pressed.on_picture.colour),
        "off_key_text_color": _hex(palette.function.on_picture.colour),
        "on_key_text_color": _hex(palette.function.on_picture.colour),
        "popup_back_color": _hex(letter.colour),
        "popup_text_color": _hex(letter.text.colour),
        "hilited_popup_back_color": _hex(palette.enter.colour),
        "hilited_popup_text_color": _hex(palette.enter.text.colour),
        "shadow_color": _CLEAR,
        "key_border_color": _CLEAR,
    }


def _text_slots(slot: str, *labels: Lettering | None) -> Node:
    """Write a key's colours of text, idle and pressed; a key whose legend is in its picture has none."""
    return {
        f"{slot}_text{state}": _CLEAR if label is None else _hex(label.colour[:3], label.colour[3])
        for state, label in zip(("", "_down"), labels, strict=True)
    }


def _hex(colour: Sequence[int], alpha: int = 255) -> str:
    red, green, blue = colour
    return f"0x{alpha:02x}{red:02x}{green:02x}{blue:02x}"


def _label(key: Key, state: State = "normal") -> Lettering | None:
    """Return the text that the app can draw itself: the one in the middle of the key."""
    centred = (layer.appearance.paint(state) for layer in key.foregrounds if _is_centred(layer))
    return next((paint for paint in centred if isinstance(paint, Lettering)), None)


def _without(key: Key, label: Lettering | None) -> Key:
    """Return a key without the text that the app draws."""
    kept = []
    for layer in key.foregrounds:
        paint = layer.appearance.normal
        if not (label and _is_centred(layer) and isinstance(paint, Lettering) and paint.text == label.text):
            kept.append(layer)
    return replace(key, foregrounds=tuple(kept))


def _rows(board: Keyboard) -> list[list[Key]]:
    """Group the keys that do something into rows, from top to bottom and left to right.

    A key belongs to the row in which it begins: the first whose keys' middles it reaches.
    """
    keys = sorted((key for key in board.keys if key.actions), key=lambda key: (key.rect.y, key.rect.x))
    rows: list[list[Key]] = []
    for key in keys:
        if rows and key.rect.y < min(other.rect.centre[1] for other in rows[-1]):
            rows[-1].append(key)
        else:
            rows.append([key])
    return [sorted(row, key=lambda key: key.rect.x) for row in rows]


def _row_of(key: Key, rows: Sequence[Sequence[Key]]) -> int:
    """Return the row in which a key ends."""
    middles = [min(other.rect.centre[1] for other in row) for row in rows]
    return max((i for i, middle in enumerate(middles) if key.rect.bottom > middle), default=0)


def _scaled(rect: Rect, board: Keyboard, other: Keyboard) -> Rect:
    """Return the place that a rectangle of a keyboard has on another of another size."""
    x, y = other.size[0] / board.size[0], other.size[1] / board.size[1]
    return Rect(rect.x * x, rect.y * y, rect.width * x, rect.height * y)


def _drawn_bar(bar: CandidateBar, unit_px: float) -> RgbaPixels:
    """Draw a candidate bar without its buttons, at so many pixels a design pixel."""
    return render_bar(replace(bar, icons=()), max(1, round(bar.rect.width * unit_px)))


def _drawn_key(key: Key, place: Rect, unit_px: float, *, pressed: bool) -> RgbaPixels:
    """Draw what a key paints in a place, without the panel."""
    local = replace(key, rect=key.rect.moved(-place.x, -place.y))
    alone = Keyboard(KeyboardKind.CUSTOM, "", "portrait", (place.width, place.height), keys=(local,))
    return render_keyboard(alone, max(1, round(place.width * unit_px)), pressed=[key.id] if pressed else [])
