"""Reading skins of Hamster and its successors (``.cskin``, ``.hskin``) whose styles are pictures or colours.

Lengths are points of an iPhone 390 points wide. Sheets of pictures are drawn for screens of three pixels a
point, so a picture pixel is a third of a point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal

from skin_pipeline.skins.archives import PackageFiles
from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.model import (
    MAX_LAYERS,
    NOTHING,
    Action,
    Appearance,
    CandidateBar,
    Condition,
    Fill,
    Function,
    Gesture,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Orientation,
    Paint,
    Rect,
    Rgba,
    Skin,
    TextStyle,
    Theme,
    ThemeName,
    Tile,
    Variant,
    with_unique_ids,
)
from skin_pipeline.skins.pictures import Pictures
from skin_pipeline.skins.yaml_files import lines_of_keys, load_yaml

SCREEN_WIDTH_PT = {"portrait": 390.0, "landscape": 844.0}
POINTS_PER_PIXEL = 1 / 3
_DEFAULT_FONT_SIZE = 17.0
_MAX_HEIGHT_PT = 1000.0
_MAX_CELLS = 512
_MAX_STACKS = 16
_NEAR_PT = 1e-7
"""What sums of lengths may be off by."""
_BLACK: Rgba = (0, 0, 0, 255)
_THEMES: tuple[ThemeName, ...] = ("light", "dark")
_ORIENTATIONS: tuple[Orientation, ...] = ("portrait", "landscape")
_MAX_LETTERS_OF_9 = 9
"""The app has one name for all pinyin keyboards; those of 14 and 17 keys have more letter keys than this."""

_KINDS = {
    "pinyin": KeyboardKind.PINYIN_26,
    "alphabetic": KeyboardKind.ENGLISH_26,
    "numeric": KeyboardKind.NUMBERS_9,
    "symbolic": KeyboardKind.SYMBOLS,
    "emojis": KeyboardKind.EMOJI,
    # Keyboards of the skin's own that are named by what they are for, as exported ones are:
    **{str(kind): kind for kind in KeyboardKind},
}
_FUNCTIONS = {
    "backspace": Function.BACKSPACE,
    "space": Function.SPACE,
    "enter": Function.ENTER,
    "shift": Function.SHIFT,
    "tab": Function.TAB,
    "dismissKeyboard": Function.HIDE,
    "nextKeyboard": Function.INPUT_METHOD,
    "returnLastKeyboard": Function.BACK,
    "returnPrimaryKeyboard": Function.BACK,
    "moveCursorBackward": Function.LEFT,
    "moveCursorForward": Function.RIGHT,
    "symbolicKeyboardLockStateToggle": Function.SYMBOL_LOCK,
    "settings": Function.SETTINGS,
}
_KEYBOARD_FUNCTIONS = {
    "numeric": Function.NUMBERS,
    "numberPad": Function.NUMBERS,
    "symbolic": Function.SYMBOLS,
    "emojis": Function.EMOJI,
    "alphabetic": Function.LANGUAGE,
    "pinyin": Function.LANGUAGE,
}
_SHORTCUTS = {
    "#中英切换": Function.LANGUAGE,
    "#重输": Function.CLEAR,
    "#cut": Function.CUT,
    "#copy": Function.COPY,
    "#paste": Function.PASTE,
    "#undo": Function.UNDO,
    "#redo": Function.REDO,
    "#selectText": Function.SELECT_ALL,
    "#行首": Function.HOME,
    "#行尾": Function.END,
    "#candidatesBarStateToggle": Function.CANDIDATES,
    "#verticalCandidatesPageUp": Function.PAGE_UP,
    "#verticalCandidatesPageDown": Function.PAGE_DOWN,
}
_WEIGHTS = {
    "ultraLight": 100,
    "thin": 200,
    "light": 300,
    "regular": 400,
    "medium": 500,
    "semibold": 600,
    "bold": 700,
    "heavy": 800,
    "black": 900,
}
_LISTS = (
    "symbols",
    "classifiedSymbols",
    "subClassifiedSymbols",
    "numericSymbols",
    "categorySymbols",
    "t9Symbols",
)
_ROW_LISTS = ("horizontalSymbols", "t9HorizontalSymbols")
_KEY_KEYS = frozenset(
    (
        *("type", "size", "bounds", "backgroundStyle", "foregroundStyle"),
        *("uppercasedStateForegroundStyle", "capsLockedStateForegroundStyle", "uppercasedStateAction"),
        *("preeditStateAction", "action", "repeatAction", "swipeUpAction", "swipeDownAction"),
    )
)
_STYLE_KEYS = frozenset(
    (
        *(
            "buttonStyleType",
            "insets",
            "center",
            "normalColor",
            "highlightColor",
            "cornerRadius",
            "borderSize",
        ),
        *("normalBorderColor", "highlightBorderColor", "normalImage", "highlightImage", "contentMode"),
        *("text", "fontSize", "fontWeight"),
    )
)
_Node = Mapping[str, object]


def is_hamster(files: PackageFiles) -> bool:
    """Return whether a package has ``config.yaml`` beside ``light/`` or ``dark/``."""
    return _root(files) is not None


def read_hamster(files: PackageFiles, name: str, findings: Findings) -> Skin:
    """Read a Hamster skin.

    Args:
        files: The package.
        name: What to call it if it does not say.
        findings: Where problems are noted.

    Returns:
        The skin; its themes have no keyboards if nothing can be drawn. ``findings`` are not yet in it.
    """
    root = _root(files)
    assert root is not None
    config_path = files.find(f"{root}config.yaml")
    assert config_path is not None
    config = _load(files, config_path, findings)
    pictures = Pictures(files, findings)
    themes = tuple(
        Theme(theme, tuple(_keyboards(files, root, theme, config, pictures, findings))) for theme in _THEMES
    )
    preview = files.find(f"{root}demo.png")
    return Skin(
        name=_text(config, "name") or root.rstrip("/").rpartition("/")[2] or name,
        author=_text(config, "author"),
        description=_text(config, "description"),
        source="hamster",
        themes=tuple(theme for theme in themes if theme.keyboards),
        preview=pictures.atlas(preview) if preview else None,
    )


def _root(files: PackageFiles) -> str | None:
    """Find the folder that holds ``config.yaml`` and the themes; the shortest path counts."""
    for path in sorted(files, key=lambda path: (path.count("/"), path)):
        if PurePosixPath(path).name.lower() == "config.yaml":
            root = path[: -len("config.yaml")]
            if any(
                other.lower().startswith((f"{root}light/".lower(), f"{root}dark/".lower())) for other in files
            ):
                return root
    return None


def _keyboards(
    files: PackageFiles, root: str, theme: str, config: _Node, pictures: Pictures, findings: Findings
) -> Iterator[Keyboard]:
    """Read the keyboards of a theme that ``config.yaml`` names."""
    for kind_name, entry in config.items():
        devices = _mapping(entry)
        device = _mapping(devices.get("iPhone")) or _mapping(devices.get("iPad"))
        for orientation in _ORIENTATIONS:
            name = _text(device, orientation)
            if not name:
                continue
            path = files.find(f"{root}{theme}/{name}.yaml")
            if path is None:
                findings.add(
                    f"{root}{theme}/{name}.yaml", None, "it is missing", f"{theme} has no '{kind_name}'"
                )
                continue
            reader = _KeyboardFile(files, path, orientation, pictures, findings)
            keyboard = reader.keyboard(_KINDS.get(kind_name, KeyboardKind.CUSTOM), name)
            if keyboard is not None:
                yield keyboard


def _load(files: PackageFiles, path: str, findings: Findings) -> _Node:
    """Load a YAML file that holds a mapping; an empty one (and a finding) if it does not."""
    try:
        loaded = load_yaml(files[path])
    except ValueError as exc:
        findings.add(path, None, f"it cannot be loaded: {exc}", "left out")
        return {}
    if not isinstance(loaded, dict):
        findings.add(path, None, "it is not a mapping", "left out")
    return _mapping(loaded)


class _KeyboardFile:
    """Reads one keyboard file: named styles, and layouts that name them."""

    def __init__(
        self, files: PackageFiles, path: str, orientation: Orientation, pictures: Pictures, findings: Findings
    ) -> None:
        self._files = files
        self._path = path
        self._orientation = orientation
        self._pictures = pictures
        self._findings = findings
        self._root = _load(files, path, findings)
        self._lines = lines_of_keys(files[path])
        self._resources = f"{path.rpartition('/')[0]}/resources/"
        self._sheets: dict[str, _Node] = {}
        self._appearances: dict[str, Appearance] = {}
        self._reported: set[str] = set()
        self._num_cells = 0

    def keyboard(self, kind: KeyboardKind, name: str) -> Keyboard | None:
        """Read the keyboard; None if there is nothing in it that can be drawn."""
        width = SCREEN_WIDTH_PT[self._orientation]
        height, bar_height, preedit_height = (
            self._height(key) for key in ("keyboardHeight", "toolbarHeight", "preeditHeight")
        )
        if height <= 0:
            self._note("keyboardHeight", "there is no height of the keyboard", "the keyboard is left out")
            return None
        panel, strip = Rect(0, 0, width, height), Rect(0, -bar_height, width, bar_height)
        lists: list[KeyList] = []
        keys = [*self._cells("toolbarLayout", "toolbarStyle", strip, lists)]
        keys += self._cells("keyboardLayout", "keyboardStyle", panel, lists)
        if all(layer.appearance.is_empty for key in keys for layer in key.layers):
            self._findings.add(
                self._path, None, "it has no key that can be drawn", "the keyboard is left out"
            )
            return None
        if (
            kind is KeyboardKind.PINYIN_26
            and sum(key.function is Function.LETTER for key in keys) <= _MAX_LETTERS_OF_9
        ):
            kind = KeyboardKind.PINYIN_9
        return Keyboard(
            kind=kind,
            name=name,
            orientation=self._orientation,
            size=(width, height),
            background=self._area("keyboardStyle"),
            keys=with_unique_ids(keys),
            bar=self._bar(strip) if bar_height else None,
            preedit=self._preedit(strip, preedit_height) if preedit_height else None,
            lists=tuple(lists),
        )

    def _height(self, key: str) -> float:
        value = _number(self._root.get(key))
        if self._root.get(key) is not None and value is None:
            self._note(key, f"{key} is not a number of points", "0 is taken")
        return min(_MAX_HEIGHT_PT, max(0.0, value or 0.0))

    # --- bars ---

    def _bar(self, rect: Rect) -> CandidateBar:
        """Read the toolbar; candidates take its place, written as their cell's style says."""
        cells = (_mapping(self._root.get(name)) for name in self._named_cells("horizontalCandidatesLayout"))
        cell: _Node = next((node for node in cells if node.get("type") == "horizontalCandidates"), {})
        style = self._style(_text(cell, "candidateStyle")) if cell else {}
        size = _number(style.get("textFontSize")) or _DEFAULT_FONT_SIZE
        colour = self._colour(style.get("textColor")) or _BLACK
        first = self._colour(style.get("preferredTextColor")) or colour
        insets = _insets(style.get("insets"))
        return CandidateBar(
            rect,
            background=self._area("toolbarStyle"),
            text=TextStyle(size, colour, colour),
            first_text=TextStyle(size, first, first),
            gap=insets.left + insets.right,
        )

    def _preedit(self, bar: Rect, height: float) -> CandidateBar:
        style = self._style(_text(_mapping(self._root.get("preeditStyle")), "foregroundStyle"), optional=True)
        colour = self._colour(style.get("textColor")) or _BLACK
        size = _number(style.get("fontSize")) or _DEFAULT_FONT_SIZE
        rect = Rect(bar.x, bar.y - height, bar.width, height)
        return CandidateBar(rect, background=self._area("preeditStyle"), text=TextStyle(size, colour, colour))

    def _area(self, key: str) -> Appearance:
        """Return the background of an area."""
        name = _text(_mapping(self._root.get(key)), "backgroundStyle")
        return self._appearance(name) if name else NOTHING

    # --- layout ---

    def _named_cells(self, layout: str) -> Iterator[str]:
        """Iterate over the names of the cells of a layout."""
        pending = list(_sequence(self._root.get(layout)))
        for _ in range(_MAX_CELLS):
            if not pending:
                return
            node = _mapping(pending.pop())
            yield from (name for name in (node.get("Cell"),) if isinstance(name, str))
            for stack in ("HStack", "VStack"):
                pending += _sequence(_mapping(node.get(stack)).get("subviews"))

    def _cells(self, layout: str, area: str, rect: Rect, lists: list[KeyList]) -> Iterator[Key]:
        """Place the cells of a layout and read them; lists among them are added to ``lists``."""
        inner = rect.inset(_insets(_mapping(self._root.get(area)).get("insets")))
        for name, place in self._placed(_sequence(self._root.get(layout)), inner, None, layout, 0):
            self._num_cells += 1
            node = self._style(name)
            cell_type = node.get("type", "button")
            if self._num_cells > _MAX_CELLS or not node or place.is_empty:
                continue
            if cell_type == "button":
                key = self._key(name, node, place)
                if key.actions or any(not layer.appearance.is_empty for layer in key.layers):
                    yield key
            elif cell_type in (*_LISTS, *_ROW_LISTS):
                lists.append(self._list(node, place, "row" if cell_type in _ROW_LISTS else "column"))
            else:
                self._note(
                    name, f"cells of the type '{cell_type}' are not known here", "the place stays empty"
                )

    def _placed(
        self, nodes: Sequence[object], rect: Rect, parent: str | None, owner: str, depth: int
    ) -> Iterator[tuple[str, Rect]]:
        """Divide a rectangle among siblings: HStacks are rows, VStacks columns, cells follow their parent."""
        kinds = [
            next((kind for kind in ("HStack", "VStack", "Cell") if kind in _mapping(node)), None)
            for node in nodes
        ]
        kind = kinds[0] if kinds else None
        if kind is None or len(set(kinds)) > 1 or (kind == "Cell" and parent is None) or depth > _MAX_STACKS:
            if nodes:
                self._note(
                    owner, "a layout holds rows, columns or cells, and not a mixture of them", "left out"
                )
            return
        downwards = kind == "HStack" or (kind == "Cell" and parent == "VStack")
        axis = "height" if downwards else "width"
        inner = [_mapping(node)[kind] for node in nodes]
        styles = [node if kind == "Cell" else _mapping(node).get("style") for node in inner]
        extents = self._extents(styles, axis, rect.height if downwards else rect.width)
        x, y = rect.x, rect.y
        for node, extent in zip(inner, extents, strict=True):
            place = Rect(x, y, rect.width, extent) if downwards else Rect(x, y, extent, rect.height)
            x, y = (x, y + extent) if downwards else (x + extent, y)
            if kind == "Cell":
                yield str(node), place
            else:
                yield from self._placed(
                    _sequence(_mapping(node).get("subviews")), place, kind, owner, depth + 1
                )

    def _extents(self, styles: Sequence[object], axis: str, extent: float) -> list[float]:
        """Return the widths or heights of siblings; those that state none share what is left."""
        stated = [
            _length(_mapping(_mapping(self._root.get(str(style))).get("size")).get(axis), extent)
            for style in styles
        ]
        left = max(0.0, extent - sum(length or 0.0 for length in stated))
        share = left / max(1, stated.count(None))
        return [share if length is None else length for length in stated]

    # --- keys ---

    def _key(self, name: str, node: _Node, touch: Rect) -> Key:
        self._report_unknown(name, node, _KEY_KEYS)
        area = _bounded(_mapping(node.get("bounds")), touch)
        caps = self._style_names(name, node.get("backgroundStyle"))
        rect = area if "bounds" in node else self._capped(caps, area)
        background = self._layers(caps, area, rect)
        actions = _actions(node)
        upper = {
            **actions,
            **(
                {Gesture.TAP: _action(node["uppercasedStateAction"])}
                if "uppercasedStateAction" in node
                else {}
            ),
        }
        variants: dict[Condition, Variant] = {}
        for key, condition in (
            ("capsLockedStateForegroundStyle", Condition.CAPS_LOCKED),
            ("uppercasedStateForegroundStyle", Condition.SHIFTED),
        ):
            if node.get(key):
                foregrounds = self._layers(self._style_names(name, node[key]), area, rect)
                variants[condition] = Variant(foregrounds=foregrounds, actions=upper)
        if "preeditStateAction" in node:
            composing = {**actions, Gesture.TAP: _action(node["preeditStateAction"])}
            variants[Condition.COMPOSING] = Variant(actions=composing)
        return Key(
            id=name,
            rect=rect,
            touch=touch,
            background=background[0] if background else Layer(NOTHING),
            foregrounds=self._layers(self._style_names(name, node.get("foregroundStyle")), area, rect),
            actions=actions,
            variants=variants,
        )

    def _capped(self, caps: Sequence[str], area: Rect) -> Rect:
        """Return where a key without bounds is seen: within the margins of its cap, as most skins have it."""
        place, shift = _placed_in(area, _mapping(self._root.get(caps[0]) if caps else None))
        return area if place.is_empty else place.moved(*shift)

    def _style_names(self, owner: str, value: object) -> list[str]:
        """Read a style name, a list of them, or conditional styles (of which the first is taken)."""
        names = [value] if isinstance(value, str) else list(_sequence(value))
        if names and isinstance(names[0], dict):
            self._note(owner, "styles that depend on a condition are not supported", "the first is taken")
            first = names[0].get("styleName")
            names = [first] if isinstance(first, str) else list(_sequence(first))
        return [name for name in names[:MAX_LAYERS] if isinstance(name, str)]

    def _layers(self, names: Sequence[str], area: Rect, rect: Rect) -> tuple[Layer, ...]:
        """Read styles that are laid out in the visible area of a key, as layers of the key's rectangle."""
        layers = []
        for name in names:
            appearance = self._appearance(name)
            if not appearance.is_empty:
                place, shift = _placed_in(area, self._style(name))
                layers.append(Layer(appearance, shift, _margins(rect, place)))
        return tuple(layers)

    def _list(self, node: _Node, rect: Rect, direction: Literal["row", "column"]) -> KeyList:
        """Read a list of symbols; as many of its cells are visible as it says, or else four."""
        source = self._root.get(_text(node, "dataSource"))
        entries = [_entry(item) for item in _sequence(source)][:64]
        style = self._style(_text(node, "cellStyle"), optional=True)
        count = max(1.0, _number(node.get("maxColumns" if direction == "row" else "maximumRow")) or 4.0)
        cell = (rect.width / count, rect.height) if direction == "row" else (rect.width, rect.height / count)
        background, cell_background = _text(node, "backgroundStyle"), _text(style, "backgroundStyle")
        return KeyList(
            rect=rect,
            direction=direction,
            cell_size=cell,
            background=self._appearance(background) if background else NOTHING,
            cell=self._appearance(cell_background) if cell_background else NOTHING,
            text=self._list_text(_text(style, "foregroundStyle")),
            entries=tuple(label for label, _ in entries),
            values=tuple(value for _, value in entries),
        )

    def _list_text(self, name: str) -> TextStyle | None:
        """Return how the entries of a list are written; None if no style says it, so that none are."""
        node = self._style(name, optional=True)
        if not node:
            return None
        colour = self._colour(node.get("normalColor")) or _BLACK
        pressed = self._colour(node.get("highlightColor")) or colour
        return TextStyle(_font_size(node.get("fontSize")), colour, pressed)

    # --- styles ---

    def _style(self, name: str, *, optional: bool = False) -> _Node:
        node = _mapping(self._root.get(name))
        if not node and not (optional and not name):
            self._note(name, f"there is no style '{name[:60]}'", "nothing is drawn for it")
        return node

    def _appearance(self, name: str) -> Appearance:
        if name not in self._appearances:
            self._appearances[name] = self._make_appearance(name, self._style(name))
        return self._appearances[name]

    def _make_appearance(self, name: str, node: _Node) -> Appearance:
        """Read a style. A pressed state that is not given shows nothing, as in the app."""
        self._report_unknown(name, node, _STYLE_KEYS)
        kind = node.get("buttonStyleType")
        if kind == "fileImage":
            return Appearance(self._tile(name, node, "normalImage"), self._tile(name, node, "highlightImage"))
        if kind == "geometry":
            return Appearance(self._fill(name, node, "normal"), self._fill(name, node, "highlight"))
        if kind == "text":
            return self._lettering(name, node)
        if node:
            self._note(name, f"styles of the type '{kind}' cannot be drawn here", "nothing is drawn for it")
        return NOTHING

    def _lettering(self, name: str, node: _Node) -> Appearance:
        text = _text(node, "text")
        if not text or text.startswith("$"):
            if text:
                self._note(
                    name, f"the text '{text[:40]}' is known only to the app", "nothing is drawn for it"
                )
            return NOTHING
        colour = self._colour(node.get("normalColor")) or _BLACK
        pressed = self._colour(node.get("highlightColor")) or colour
        weight = _WEIGHTS.get(str(node.get("fontWeight")), 400)
        return TextStyle(_font_size(node.get("fontSize")), colour, pressed, weight).lettering(text)

    def _fill(self, name: str, node: _Node, state: str) -> Paint | None:
        value = node.get(f"{state}Color")
        if isinstance(value, list):
            self._note(name, "gradients are not supported", "their first colour is drawn")
            value = value[0] if value else None
        colour = self._colour(value, name)
        if colour is None:
            return None
        border = self._colour(node.get(f"{state}BorderColor"), name)
        width = max(0.0, _number(node.get("borderSize")) or 0.0)
        if colour[3] == 0 and not (border and width):
            return None
        radius = max(0.0, _number(node.get("cornerRadius")) or 0.0)
        return Fill(colour, radius, border if width else None, width if border else 0)

    def _tile(self, name: str, node: _Node, key: str) -> Tile | None:
        """Read a picture: ``{file: keys, image: q}`` names a rectangle of ``resources/keys.png``."""
        reference = _mapping(node.get(key))
        file, image = str(reference.get("file", "")), str(reference.get("image", ""))
        if not reference:
            return None
        path = self._files.find(f"{self._resources}{file}.png")
        if path is None:
            self._note(name, f"there is no picture '{file[:60]}.png'", "nothing is drawn for it")
            return None
        atlas = self._pictures.atlas(path)
        sheet_path = self._files.find(f"{self._resources}{file}.yaml")
        entry = _mapping(self._sheet(sheet_path).get(image)) if sheet_path else {}
        if sheet_path is None or atlas is None or not entry:
            self._note(
                name, f"the sheet '{file[:60]}' has no picture '{image[:60]}'", "nothing is drawn for it"
            )
            return None
        rect = _mapping(entry.get("rect"))
        asked = Rect(*(round(_number(rect.get(side)) or 0.0) for side in ("x", "y", "width", "height")))
        source = asked.intersection(Rect(0, 0, *atlas.size))
        if source != asked or source.is_empty:
            remedy = "nothing is drawn for it" if source.is_empty else "what lies inside is used"
            line = lines_of_keys(self._files[sheet_path]).get(image)
            self._findings.add(sheet_path, line, f"'{image[:60]}' leaves its picture or has no area", remedy)
        if source.is_empty:
            return None
        return _stretched(Tile(atlas, source, scale=POINTS_PER_PIXEL), _insets(entry.get("insets")), node)

    def _sheet(self, path: str) -> _Node:
        if path not in self._sheets:
            self._sheets[path] = _load(self._files, path, self._findings)
        return self._sheets[path]

    def _colour(self, value: object, owner: str = "") -> Rgba | None:
        """Read #RRGGBB or #RRGGBBAA."""
        if value is None:
            return None
        match = re.fullmatch(r"#?([0-9a-fA-F]{6})([0-9a-fA-F]{2})?", str(value))
        if match is None:
            self._note(
                owner, f"'{str(value)[:40]}' is not #RRGGBB or #RRGGBBAA", "it is transparent, as in the app"
            )
            return None
        red, green, blue = bytes.fromhex(match[1])
        return red, green, blue, int(match[2] or "ff", 16)

    def _report_unknown(self, name: str, node: _Node, known: frozenset[str]) -> None:
        """Note what the model does not hold, each key at its first use: skins repeat it for every letter."""
        for key in node:
            if key not in known and key not in self._reported:
                self._reported.add(key)
                self._note(name, f"'{str(key)[:40]}' has no meaning here", "ignored wherever it occurs")

    def _note(self, key: str, problem: str, remedy: str) -> None:
        self._findings.add(self._path, self._lines.get(key), problem, remedy)


