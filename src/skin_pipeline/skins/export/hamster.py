"""Writing skins for Hamster's successors (``.cskin``).

A keyboard is three areas, one below the other: unfinished input, toolbar (which candidates cover), keys. Keys
are cells of rows and columns. Lengths are points of a screen 390 points wide, shares of it where the format
allows. ``light/`` and ``dark/`` are both needed. The rules that a package must keep are in
:mod:`skin_pipeline.skins.validators.hamster`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from skin_pipeline.errors import InputError
from skin_pipeline.skins.contrast import legible_colour
from skin_pipeline.skins.export.baidu import paints_of
from skin_pipeline.skins.export.hamster_styles import (
    HamsterSheets,
    HamsterStyles,
    Node,
    hex_colour,
    sheet_files,
    weight_name,
)
from skin_pipeline.skins.export.packages import (
    PROVENANCE_FILE,
    Export,
    Losses,
    Provenance,
    encode_png,
    safe_name,
    write_zip,
)
from skin_pipeline.skins.export.pictures import pixels_tile
from skin_pipeline.skins.export.previews import preview_of
from skin_pipeline.skins.export.stacks import Cell, Stack, plan_stacks
from skin_pipeline.skins.model import (
    NOTHING,
    Action,
    Appearance,
    BarIcon,
    CandidateBar,
    Condition,
    Fill,
    Function,
    Gesture,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Orientation,
    Rect,
    Rgba,
    RgbaPixels,
    Skin,
    TextStyle,
    Theme,
    ThemeName,
    Tile,
    Variant,
)
from skin_pipeline.skins.rendering import render_keyboard

SCREEN_WIDTH_PT: Mapping[Orientation, float] = {"portrait": 390.0, "landscape": 844.0}
"""The screen that lengths in points are meant for."""
_PREEDIT_PT = 25
"""Height of the strip of unfinished input where the skin has none; the app has no bubble for it."""
_TOOLBAR_PT = 40
_TYPES: Mapping[KeyboardKind, str] = {
    KeyboardKind.PINYIN_26: "pinyin",
    KeyboardKind.ENGLISH_26: "alphabetic",
    KeyboardKind.NUMBERS_9: "numeric",
    KeyboardKind.SYMBOLS: "symbolic",
    KeyboardKind.EMOJI: "emojis",
}
"""The app's own names; other kinds keep theirs, which the app takes as a keyboard of the skin's own."""
_STAND_INS = {"pinyin": KeyboardKind.PINYIN_9, "numeric": KeyboardKind.NUMBERS_26}
"""What takes the place of a keyboard that the app needs, or that keys expect, and the skin does not have."""
_APPS_OWN = frozenset((KeyboardKind.MORE_CANDIDATES, KeyboardKind.MORE_CANDIDATES_ENGLISH))

_NAMED_ACTIONS: Mapping[Function, str | Node] = {
    Function.SPACE: "space",
    Function.ENTER: "enter",
    Function.BACKSPACE: "backspace",
    Function.SHIFT: "shift",
    Function.CAPS_LOCK: "shift",
    Function.TAB: "tab",
    Function.HIDE: "dismissKeyboard",
    Function.INPUT_METHOD: "nextKeyboard",
    Function.BACK: "returnPrimaryKeyboard",
    Function.LEFT: "moveCursorBackward",
    Function.RIGHT: "moveCursorForward",
    Function.SYMBOL_LOCK: "symbolicKeyboardLockStateToggle",
    Function.SETTINGS: "settings",
    Function.MENU: {"shortcut": "#keyboardMenu"},
    Function.CLEAR: {"shortcut": "#重输"},
    Function.CUT: {"shortcut": "#cut"},
    Function.COPY: {"shortcut": "#copy"},
    Function.PASTE: {"shortcut": "#paste"},
    Function.UNDO: {"shortcut": "#undo"},
    Function.REDO: {"shortcut": "#redo"},
    Function.SELECT_ALL: {"shortcut": "#selectText"},
    Function.HOME: {"shortcut": "#行首"},
    Function.END: {"shortcut": "#行尾"},
    Function.CANDIDATES: {"shortcut": "#candidatesBarStateToggle"},
    Function.PAGE_UP: {"shortcut": "#verticalCandidatesPageUp"},
    Function.PAGE_DOWN: {"shortcut": "#verticalCandidatesPageDown"},
    Function.EMOJI: {"keyboardType": "emojis"},
    Function.NUMBERS: {"keyboardType": "numeric"},
    Function.SYMBOLS: {"keyboardType": "symbolic"},
}
_GESTURES: Mapping[Gesture, str] = {
    Gesture.TAP: "action",
    Gesture.UP: "swipeUpAction",
    Gesture.DOWN: "swipeDownAction",
}


def write_hamster(
    skin: Skin, path: Path, *, preview: RgbaPixels | None = None, provenance: Provenance | None = None
) -> Export:
    """Write a skin as a ``.cskin`` package.

    Args:
        skin: What is written. A skin of one theme is written with the same pictures for light and dark.
        path: The package; its folder is made if need be.
        preview: The picture ``demo.png``; the skin's own, or else a rendering of it, if None.
        provenance: Where a generated skin came from; goes into ``config.yaml``, ``README.md`` and a file of
            its own.

    Returns:
        What was written, and what the format could not say.

    Raises:
        InputError: The skin has no keyboard for typing.
        StorageError: The package cannot be written.
    """
    losses = Losses()
    root = safe_name(skin.name)
    themes = _light_and_dark(skin, losses)
    files: dict[str, bytes] = {}
    names: dict[str, dict[Orientation, str]] = {}
    written: dict[ThemeName, dict[str, bytes]] = {}
    for folder, theme in themes.items():
        if theme.name not in written:
            written[theme.name], names = _theme_files(theme, losses)
        files |= {f"{root}/{folder}/{name}": content for name, content in written[theme.name].items()}
    if "pinyin" not in names:
        raise InputError(
            f"Skin '{skin.name}' has no pinyin keyboard; a .cskin needs one. Write it as .bds, or add one."
        )
    files[f"{root}/config.yaml"] = _document(_config(skin, names, provenance))
    files[f"{root}/demo.png"] = encode_png(preview if preview is not None else preview_of(skin))
    if provenance is not None:
        files[f"{root}/README.md"] = f"# {skin.name}\n\n{provenance.sentence()}\n".encode()
        files[f"{root}/{PROVENANCE_FILE}"] = provenance.document()
    write_zip(path, files)
    return Export(path, "hamster", tuple(sorted(files)), losses.all())


def _light_and_dark(skin: Skin, losses: Losses) -> dict[str, Theme]:
    """Return the theme of each folder."""
    themes = {theme.name: theme for theme in skin.themes}
    if "light" in themes and "dark" in themes:
        _report_unmatched(themes["light"], themes["dark"], losses)
        return {"light": themes["light"], "dark": themes["dark"]}
    losses.add("theme", "pictures for dark and for light surroundings", "the same pictures serve for both")
    return {"light": skin.themes[0], "dark": skin.themes[0]}


def _report_unmatched(light: Theme, dark: Theme, losses: Losses) -> None:
    """The app shows nothing where only one of two themes has a keyboard."""
    names = [{(board.name, board.orientation) for board in theme.keyboards} for theme in (light, dark)]
    for name, orientation in sorted(names[0] ^ names[1]):
        losses.add(
            f"{orientation} {name}", "it has only one of light and dark", "the app shows nothing in the other"
        )


def _config(
    skin: Skin, names: Mapping[str, Mapping[Orientation, str]], provenance: Provenance | None
) -> Node:
    """Name the file of each keyboard for each device; where one is missing the app would show nothing."""
    config: Node = {"name": skin.name}
    if skin.author:
        config["author"] = skin.author
    description = " ".join(filter(None, (skin.description, provenance.sentence() if provenance else "")))
    if description:
        config["description"] = description
    for keyboard_type, files in names.items():
        upright = files.get("portrait") or files["landscape"]
        lying = files.get("landscape") or upright
        phone = {"portrait": upright, "landscape": lying}
        config[keyboard_type] = {"iPhone": phone, "iPad": {**phone, "floating": upright}}
    return config


def _theme_files(theme: Theme, losses: Losses) -> tuple[dict[str, bytes], dict[str, dict[Orientation, str]]]:
    """Write the files of a theme, and name the keyboards by type and orientation."""
    sheets = HamsterSheets()
    boards = _typed_keyboards(theme, losses)
    names: dict[str, dict[Orientation, str]] = {}
    nodes: dict[str, Node] = {}
    types = frozenset(keyboard_type for keyboard_type, _ in boards)
    for (keyboard_type, orientation), keyboard in boards.items():
        name = f"{keyboard_type}{orientation.capitalize()}"
        names.setdefault(keyboard_type, {})[orientation] = name
        nodes[name] = _KeyboardWriter(keyboard, types, sheets, losses).document()
    files = sheet_files(sheets.pack())
    files |= {f"resources/{name}.yaml": _document(node) for name, node in sheets.descriptions().items()}
    files |= {f"{name}.yaml": _document(sheets.resolve(node)) for name, node in nodes.items()}
    return files, names


def _typed_keyboards(theme: Theme, losses: Losses) -> dict[tuple[str, Orientation], Keyboard]:
    """Name the type of each keyboard, and let others stand in for what is missing."""
    boards: dict[tuple[str, Orientation], Keyboard] = {}
    for keyboard in theme.keyboards:
        title = f"{keyboard.orientation} {keyboard.name}"
        if keyboard.kind in _APPS_OWN or keyboard.key(Function.CANDIDATE_AREA) is not None:
            losses.add(
                title, "the panel of more candidates", "the app draws its own, in the colours of the bar"
            )
            continue
        custom = safe_name(keyboard.name) if keyboard.kind is KeyboardKind.CUSTOM else str(keyboard.kind)
        boards.setdefault((_TYPES.get(keyboard.kind, custom), keyboard.orientation), keyboard)
    for name, kind in _STAND_INS.items():
        for orientation in SCREEN_WIDTH_PT:
            stand_in = boards.get((str(kind), orientation))
            if stand_in is not None and (name, orientation) not in boards:
                boards[name, orientation] = boards.pop((str(kind), orientation))
    return boards


def _document(node: Node) -> bytes:
    """Write YAML."""
    text = yaml.dump(
        node,
        Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
        allow_unicode=True,
        sort_keys=False,
        width=110,
    )
    return str(text).encode()


@dataclass(frozen=True)
class _Areas:
    """A keyboard as the app divides it.

    Attributes:
        keys: Where keys lie.
        toolbar: The strip above them.
        keyboard: The keyboard, all that is not keys or lists having become the background of an area.
    """

    keys: Rect
    toolbar: Rect
    keyboard: Keyboard


class _KeyboardWriter:
    """Writes one keyboard."""

    def __init__(
        self, keyboard: Keyboard, types: frozenset[str], sheets: HamsterSheets, losses: Losses
    ) -> None:
        self._title = f"{keyboard.orientation} {keyboard.name}"
        self._types = types
        self._losses = losses
        self._points = SCREEN_WIDTH_PT[keyboard.orientation] / keyboard.size[0]
        scales = [paint.scale for paint in paints_of(keyboard) if isinstance(paint, Tile)]
        self._unit = min([1.0, *scales])
        self._original = keyboard
        self._keyboard, self._drawn_under = self._without_decorations(keyboard)
        self._toolbar, self._panel = self._divide(self._keyboard)
        self._named_keys = {f"key_{key.id}": key for key in self._keyboard.keys}
        self._named_lists = {f"list{i}": strip for i, strip in enumerate(self._keyboard.lists, start=1)}
        self._is_bar_steady = keyboard.bar is None or keyboard.bar.always_shown or self._toolbar.y < 0
        self._styles = HamsterStyles(
            sheets, self._points, self._unit, (keyboard.bounds.x, keyboard.bounds.y), losses
        )
        self._nodes: Node = {}

    def document(self) -> Node:
        """Return the file."""
        keyboard, points = self._keyboard, self._points
        preedit = keyboard.preedit
        heights = {
            "preeditHeight": round(
                (preedit.rect.height if preedit else self._strip(_PREEDIT_PT)) * points, 9
            ),
            "toolbarHeight": round(self._toolbar.height * points, 9),
            "keyboardHeight": round(self._panel.height * points, 9),
        }
        bar_picture = self._picture(self._toolbar, self._bar_only())
        idle_picture = (
            bar_picture if self._is_bar_steady else self._picture(self._toolbar, self._panel_only())
        )
        node: Node = dict(heights)
        node |= self._candidates(bar_picture)
        node |= self._area("toolbarStyle", idle_picture, self._toolbar)
        node |= self._area("keyboardStyle", self._picture(self._panel, self._panel_only()), self._panel)
        node["toolbarLayout"] = self._toolbar_layout()
        node["keyboardLayout"] = self._key_layout()
        self._report_rest()
        return node | self._nodes | self._styles.nodes

    def _strip(self, height_pt: float) -> float:
        """Return the height of an added strip in whole design pixels, which keeps all others on theirs."""
        return max(1.0, round(height_pt / self._points))

    # --- dividing ---

    def _divide(self, keyboard: Keyboard) -> tuple[Rect, Rect]:
        """Return the strip of the toolbar and the area of the keys.

        A bar above the panel has a strip of its own. So has one along the top of the panel, unless its lower
        edge crosses a key: the panel is cut in two there, and keys under the bar become buttons of the
        toolbar, which candidates cover as the bar does. Any other bar moves above the panel.
        """
        panel, bar = keyboard.panel, keyboard.bar
        if bar is None:
            height = self._strip(_TOOLBAR_PT)
            self._losses.add(
                self._title, "a keyboard without candidate bar", "an empty toolbar lies above it"
            )
            return Rect(0, -height, panel.width, height), panel
        if bar.rect.bottom <= 0:
            if not bar.always_shown:
                self._losses.add(self._title, "a bar that comes and goes", "the toolbar stays")
            return Rect(0, bar.rect.y, panel.width, -bar.rect.y), panel
        edge = bar.rect.bottom
        places = [key.rect for key in keyboard.keys] + [strip.rect for strip in keyboard.lists]
        is_crossed = any(place.y < edge - 1e-6 and place.bottom > edge + 1e-6 for place in places)
        if 0 <= bar.rect.y < bar.rect.height and not is_crossed and edge < panel.height:
            return replace(panel, height=edge), Rect(0, edge, panel.width, panel.height - edge)
        self._losses.add(self._title, "a bar that lies over keys", "it lies above the panel")
        return Rect(0, -bar.rect.height, panel.width, bar.rect.height), panel

    def _without_decorations(self, keyboard: Keyboard) -> tuple[Keyboard, tuple[Key, ...]]:
        """Set pictures aside that lie among keys and do nothing: they are drawn into the panel."""
        places = [key.touch for key in keyboard.keys if key.actions] + [
            strip.rect for strip in keyboard.lists
        ]
        aside = tuple(
            key
            for key in keyboard.keys
            if not key.actions and any(not key.rect.intersection(place).is_empty for place in places)
        )
        for key in aside:
            if any(layer.appearance.normal != layer.appearance.pressed for layer in key.layers):
                self._losses.add(
                    f"{self._title}, {key.id}", "a decoration's pressed state", "it is never pressed"
                )
        kept = tuple(key for key in keyboard.keys if key not in aside)
        return replace(keyboard, keys=kept), aside

    def _panel_only(self) -> Keyboard:
        """Return the panel with the decorations that are drawn into it."""
        return replace(self._keyboard, keys=self._drawn_under, bar=None, preedit=None, lists=(), grid=None)

    def _bar_only(self) -> Keyboard:
        """Return what lies behind the buttons of the bar."""
        bar = self._keyboard.bar
        if bar is None:
            return replace(self._panel_only(), background=NOTHING, keys=())
        plain = replace(bar, icons=(), always_shown=True)
        if bar.rect.bottom > 0 and self._toolbar.y < 0:
            plain = replace(plain, rect=self._toolbar)
        under = self._panel_only()
        if self._toolbar.y < 0:
            under = replace(under, background=NOTHING, keys=())
        return replace(under, bar=plain)

    def _picture(self, area: Rect, keyboard: Keyboard) -> RgbaPixels:
        """Return what lies behind an area: its one picture as it is, or else all that is there, drawn."""
        alone = _only_picture(area, keyboard)
        if alone is not None:
            return alone
        bounds = keyboard.bounds.union(area)
        whole = replace(keyboard, preedit=CandidateBar(bounds)) if bounds != keyboard.bounds else keyboard
        drawn = render_keyboard(whole, max(1, round(bounds.width / self._unit)))
        top = round((area.y - bounds.y) / self._unit)
        left = round((area.x - bounds.x) / self._unit)
        width, height = round(area.width / self._unit), round(area.height / self._unit)
        return drawn[top : top + max(1, height), left : left + max(1, width)]

    def _area(self, key: str, picture: RgbaPixels, place: Rect) -> Node:
        """Describe an area; even an empty one needs a style, or it is not there at all."""
        tile = replace(pixels_tile(picture), fit="stretch", scale=self._unit)
        if (picture == picture[:1, :1]).all():
            red, green, blue, alpha = (int(channel) for channel in picture[0, 0])
            return {
                key: {"backgroundStyle": self._styles.area(_steady(Fill((red, green, blue, alpha))), place)}
            }
        return {key: {"backgroundStyle": self._styles.area(_steady(tile), place)}}

    # --- bars ---

    def _candidates(self, bar_picture: RgbaPixels) -> Node:
        """Describe candidates and unfinished input; colours that the skin lacks are made legible."""
        bar = self._keyboard.bar
        text = self._bar_text(bar.text if bar else None, bar_picture)
        first = self._bar_text(bar.first_text if bar and bar.first_text else text, bar_picture)
        size = round(text.size * self._points, 3)
        edge = round((bar.gap if bar else 0) * self._points / 2, 9) or 6
        self._nodes["candidateStyle"] = {
            "insets": {"left": edge, "right": edge},
            "textFontSize": size,
            "textFontWeight": weight_name(text.weight),
            "commentFontSize": round(size * 0.7, 3),
            "indexFontSize": round(size * 0.7, 3),
            "textColor": hex_colour(text.colour),
            "commentColor": hex_colour(text.colour),
            "indexColor": hex_colour(text.colour),
            "preferredTextColor": hex_colour(first.colour),
            "preferredCommentColor": hex_colour(first.colour),
            "preferredIndexColor": hex_colour(first.colour),
            "highlightBackgroundColor": hex_colour((*text.colour[:3], 40)),
        }
        self._nodes["candidatesCell"] = {
            "type": "horizontalCandidates",
            "candidateStyle": "candidateStyle",
            "maxColumns": 7,
        }
        self._nodes["moreCandidatesCell"] = {
            "type": "verticalCandidates",
            "candidateStyle": "candidateStyle",
            "maxRows": 5,
            "maxColumns": 6,
            "separatorColor": hex_colour((*text.colour[:3], 60)),
        }
        behind = self._area("horizontalCandidatesStyle", bar_picture, self._toolbar)
        shown = [icon for icon in self._icons() if icon.shown in ("with_candidates", "always")]
        cells = [
            {"Cell": "candidatesCell"},
            *({"Cell": self._icon(icon, in_row=True)} for icon in shown[-1:]),
        ]
        last_row = self._last_row(text)
        return {
            **self._preedit(bar_picture),
            **behind,
            "horizontalCandidatesLayout": [{"HStack": {"subviews": cells}}],
            "verticalCandidatesStyle": self._area("x", bar_picture, self._toolbar)["x"],
            "verticalCandidatesLayout": [
                {"HStack": {"subviews": [{"Cell": "moreCandidatesCell"}]}},
                {"HStack": {"style": "lastRow", "subviews": last_row}},
            ],
        }

    def _last_row(self, text: TextStyle) -> list[Node]:
        """Describe the buttons below the panel of more candidates; without them there is no way back."""
        self._nodes["lastRow"] = {"size": {"height": 45}}
        buttons: dict[str, tuple[str, Node | str]] = {
            "pageUp": ("chevron.up", {"shortcut": "#verticalCandidatesPageUp"}),
            "pageDown": ("chevron.down", {"shortcut": "#verticalCandidatesPageDown"}),
            "backToKeys": ("return", {"shortcut": "#candidatesBarStateToggle"}),
            "deleteCode": ("delete.left", "backspace"),
        }
        for name, (image, action) in buttons.items():
            self._nodes[f"{name}Icon"] = {
                "buttonStyleType": "systemImage",
                "systemImageName": image,
                "fontSize": 20,
                "normalColor": hex_colour(text.colour),
                "highlightColor": hex_colour(text.colour),
            }
            self._nodes[name] = {"action": action, "foregroundStyle": f"{name}Icon"}
        return [{"Cell": name} for name in buttons]

    def _bar_text(self, style: TextStyle | None, picture: RgbaPixels) -> TextStyle:
        if style is not None:
            return style
        colour: Rgba = (*legible_colour(picture).colour, 255)
        return TextStyle(18 / self._points, colour, colour)

    def _preedit(self, bar_picture: RgbaPixels) -> Node:
        """Describe the strip of unfinished input: the skin's own, or the bar's upper edge drawn on."""
        preedit = self._keyboard.preedit
        if preedit is None:
            picture = bar_picture[:1]
            place = Rect(0, 0, self._toolbar.width, self._strip(_PREEDIT_PT))
            self._losses.add(self._title, "a bubble of unfinished input", "a strip above the bar shows it")
        else:
            place = preedit.rect
            alone = replace(
                self._panel_only(), background=NOTHING, keys=(), preedit=replace(preedit, icons=())
            )
            picture = self._picture(place, alone)
        text = self._bar_text(preedit.text if preedit else None, picture)
        size = round(text.size * self._points, 3) if preedit else 14
        self._nodes["preeditText"] = {"fontSize": size, "textColor": hex_colour(text.colour)}
        style = self._area("preeditStyle", picture, place)["preeditStyle"]
        return {"preeditStyle": style | {"foregroundStyle": "preeditText", "insets": {"left": 6}}}

    def _icons(self) -> Iterable[BarIcon]:
        return self._keyboard.bar.icons if self._keyboard.bar else ()

    def _icon(self, icon: BarIcon, *, in_row: bool = False) -> str:
        """Describe a button of the bar as a cell; beside the candidates it keeps its width only."""
        place = self._on_toolbar(icon.key.rect)
        key = replace(icon.key, rect=place)
        name = f"icon_{icon.key.id}_{'row' if in_row else icon.shown}"
        if not in_row:
            self._nodes[name] = self._button(key, place)
            return name
        place = replace(place, y=self._toolbar.y, height=self._toolbar.height)
        width = round(place.width * self._points, 9)
        self._nodes[name] = self._button(key, place) | {"size": {"width": width}}
        return name

    def _on_toolbar(self, rect: Rect) -> Rect:
        """Return where a button of the bar lies now: a bar that moved above the panel took it along."""
        assert self._keyboard.bar is not None
        bar = self._keyboard.bar.rect
        return rect.moved(0, self._toolbar.y - bar.y) if bar.bottom > 0 > self._toolbar.y else rect

    def _toolbar_layout(self) -> list[Node]:
        """Lay out what is there without candidates: buttons of the bar, and keys that it covers."""
        cells: list[Cell] = []
        for icon in self._icons():
            if icon.shown in ("idle", "always") and self._is_bar_steady:
                cells.append(Cell(self._icon(icon), self._on_toolbar(icon.key.rect)))
            if icon.shown == "with_candidates" and icon is not list(self._icons())[-1]:
                self._losses.add(
                    f"{self._title}, {icon.key.id}", "a button beside the candidates", "one has room"
                )
        cells += self._place_cells(self._toolbar)
        return self._layout(cells, self._toolbar, "bar") if cells else []

    # --- keys ---

    def _key_layout(self) -> list[Node]:
        """Lay out keys and lists."""
        return self._layout(self._place_cells(self._panel), self._panel, "keys")

    def _place_cells(self, area: Rect) -> list[Cell]:
        """Return the places of the lists and keys whose centre lies in an area.

        Of what leaves the panel the centre of what is seen counts.
        """
        cells = [Cell(name, strip.rect) for name, strip in self._named_lists.items()]
        cells += [
            Cell(name, key.touch if key.actions else key.rect) for name, key in self._named_keys.items()
        ]
        drawn = {name: strip.rect for name, strip in self._named_lists.items()}
        drawn |= {name: key.rect for name, key in self._named_keys.items()}
        bounds = self._panel.union(self._toolbar)
        seen = {name: rect.intersection(bounds) for name, rect in drawn.items()}
        return [cell for cell in cells if area.y <= seen[str(cell.name)].centre[1] < area.bottom]

    def _layout(self, cells: list[Cell], area: Rect, prefix: str) -> list[Node]:
        """Arrange cells in an area and describe each in the place that it gets."""
        tree = plan_stacks(cells, area)
        self._report_cuts(tree.trimmed, tree.hidden)
        for cell in tree.cells():
            name = str(cell.name)
            if name in self._named_keys:
                self._nodes[name] = self._button(self._named_keys[name], cell.rect)
            elif name in self._named_lists:
                self._nodes[name] = self._list(self._named_lists[name])
        return self._stack_nodes(tree.root, prefix)

    def _report_cuts(self, trimmed: Iterable[str], hidden: Iterable[str]) -> None:
        for name in trimmed:
            self._losses.add(
                f"{self._title}, {name}", "a place to touch that overlaps others", "its edge is cut"
            )
        for name in hidden:
            self._losses.add(f"{self._title}, {name}", "a key under or beside others", "it is left out")

    def _stack_nodes(self, stack: Stack, prefix: str) -> list[Node]:
        """Write a tree. The root is a list of rows, or of columns."""
        return [
            self._part_node(part, stack, f"{prefix}{number}")
            for number, part in enumerate(stack.parts, start=1)
        ]

    def _part_node(self, part: Cell | Stack, parent: Stack, name: str) -> Node:
        """Write a row or a column with what is in it; a cell among them is one with nothing beside it."""
        axis, share = _share(part.rect, parent)
        self._nodes[name] = {"size": {axis: share}}
        children = part.parts if isinstance(part, Stack) else (part,)
        if any(isinstance(child, Stack) for child in children):
            assert isinstance(part, Stack)
            subviews = [
                self._part_node(child, part, f"{name}_{i}") for i, child in enumerate(children, start=1)
            ]
        else:
            subviews = [
                self._cell_node(child, part, f"{name}_{i}") for i, child in enumerate(children, start=1)
            ]
        return {"VStack" if parent.is_row else "HStack": {"style": name, "subviews": subviews}}

    def _cell_node(self, cell: Cell | Stack, parent: Cell | Stack, gap_name: str) -> Node:
        assert isinstance(cell, Cell)
        name = cell.name or gap_name
        node = self._nodes.setdefault(name, {})
        # A cell alone in its row takes all of it; said in full, for an empty node would be no style.
        axis, share = _share(cell.rect, parent) if isinstance(parent, Stack) else ("width", "1/1")
        node["size"] = {axis: share}
        return {"Cell": name}

    def _button(self, key: Key, cell: Rect) -> Node:
        """Describe a key in a cell."""
        title = f"{self._title}, {key.id}"
        bounds = _bounds(key.rect, cell)
        place = cell if bounds is None else key.rect
        caps = self._styles.layer(key.background, key.rect, place, title)
        # Without bounds it is the cap's margins that say where the key is seen, so they must be the key's.
        has_caps_margins = self._styles.covers(key.background, key.rect)
        if bounds == {} and caps and not has_caps_margins:
            bounds = {"bounds": {"alignment": "center"}}
        is_framed = bounds is not None or has_caps_margins
        behind = caps[:1] if is_framed else [self._styles.frame(key.rect, cell)]
        lowest = caps[1:] if is_framed else caps
        node: Node = bounds or {}
        node |= {"backgroundStyle": behind[0]} if behind else {}
        foregrounds = lowest + self._foregrounds(key.foregrounds, key.rect, place, title)
        node |= {"foregroundStyle": foregrounds} if foregrounds else {}
        node |= self._actions(key, key.actions, title)
        for condition, variant in key.variants.items():
            node |= self._variant(key, condition, variant, place, lowest, title)
        if key.held_characters:
            self._losses.add(title, "characters offered while a key is held", "none are", key.held_characters)
        return node

    def _foregrounds(self, layers: Iterable[Layer], owner: Rect, place: Rect, title: str) -> list[str]:
        """Describe layers, and return the names of their styles."""
        return [name for layer in layers for name in self._styles.layer(layer, owner, place, title)]

    def _variant(
        self, key: Key, condition: Condition, variant: Variant, place: Rect, lowest: list[str], title: str
    ) -> Node:
        """Describe how a key differs under shift and with unfinished input; there is no other case.

        What lies beneath its foregrounds without being its background is repeated under those of the variant.
        """
        states = {
            Condition.SHIFTED: ("uppercasedStateForegroundStyle", "uppercasedStateAction"),
            Condition.CAPS_LOCKED: ("capsLockedStateForegroundStyle", "uppercasedStateAction"),
            Condition.COMPOSING: (None, "preeditStateAction"),
        }
        if condition not in states:
            self._losses.add(title, f"how it is when '{condition}'", "it stays as it is")
            return {}
        node: Node = {}
        looks, acts = states[condition]
        if variant.background is not None or (looks is None and variant.foregrounds is not None):
            self._losses.add(title, f"pictures when '{condition}'", "they stay as they are")
        if looks and variant.foregrounds is not None:
            node[looks] = lowest + self._foregrounds(variant.foregrounds, key.rect, place, title)
        tap = (variant.actions or {}).get(Gesture.TAP)
        if tap is not None and tap != key.actions.get(Gesture.TAP):
            action = self._action(tap, "")
            node |= {acts: action} if action is not None else {}
        return node

    def _actions(self, key: Key, actions: Mapping[Gesture, Action], title: str) -> Node:
        node: Node = {}
        for gesture, action in actions.items():
            said = self._action(action, key.code if gesture is Gesture.TAP else "")
            if gesture not in _GESTURES or said is None:
                self._losses.add_gesture(title, gesture, action)
                continue
            node[_GESTURES[gesture]] = said
            if gesture is Gesture.TAP and action.function is Function.BACKSPACE:
                node["repeatAction"] = said
        return node

    def _action(self, action: Action, code: str) -> Node | str | None:
        """Return what the format calls an action; None if it has no word for it."""
        function, text = action.function, action.text
        if function is Function.LETTER:
            return {"character": code or text}
        if function is Function.TEXT:
            return {"character": code} if code else {"symbol": text} if text else None
        if function is Function.LANGUAGE:
            other = "pinyin" if "english" in str(self._keyboard.kind) else "alphabetic"
            return {"keyboardType": other} if other in self._types else {"shortcut": "#中英切换"}
        if function is Function.LAYOUT:
            is_nine = str(self._keyboard.kind).endswith("_9")
            other = "pinyin" if is_nine else str(KeyboardKind.PINYIN_9)
            return {"keyboardType": other} if other in self._types else None
        if function is Function.KEYBOARD:
            return {"keyboardType": safe_name(text)} if safe_name(text) in self._types else None
        return _NAMED_ACTIONS.get(function)

    def _list(self, strip: KeyList) -> Node:
        """Describe a list; its entries and their text are nodes of their own."""
        title = f"{self._title}, list"
        name = f"entries{len(self._nodes)}"
        values = list(strip.values) + [
            Action(Function.TEXT, text) for text in strip.entries[len(strip.values) :]
        ]
        entries: list[Node] = []
        for label, value in zip(strip.entries, values, strict=False):
            action = self._action(value, "")
            entries.append(
                {"label": label, "action": action} if action is not None else {"label": label, "value": label}
            )
        self._nodes[name] = entries
        node: Node = {
            "type": "symbols" if strip.direction == "column" else "horizontalSymbols",
            "dataSource": name,
        }
        node["maximumRow" if strip.direction == "column" else "maxColumns"] = max(1, len(strip.cells()))
        background = self._styles.layer(Layer(strip.background), strip.rect, strip.rect, title)
        cell_rect = Rect(0, 0, *strip.cell_size)
        cell: Node = {}
        behind = self._styles.layer(Layer(strip.cell), cell_rect, cell_rect, title)
        if behind:
            cell["backgroundStyle"] = behind[0]
        if strip.text is not None:
            # The app replaces the text by each entry's label.
            cell["foregroundStyle"] = self._styles.layer(
                Layer(strip.text.lettering("·")), cell_rect, cell_rect, title
            )[0]
        if cell:
            self._nodes[f"{name}Cell"] = cell
            node["cellStyle"] = f"{name}Cell"
        if background:
            node["backgroundStyle"] = background[0]
        if not strip.always_shown:
            self._losses.add(title, "a list that comes and goes", "it stays")
        return node

    def _report_rest(self) -> None:
        """Note the parts that have no place in the format."""
        keyboard = self._original
        if keyboard.popups:
            self._losses.add(self._title, "bubbles over keys", "none are shown")
        if keyboard.grid is not None:
            self._losses.add(self._title, "cells of candidates", "the app draws its own")
        bar = keyboard.bar
        if bar is not None and not (bar.cell.is_empty and bar.first_cell.is_empty):
            self._losses.add(self._title, "pictures behind candidates", "none are shown")
        for index, icon in enumerate(self._icons()):
            if icon.shown == "never":
                self._losses.add(
                    f"{self._title}, button {index + 1}", "a button that is never shown", "left out"
                )


def _only_picture(area: Rect, keyboard: Keyboard) -> RgbaPixels | None:
    """Return the pixels of the one picture that is pulled over an area, if there is nothing else."""
    shown = [(keyboard.background.normal, keyboard.panel)]
    shown += [
        (bar.background.normal, bar.rect) for bar in (keyboard.bar, keyboard.preedit) if bar is not None
    ]
    painted = [(paint, place) for paint, place in shown if paint is not None]
    if keyboard.keys or len(painted) != 1:
        return None
    paint, place = painted[0]
    return paint.crop() if isinstance(paint, Tile) and paint.fit == "stretch" and place == area else None


def _steady(paint: Fill | Tile) -> Appearance:
    return Appearance(paint, paint)


def _share(rect: Rect, parent: Stack) -> tuple[str, str]:
    """Return an axis and the share that a part takes of its parent along it, as the format writes it."""
    if parent.is_row:
        return "width", f"{rect.width:.12g}/{parent.rect.width:.12g}"
    return "height", f"{rect.height:.12g}/{parent.rect.height:.12g}"


def _bounds(rect: Rect, cell: Rect) -> Node | None:
    """Return where in a cell a rectangle lies; None if it is none of the nine places that have a name."""
    if rect == cell:
        return {}
    across = _alignment(rect.x - cell.x, cell.right - rect.right, ("left", "", "right"))
    down = _alignment(rect.y - cell.y, cell.bottom - rect.bottom, ("Top", "", "Bottom"))
    if across is None or down is None:
        return None
    words = {"Top": "centerTop", "Bottom": "centerBottom", "": "center"}
    bounds: Node = {"alignment": f"{across}{down}" if across else words[down]}
    if rect.width != cell.width:
        bounds["width"] = f"{rect.width:.12g}/{cell.width:.12g}"
    if rect.height != cell.height:
        bounds["height"] = f"{rect.height:.12g}/{cell.height:.12g}"
    return {"bounds": bounds}


def _alignment(near: float, far: float, words: tuple[str, str, str]) -> str | None:
    """Return the name of a place along an axis, by the gaps on both sides."""
    if min(near, far) < -1e-6:
        return None
    if abs(near - far) < 1e-6:
        return words[1]
    return words[0] if abs(near) < 1e-6 else words[2] if abs(far) < 1e-6 else None
