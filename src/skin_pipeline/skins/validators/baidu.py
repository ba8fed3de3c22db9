"""The rules of Baidu packages (``.bds``).

Sources: Baidu's "手机输入法皮肤文档" V 2.11.21 for files, sections and keys; the importer of the open
fcitx5-android fork for what is refused: rectangles outside of the panel or their sheet, ``TILE_NUM`` that
lies, missing sheets, slices and styles, a style sheet that is not in ``<orientation>/res``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from skin_pipeline.skins.validators.checks import Violations, check_preview, picture_size

MAX_SHEET_PIXELS = 1 << 24
MAX_TILES = 512

_ORIENTATIONS = ("port", "land")
_RECT = re.compile(r"-?\d+(?:,-?\d+)*")
_COLOUR = re.compile(r"[0-9A-Fa-f]{6}(?:[0-9A-Fa-f]{2})?")
_STATE = re.compile(r"S(\d+)_(\d+)")
_CODE = re.compile(r"F\d{1,3}|B[1-6]|Z\+.+")
_STYLE_KEYS = ("BACK_STYLE", "FORE_STYLE", "CELL_STYLE", "FIRST_BACK", "FIRST_FORE")
_GESTURES = ("CENTER", "UP", "DOWN", "LEFT", "RIGHT", "HOLD")
_NOT_KEYBOARDS = ("gen.ini", "anim.ini", "logo.ini", "help.ini")


@dataclass
class _Section:
    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


class _Document:
    """A text file: sections with their lines."""

    def __init__(self, file: str, content: bytes, violations: Violations) -> None:
        self.file = file
        self._violations = violations
        self.sections: list[_Section] = [_Section("", 0)]
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            violations.add(file, "encoding", "it is not UTF-8")
            text = content.decode("utf-8", "replace")
        for number, raw in enumerate(text.splitlines(), start=1):
            self._read_line(raw.strip(), number)

    def _read_line(self, line: str, number: int) -> None:
        if line.startswith("["):
            self.sections.append(_Section(line[1:].partition("]")[0], number))
        elif "=" in line:
            key, _, value = line.partition("=")
            self.sections[-1].values[key.strip()] = value.strip()
            self.sections[-1].lines[key.strip()] = number
        elif line:
            self._violations.add(
                self.file, "syntax", f"'{line[:40]}' is neither a section nor key=value", "", number
            )

    def get(self, name: str) -> _Section | None:
        return next((section for section in self.sections if section.name == name), None)

    def numbered(self, base: str) -> dict[int, _Section]:
        matches = ((re.fullmatch(rf"{base}(\d+)", section.name), section) for section in self.sections)
        return {int(match[1]): section for match, section in matches if match}

    def add(self, section: _Section, key: str, rule: str, problem: str) -> None:
        self._violations.add(self.file, rule, problem, section.name, section.lines.get(key, section.line))

    def integers(self, section: _Section, key: str, count: int) -> tuple[int, ...] | None:
        """Return whole numbers, or None (and a violation) if there are not as many."""
        value = section.values.get(key, "")
        if _RECT.fullmatch(value) and value.count(",") == count - 1:
            return tuple(int(part) for part in value.split(","))
        self.add(section, key, "numbers", f"{key} must be {count} whole numbers, got '{value[:40]}'")
        return None


def check_baidu(files: Mapping[str, bytes], violations: Violations) -> None:
    """Check a Baidu package.

    Args:
        files: Content by path.
        violations: Takes what is wrong.
    """
    info = files.get("Info.txt")
    if info is None:
        violations.add("Info.txt", "info", "it is missing")
    elif not _Document("Info.txt", info, violations).sections[0].values.get("Name"):
        violations.add("Info.txt", "info", "it has no Name")
    check_preview(files, "demo.png", violations)
    for root in _roots(files, violations):
        inside = {name[len(root) :]: content for name, content in files.items() if name.startswith(root)}
        _Root(root, inside, violations).check()


def _roots(files: Mapping[str, bytes], violations: Violations) -> list[str]:
    """Return where themes lie; one at the top, or light and dark."""
    if any(name.startswith(("light/skin/", "dark/skin/")) for name in files):
        for root in ("light/skin/", "dark/skin/"):
            if f"{root}port/gen.ini" not in files and f"{root}land/gen.ini" not in files:
                violations.add(root, "light-and-dark", "one of the two themes is missing")
        return ["light/skin/", "dark/skin/"]
    return [""]


class _Root:
    """Checks one theme."""

    def __init__(self, root: str, files: Mapping[str, bytes], violations: Violations) -> None:
        self._root = root
        self._files = files
        self._violations = violations
        self._slices: dict[str, set[int]] = {}

    def check(self) -> None:
        """Check sheets, then each orientation that there is."""
        for name in self._files:
            if name.endswith(".til"):
                self._check_slices(name)
        orientations = [name for name in _ORIENTATIONS if f"{name}/gen.ini" in self._files]
        if "port" not in orientations:
            self._violations.add(f"{self._root}port/gen.ini", "gen", "it is missing")
        for orientation in orientations:
            _OrientationCheck(self._root, orientation, self._files, self._slices, self._violations).check()

    def _check_slices(self, name: str) -> None:
        """Check the slices of a sheet: in it, as many as stated, not too many."""
        document = _Document(self._root + name, self._files[name], self._violations)
        picture = f"{name[:-4]}.png"
        size = None
        if picture not in self._files:
            self._violations.add(self._root + name, "sheet", f"there is no {picture}")
        else:
            size = picture_size(self._files, picture, self._violations)
        if size and size[0] * size[1] > MAX_SHEET_PIXELS:
            self._violations.add(
                self._root + picture, "sheet-size", f"{size[0]}x{size[1]} px are more than {MAX_SHEET_PIXELS}"
            )
        slices = document.numbered("IMG")
        self._slices[name[:-4]] = set(slices)
        head = document.get("GLOBAL") or _Section("GLOBAL", 0)
        if head.values.get("TILE_NUM") != str(len(slices)):
            document.add(
                head,
                "TILE_NUM",
                "tile-num",
                f"TILE_NUM={head.values.get('TILE_NUM')}, but there are {len(slices)} slices",
            )
        if len(slices) > MAX_TILES:
            document.add(head, "TILE_NUM", "tiles", f"{len(slices)} slices, at most {MAX_TILES} are taken")
        for section in slices.values():
            self._check_slice(document, section, size)

    def _check_slice(self, document: _Document, section: _Section, size: tuple[int, int] | None) -> None:
        source = document.integers(section, "SOURCE_RECT", 4)
        if source is None:
            return
        if source[2] <= 0 or source[3] <= 0 or (size and not _is_inside(source, (0, 0, *size))):
            document.add(
                section, "SOURCE_RECT", "source-rect", f"{source} is empty or leaves the sheet of {size}"
            )
        if "INNER_RECT" in section.values:
            inner = document.integers(section, "INNER_RECT", 4)
            if inner is not None and not _is_inside(inner, source):
                document.add(section, "INNER_RECT", "inner-rect", f"{inner} leaves SOURCE_RECT {source}")


class _OrientationCheck:
    """Checks the layouts and styles of one orientation."""

    def __init__(
        self,
        root: str,
        orientation: str,
        files: Mapping[str, bytes],
        slices: Mapping[str, set[int]],
        violations: Violations,
    ) -> None:
        self._root, self._folder, self._files = root, orientation, files
        self._slices, self._violations = slices, violations
        self._general = self._document(f"{orientation}/gen.ini")
        self._offsets = set(self._general.numbered("OFFSET"))
        self._styles: set[int] = set()

    def _document(self, name: str) -> _Document:
        return _Document(self._root + name, self._files[name], self._violations)

    def check(self) -> None:
        """Check the style sheet, then all layouts."""
        sheet = f"{self._folder}/res/default.css"
        if sheet in self._files:
            self._check_styles(self._document(sheet))
        else:
            self._violations.add(self._root + sheet, "style-sheet", "it is missing")
        size = self._panel_size(self._general, None)
        self._check_references(self._general)
        names = [
            name
            for name in self._files
            if name.startswith(f"{self._folder}/") and name.count("/") == 1 and name.endswith(".ini")
        ]
        keyboards = [name for name in names if name.rpartition("/")[2] not in _NOT_KEYBOARDS]
        if not keyboards:
            self._violations.add(f"{self._root}{self._folder}/", "keyboards", "there is no keyboard")
        for name in keyboards:
            self._check_keyboard(self._document(name), size)
        for name in self._files:
            if name.startswith(f"{self._folder}/") and name.endswith((".cnd", ".pop")):
                self._check_references(self._document(name))

    # --- styles ---

    def _check_styles(self, sheet: _Document) -> None:
        self._styles = set(sheet.numbered("STYLE"))
        head = sheet.get("GLOBAL")
        if head and head.values.get("STYLE_NUM") != str(len(self._styles)):
            sheet.add(
                head,
                "STYLE_NUM",
                "style-num",
                f"STYLE_NUM={head.values.get('STYLE_NUM')}, but there are {len(self._styles)}",
            )
        for section in sheet.numbered("STYLE").values():
            for key in ("NM_IMG", "HL_IMG"):
                if key in section.values:
                    self._check_picture(sheet, section, key)
            for key in ("NM_COLOR", "HL_COLOR", "BORDER_COLOR"):
                if key in section.values and not _COLOUR.fullmatch(section.values[key]):
                    sheet.add(
                        section, key, "colour", f"'{section.values[key][:40]}' is not RRGGBB or AARRGGBB"
                    )
            font = section.values.get("FONT_NAME")
            if font and not any(f"{folder}{font}" in self._files for folder in self._folders()):
                sheet.add(section, "FONT_NAME", "font", f"there is no font '{font}'")

    def _folders(self) -> tuple[str, ...]:
        return f"{self._folder}/res/", f"{self._folder}/", "res/", ""

    def _check_picture(self, sheet: _Document, section: _Section, key: str) -> None:
        name, _, number = section.values[key].partition(",")
        found = next((folder + name for folder in self._folders() if folder + name in self._slices), None)
        if found is None:
            sheet.add(section, key, "sheet", f"there is no sheet '{name}'")
        elif not number.isdecimal() or int(number) not in self._slices[found]:
            sheet.add(section, key, "slice", f"the sheet '{name}' has no slice {number}")

    # --- layouts ---

    def _panel_size(self, document: _Document, default: tuple[int, int] | None) -> tuple[int, int] | None:
        panel = document.get("PANEL")
        if panel is None or "SIZE" not in panel.values:
            if default is None:
                self._violations.add(document.file, "panel", "there is no [PANEL] with SIZE")
            return default
        numbers = document.integers(panel, "SIZE", 2)
        if numbers is None or min(numbers) <= 0:
            document.add(panel, "SIZE", "panel", f"SIZE={panel.values['SIZE']} is no size")
            return default
        return numbers[0], numbers[1]

    def _check_keyboard(self, document: _Document, default: tuple[int, int] | None) -> None:
        size = self._panel_size(document, default)
        if document.get("PANEL") is None:
            self._violations.add(document.file, "panel", "there is no [PANEL]")
        keys = document.numbered("KEY")
        if not keys:
            self._violations.add(document.file, "keys", "there is no key")
        touches: Counter[tuple[int, ...]] = Counter()
        for section in keys.values():
            touch = self._check_key(document, section, size)
            if touch is not None and any(section.values.get(gesture) for gesture in _GESTURES):
                touches[touch] += 1
                if touches[touch] > 1:
                    document.add(
                        section, "TOUCH_RECT", "duplicate-touch", f"another key has the place {touch} too"
                    )
        self._check_references(document)

    def _check_key(
        self, document: _Document, section: _Section, size: tuple[int, int] | None
    ) -> tuple[int, ...] | None:
        """Check the places of a key and return the one that is touched."""
        view = document.integers(section, "VIEW_RECT", 4)
        touch = document.integers(section, "TOUCH_RECT", 4) if "TOUCH_RECT" in section.values else view
        for key, rect in (("VIEW_RECT", view), ("TOUCH_RECT", touch)):
            if rect is not None and size and not _is_inside(rect, (0, 0, *size)):
                document.add(
                    section, key, "rect", f"{key} {rect} is empty or leaves the panel of {size[0]}x{size[1]}"
                )
        return touch

    def _check_references(self, document: _Document) -> None:
        """Check that everything that is named by number or file is there."""
        tips = document.numbered("TIP")
        icons = document.numbered("ICON")
        for section in document.sections:
            for key in _STYLE_KEYS:
                for number in self._numbers(section, key):
                    if number and number not in self._styles:
                        document.add(section, key, "style", f"there is no style {number}")
            for number in self._numbers(section, "POS_TYPE"):
                if number and number not in self._offsets:
                    document.add(section, "POS_TYPE", "offset", f"gen.ini has no offset {number}")
            for match in _STATE.finditer(section.values.get("STAT_STYLE", "")):
                if int(match[2]) not in tips:
                    document.add(section, "STAT_STYLE", "tip", f"there is no TIP{match[2]}")
            for number in self._numbers(section, "BACK_ICON"):
                if number not in icons:
                    document.add(section, "BACK_ICON", "icon", f"there is no ICON{number}")
            self._check_files(document, section)

    def _check_files(self, document: _Document, section: _Section) -> None:
        suffix = {"CAND": ".cnd", "HINT": ".pop", "MORE": ".ini"}.get(section.name)
        named = [
            (key, section.values[key], suffix)
            for key in ("LAYOUT_NAME", "SYM_LAYOUT")
            if section.values.get(key)
        ]
        named += [
            (key, section.values[key][2:], ".ini")
            for key in _GESTURES
            if section.values.get(key, "").startswith("Z+")
        ]
        for key, name, ending in named:
            if ending and not any(f"{folder}{name}{ending}" in self._files for folder in self._folders()):
                document.add(section, key, "file", f"there is no {name}{ending}")
        for key in (*_GESTURES, "KEY"):
            value = section.values.get(key, "")
            if re.fullmatch(r"[FB]\d+", value) and not _CODE.fullmatch(value):
                document.add(section, key, "code", f"'{value}' is no function")

    @staticmethod
    def _numbers(section: _Section, key: str) -> Iterator[int]:
        for part in section.values.get(key, "").split(","):
            if part.strip().lstrip("-").isdecimal():
                yield int(part)


def _is_inside(inner: tuple[int, ...], outer: tuple[int, ...]) -> bool:
    """Whether a rectangle x y w h has an area and lies in another."""
    x, y, width, height = inner
    left, top, wide, tall = outer
    return (
        width > 0
        and height > 0
        and left <= x
        and top <= y
        and x + width <= left + wide
        and y + height <= top + tall
    )