# --- values ---------------------------------------------------------------------------------------------


def _mapping(value: object) -> _Node:
    return value if isinstance(value, dict) else {}


def _sequence(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(node: _Node, key: str) -> str:
    value = node.get(key)
    return "" if value is None or isinstance(value, dict | list) else str(value)


def _number(value: object) -> float | None:
    """Return a number that is finite and not absurd."""
    try:
        number = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
        )
    except (ValueError, OverflowError):
        return None
    return number if number is not None and abs(number) < 1e5 else None


def _length(value: object, whole: float) -> float | None:
    """Return a length in points: a number, 'a/b' or {percentage: p} of the whole; None if none is stated."""
    if isinstance(value, dict):
        share = _length(value.get("percentage"), 1.0)
        return None if share is None else share * whole
    number = _number(value)
    if number is not None:
        return max(0.0, number)
    numerator, _, denominator = str(value).partition("/")
    above, below = _number(numerator), _number(denominator)
    return max(0.0, above / below * whole) if above is not None and below else None


def _insets(value: object) -> Insets:
    node = _mapping(value)
    left, top, right, bottom = (_number(node.get(side)) or 0.0 for side in ("left", "top", "right", "bottom"))
    return Insets(left, top, right, bottom)


def _font_size(value: object) -> float:
    """Return a font's size in points; '1.2em' counts in the system's default size."""
    text = str(value)
    number = _number(text.removesuffix("em"))
    if number is None or not 0 < number < _MAX_HEIGHT_PT:
        return _DEFAULT_FONT_SIZE
    return number * _DEFAULT_FONT_SIZE if text.endswith("em") else number


