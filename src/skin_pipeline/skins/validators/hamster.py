"""The rules of Hamster packages (``.cskin``).

Source: the description by the author of the app, ``imfuxiao/hamster-skin-skill`` (MIT),
``references/architecture.md`` and ``references/keys.md``. The app says nothing about what is wrong: a
style that is missing, a file that only one of light and dark has, or a picture without a pressed state is
simply not drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from skin_pipeline.skins.validators.checks import Violations, check_preview, picture_size
from skin_pipeline.skins.validators.documents import YamlDocument, load_document, mapping, sequence

_THEMES = ("light", "dark")
_META = frozenset(("name", "author", "description", "fontFace", "keySound"))
_BUILT_IN = frozenset(("alphabetic", "pinyin", "emojis", "images", "numeric", "numberPad", "symbolic"))
_DEVICES = {"iPhone": ("portrait", "landscape"), "iPad": ("portrait", "landscape", "floating")}
_HEIGHTS = ("preeditHeight", "toolbarHeight", "keyboardHeight")
_AREAS = (
    "preeditStyle",
    "toolbarStyle",
    "keyboardStyle",
    "horizontalCandidatesStyle",
    "verticalCandidatesStyle",
)
_LAYOUTS = ("toolbarLayout", "keyboardLayout", "horizontalCandidatesLayout", "verticalCandidatesLayout")
_NOT_STYLES = frozenset((*_HEIGHTS, *_AREAS, *_LAYOUTS, "candidateContextMenu"))
_REFERENCES = [
    "backgroundStyle",
    "foregroundStyle",
    "uppercasedStateForegroundStyle",
    "capsLockedStateForegroundStyle",
    "swipeUpForegroundStyle",
    "swipeDownForegroundStyle",
    "hintStyle",
    "hintSymbolsStyle",
    "hintSymbolsGridStyle",
    "selectedBackgroundStyle",
    "cellStyle",
    "candidateStyle",
    "animation",
    "notification",
    "symbolStyles",
]
_ACTIONS = [
    "action",
    "uppercasedStateAction",
    "preeditStateAction",
    "repeatAction",
    "swipeUpAction",
    "swipeDownAction",
]
_PLAIN_ACTIONS = frozenset(
    [
        "backspace",
        "command",
        "control",
        "dictation",
        "dismissKeyboard",
        "escape",
        "function",
        "moveCursorBackward",
        "moveCursorForward",
        "nextKeyboard",
        "option",
        "settings",
        "space",
        "systemSettings",
        "tab",
        "shift",
        "enter",
        "returnPrimaryKeyboard",
        "returnLastKeyboard",
        "symbolicKeyboardLockStateToggle",
        "none",
    ]
)
_KEYED_ACTIONS = frozenset(
    [
        "combine",
        "character",
        "symbol",
        "shortcutCommand",
        "shortcut",
        "floatKeyboardType",
        "sendKeys",
        "openURL",
        "runScript",
        "openScript",
        "keyboardType",
        "switchRimeSchema",
    ]
)
_SHORTCUTS = frozenset(
    [
        "#简繁切换",
        "#中英切换",
        "#RimeSwitcher",
        "#次选上屏",
        "#三选上屏",
        "#方案切换",
        "#行首",
        "#行尾",
        "#换行",
        "#Enter",
        "#重输",
        "#左手模式",
        "#右手模式",
        "#cut",
        "#copy",
        "#paste",
        "#selectText",
        "#deleteText",
        "#undo",
        "#redo",
        "#subCollectionPageUp",
        "#subCollectionPageDown",
        "#verticalCandidatesPageUp",
        "#verticalCandidatesPageDown",
        "#showPhraseView",
        "#showPasteboardView",
        "#toggleScriptView",
        "#candidatesBarStateToggle",
        "#rimePreviousPage",
        "#rimeNextPage",
        "#toggleEmbeddedInputMode",
        "#keyboardPerformance",
        "#keyboardMenu",
        "#clearSystemPasteboard",
    ]
)
_ENUMS: Mapping[str, frozenset[str]] = {
    "buttonStyleType": frozenset(["geometry", "systemImage", "assetImage", "fileImage", "text"]),
    "type": frozenset(
        [
            "button",
            "symbols",
            "classifiedSymbols",
            "subClassifiedSymbols",
            "horizontalSymbols",
            "horizontalCandidates",
            "verticalCandidates",
            "numericSymbols",
            "categorySymbols",
            "t9Symbols",
            "t9HorizontalSymbols",
        ]
    ),
    "contentMode": frozenset(["scaleToFill", "scaleAspectFit", "scaleAspectFill", "center"]),
    "fontWeight": frozenset(
        ["ultraLight", "thin", "light", "regular", "medium", "semibold", "bold", "heavy", "black"]
    ),
}
_ALIGNMENTS = frozenset(
    [
        "leftTop",
        "left",
        "leftBottom",
        "centerTop",
        "center",
        "centerBottom",
        "rightTop",
        "right",
        "rightBottom",
    ]
)
_COLOUR = re.compile(r"#?(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_FRACTION = re.compile(r"\d+(?:\.\d+)?/\d+(?:\.\d+)?")


def check_hamster(files: Mapping[str, bytes], violations: Violations) -> None:
    """Check a Hamster package.

    Args:
        files: Content by path.
        violations: Takes what is wrong.
    """
    roots = {name.split("/")[0] for name in files}
    if len(roots) != 1 or any("/" not in name for name in files):
        violations.add("", "top-folder", f"everything must lie in one folder, found {sorted(roots)[:5]}")
    config_path = min((name for name in files if name.rpartition("/")[2] == "config.yaml"), key=len)
    root = config_path[: -len("config.yaml")]
    config = load_document(config_path, files[config_path], violations)
    check_preview(files, f"{root}demo.png", violations)
    names, types = _check_config(config, violations)
    for theme in _THEMES:
        sheets = _Sheets(files, f"{root}{theme}/resources/", violations)
        for name in sorted(names):
            path = f"{root}{theme}/{name}.yaml"
            if path not in files:
                violations.add(path, "light-and-dark", "it is missing; the app shows nothing then")
            else:
                document = load_document(path, files[path], violations)
                _KeyboardCheck(document, sheets, types, violations).check()


def _check_config(config: YamlDocument, violations: Violations) -> tuple[set[str], set[str]]:
    """Check which files are named, and return their names and the types of keyboards."""
    names: set[str] = set()
    types = {key for key in config.root if key not in _META}
    if "pinyin" not in types:
        violations.add(config.file, "pinyin", "there is no pinyin keyboard")
    for key in sorted(types):
        for device, orientations in _DEVICES.items():
            entry = mapping(mapping(config.root[key]).get(device))
            for orientation in orientations:
                name = entry.get(orientation)
                if isinstance(name, str) and name:
                    names.add(name)
                else:
                    problem = f"{device}.{orientation} names no file; the app shows nothing there"
                    violations.add(config.file, "device", problem, key, config.lines.get(key, 0))
    return names, types


class _Sheets:
    """The pictures of a theme, each decoded and checked once."""

    def __init__(self, files: Mapping[str, bytes], folder: str, violations: Violations) -> None:
        self._files = files
        self._folder = folder
        self._violations = violations
        self._descriptions: dict[str, YamlDocument | None] = {}

    def description(self, file: str) -> YamlDocument | None:
        """Return what describes a sheet; None if it or its picture is missing."""
        if file not in self._descriptions:
            self._descriptions[file] = self._load(file)
        return self._descriptions[file]

    def _load(self, file: str) -> YamlDocument | None:
        picture, description = f"{self._folder}{file}.png", f"{self._folder}{file}.yaml"
        if picture not in self._files or description not in self._files:
            return None
        document = load_document(description, self._files[description], self._violations)
        size = picture_size(self._files, picture, self._violations)
        for image, entry in document.root.items():
            self._check_entry(document, image, mapping(entry), size)
        return document

    def _check_entry(
        self, sheet: YamlDocument, image: str, entry: Mapping[str, Any], size: tuple[int, int] | None
    ) -> None:
        """Check a rectangle of a sheet and its insets."""
        rect, insets = mapping(entry.get("rect")), mapping(entry.get("insets"))
        numbers = [rect.get(side, 0) for side in ("x", "y", "width", "height")]
        line = sheet.lines.get(image, 0)
        if not all(isinstance(number, int | float) for number in (*numbers, *insets.values())):
            self._violations.add(sheet.file, "rect", f"{rect} {insets} are no numbers", image, line)
            return
        x, y, width, height = numbers
        if size and (min(width, height) <= 0 or min(x, y) < 0 or x + width > size[0] or y + height > size[1]):
            problem = f"{numbers} is empty or leaves the {size[0]}x{size[1]} sheet"
            self._violations.add(sheet.file, "rect", problem, image, line)
        ends = insets.get("left", 0) + insets.get("right", 0), insets.get("top", 0) + insets.get("bottom", 0)
        if insets and (ends[0] >= width or ends[1] >= height or min(insets.values()) < 0):
            problem = f"{insets} leave nothing to stretch of {width}x{height}"
            self._violations.add(sheet.file, "insets", problem, image, line)


class _KeyboardCheck:
    """Checks one keyboard file."""

    def __init__(
        self, document: YamlDocument, sheets: _Sheets, types: set[str], violations: Violations
    ) -> None:
        self._document = document
        self._root = document.root
        self._sheets = sheets
        self._types = types
        self._violations = violations

    def check(self) -> None:
        """Check heights, areas, layouts and all styles."""
        for key in _HEIGHTS:
            value = self._root.get(key)
            is_length = isinstance(value, int | float) or re.fullmatch(r"\d+(?:\.\d+)?vh", str(value))
            if not is_length or (key == "keyboardHeight" and value == 0):
                self._add(key, "height", f"'{value}' is no height in points")
        for key in ("keyboardStyle", "toolbarStyle", "keyboardLayout"):
            if not self._root.get(key):
                self._add(key, "area", "it is missing; the app leaves the area out")
        for key in _AREAS:
            self._check_references(key, mapping(self._root.get(key)))
        for key in _LAYOUTS:
            self._check_layout(key, sequence(self._root.get(key)), None)
        for name, node in self._root.items():
            if name not in _NOT_STYLES and isinstance(node, dict) and not name.startswith("_"):
                self._check_style(name, node)

    def _add(self, section: str, rule: str, problem: str) -> None:
        self._violations.add(
            self._document.file, rule, problem, section, self._document.lines.get(section, 0)
        )

    # --- layouts ---

    def _check_layout(self, owner: str, nodes: list[Any], parent: str | None) -> None:
        """Check siblings: all rows, all columns or all cells; cells only in rows or columns."""
        kinds = {
            next((kind for kind in ("HStack", "VStack", "Cell") if kind in mapping(node)), "?")
            for node in nodes
        }
        if len(kinds) > 1 or "?" in kinds:
            self._add(owner, "layout", f"rows, columns and cells are mixed: {', '.join(sorted(kinds))}")
            return
        if kinds == {"Cell"}:
            if parent is None:
                self._add(owner, "layout", "a cell lies outside of any row or column")
            self._check_shares(
                owner, [node["Cell"] for node in nodes], "width" if parent == "HStack" else "height"
            )
            for node in nodes:
                self._check_name(owner, node["Cell"])
            return
        for kind in kinds:
            inner = [mapping(node[kind]) for node in nodes]
            self._check_shares(
                owner, [stack.get("style") for stack in inner], "height" if kind == "HStack" else "width"
            )
            for stack in inner:
                if stack.get("style") is not None:
                    self._check_name(owner, stack["style"])
                self._check_layout(owner, sequence(stack.get("subviews")), kind)

    def _check_shares(self, owner: str, styles: list[Any], axis: str) -> None:
        """Check that the shares of siblings can be read and do not sum to more than the whole."""
        total = 0.0
        for style in styles:
            share = mapping(mapping(self._root.get(str(style))).get("size")).get(axis)
            if isinstance(share, str):
                if not _FRACTION.fullmatch(share):
                    self._add(str(style), "size", f"'{share}' is no share 'a/b'")
                    continue
                above, below = share.split("/")
                total += float(above) / float(below) if float(below) else 2.0
        if total > 1 + 1e-6:
            self._add(owner, "size", f"parts take {total:.4f} of the {axis}")

    # --- styles ---

    def _check_name(self, owner: str, name: object) -> None:
        if not isinstance(name, str) or not isinstance(self._root.get(name), dict) or not self._root[name]:
            self._add(owner, "style", f"there is no style '{name}'")

    def _check_references(self, owner: str, node: Mapping[str, Any]) -> None:
        for key in _REFERENCES:
            for name in _named(node.get(key)):
                self._check_name(owner, name)
        if "dataSource" in node and not isinstance(self._root.get(str(node["dataSource"])), list):
            self._add(owner, "data-source", f"there is no list '{node['dataSource']}'")

    def _check_style(self, name: str, node: Mapping[str, Any]) -> None:
        self._check_references(name, node)
        for key, allowed in _ENUMS.items():
            if key in node and node[key] not in allowed:
                self._add(name, "value", f"{key}: '{node[key]}' is not one of {', '.join(sorted(allowed))}")
        alignment = mapping(node.get("bounds")).get("alignment", "center")
        if alignment not in _ALIGNMENTS:
            self._add(name, "value", f"alignment '{alignment}' is not known")
        for key, value in node.items():
            if key.lower().endswith("color"):
                for colour in value if isinstance(value, list) else [value]:
                    if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
                        self._add(name, "colour", f"{key}: '{colour}' is not #RRGGBB or #RRGGBBAA")
        for key in _ACTIONS:
            if key in node:
                self._check_action(name, node[key])
        if node.get("buttonStyleType") == "fileImage":
            for key in ("normalImage", "highlightImage"):
                self._check_image(name, key, node.get(key))
        if node.get("buttonStyleType") == "text" and not node.get("text"):
            self._add(name, "text", "a text style without text shows nothing")

    def _check_action(self, owner: str, action: object) -> None:
        if isinstance(action, str):
            if action not in _PLAIN_ACTIONS:
                self._add(owner, "action", f"'{action}' is no action")
            return
        keys = _KEYED_ACTIONS & set(mapping(action))
        if not keys:
            self._add(owner, "action", f"'{action}' is no action")
        for key in keys:
            value = mapping(action)[key]
            if key in ("shortcut", "shortcutCommand") and value not in _SHORTCUTS:
                self._add(owner, "action", f"'{value}' is no shortcut")
            if key in ("keyboardType", "floatKeyboardType") and value not in self._types | _BUILT_IN:
                self._add(owner, "keyboard-type", f"no keyboard '{value}' is declared in config.yaml")

    # --- pictures ---

    def _check_image(self, owner: str, key: str, reference: object) -> None:
        """Check that a picture is there; one without a pressed state would vanish under the finger."""
        file, image = mapping(reference).get("file"), mapping(reference).get("image")
        if not file or not image:
            self._add(owner, "states", f"{key} is missing or names no file and image")
            return
        sheet = self._sheets.description(str(file))
        if sheet is None:
            self._add(owner, "sheet", f"there is no {file}.png with {file}.yaml")
        elif str(image) not in sheet.root:
            self._add(owner, "picture-name", f"{file}.yaml has no '{image}'")


def _named(value: object) -> Iterator[object]:
    """Iterate over the style names in a name, a list of names, or a list of conditional styles."""
    for item in value if isinstance(value, list) else [value] if value is not None else []:
        if isinstance(item, dict):
            yield from _named(item.get("styleName"))
        elif item:
            yield item