def _bounded(bounds: _Node, touch: Rect) -> Rect:
    """Return the visible part of a cell."""
    width = _length(bounds.get("width"), touch.width) if "width" in bounds else None
    height = _length(bounds.get("height"), touch.height) if "height" in bounds else None
    width = touch.width if width is None else min(width, touch.width)
    height = touch.height if height is None else min(height, touch.height)
    alignment = str(bounds.get("alignment", "center")).lower()
    across = 0.0 if "left" in alignment else 1.0 if "right" in alignment else 0.5
    down = 0.0 if "top" in alignment else 1.0 if "bottom" in alignment else 0.5
    return Rect(
        touch.x + across * (touch.width - width), touch.y + down * (touch.height - height), width, height
    )


def _placed_in(area: Rect, style: _Node) -> tuple[Rect, tuple[float, float]]:
    """Return where a style lies within its margins in the visible area of its key, and its shift from there.

    A style's ``center`` is a point of the area, in shares of it, on which its place is centred.
    """
    place = area.inset(_insets(style.get("insets")))
    centre = _mapping(style.get("center"))
    x, y = _number(centre.get("x")), _number(centre.get("y"))
    dx = 0.0 if x is None else area.x + area.width * x - place.centre[0]
    dy = 0.0 if y is None else area.y + area.height * y - place.centre[1]
    return place, (dx, dy)


def _margins(rect: Rect, place: Rect) -> Insets:
    """Return the insets of a place in a rectangle, negative where it reaches out."""
    sides = (place.x - rect.x, place.y - rect.y, rect.right - place.right, rect.bottom - place.bottom)
    return Insets(*(0.0 if abs(side) < _NEAR_PT else side for side in sides))


def _stretched(tile: Tile, insets: Insets, node: _Node) -> Tile:
    """Add how a tile fills its place: pulled over it unless the style centres it; insets keep its edges."""
    if node.get("contentMode") == "center":
        return tile
    fits = insets.left + insets.right < tile.source.width and insets.top + insets.bottom < tile.source.height
    edges = Insets(
        *(float(round(max(0.0, side))) for side in (insets.left, insets.top, insets.right, insets.bottom))
    )
    if edges == Insets() or not fits:
        return replace(tile, fit="stretch")
    return replace(tile, fit="nine_patch", insets=edges)


def _actions(node: _Node) -> dict[Gesture, Action]:
    gestures = (
        ("action", Gesture.TAP),
        ("swipeUpAction", Gesture.UP),
        ("swipeDownAction", Gesture.DOWN),
        ("repeatAction", Gesture.HOLD),
    )
    return {gesture: _action(node[key]) for key, gesture in gestures if node.get(key)}


def _action(value: object) -> Action:
    """Translate an action: a name, or a mapping of one kind to its argument."""
    if not isinstance(value, dict):
        return Action(
            _FUNCTIONS.get(str(value), Function.OTHER), "" if str(value) in _FUNCTIONS else str(value)
        )
    kind, argument = next(iter(value.items()), ("", ""))
    text = str(argument)
    if kind == "character":
        return Action(
            Function.LETTER if len(text) == 1 and text.isascii() and text.isalpha() else Function.TEXT, text
        )
    if kind == "symbol":
        return Action(Function.TEXT, text)
    if kind == "keyboardType":
        return Action(_KEYBOARD_FUNCTIONS.get(text, Function.KEYBOARD), text)
    if kind == "shortcut":
        return Action(_SHORTCUTS.get(text, Function.OTHER), text)
    return Action(Function.OTHER, f"{kind}: {text}")


def _entry(item: object) -> tuple[str, Action]:
    """Read an entry of a list of symbols: a text, or a mapping with label and action."""
    if isinstance(item, dict):
        label = str(item.get("label", item.get("value", "")))
        return label, _action(item["action"]) if "action" in item else Action(
            Function.TEXT, str(item.get("value", label))
        )
    return str(item), Action(Function.TEXT, str(item))
