"""Reading the keyboards of a Baidu skin.

What a layout file leaves out comes from ``gen.ini`` of the same orientation: panel, candidate bar, list, grid
and bubbles. ``docs/skins.md`` lists the rules and where the documents disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from skin_pipeline.skins.archives import PackageFiles
from skin_pipeline.skins.baidu.ini import IniFile, Section, integer, integers, parse_ini, without_note
from skin_pipeline.skins.baidu.styles import Places, Styles, report_unknown
from skin_pipeline.skins.baidu.vocabulary import CONDITIONS, GESTURES, KEYBOARD_KINDS, action_of
from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.model import (
    MAX_LAYERS,
    NOTHING,
    Action,
    Appearance,
    BarIcon,
    CandidateBar,
    CandidateGrid,
    Condition,
    Function,
    Gesture,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Orientation,
    Popup,
    Rect,
    Skin,
    TextStyle,
    Theme,
    ThemeName,
    Variant,
)
from skin_pipeline.skins.pictures import Pictures

_ORIENTATIONS: tuple[Orientation, ...] = ("portrait", "landscape")
_THEMES: tuple[ThemeName, ...] = ("default", "light", "dark")
_DEFAULT_SIZE = (480, 310)
"""Panel of a package that states none."""
_MAX_PANEL_SIDE = 8192
_MAX_KEYS = 512
_MAX_CELLS = 64
_MAX_KEYBOARDS = 64
_ALWAYS, _ABOVE = (0, 2, 4), (2, 3, 4)
"""Values of TYPE of bars and lists: those that are always there, and those that lie above the panel."""
_SHOWN: Mapping[int, Literal["never", "idle", "with_candidates", "always"]] = {
    0: "never",
    1: "idle",
    2: "with_candidates",
    3: "always",
}
_WITHOUT_TYPING = frozenset(
    (
        KeyboardKind.SYMBOLS,
        KeyboardKind.MORE_CANDIDATES,
        KeyboardKind.MORE_CANDIDATES_ENGLISH,
        KeyboardKind.CUSTOM,
    )
)
"""Panels that have a candidate bar only if their own file says so."""
_STATE = re.compile(r"S(\d{1,3})_(\d{1,4})")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KEY_KEYS = _words(
    "VIEW_RECT TOUCH_RECT BACK_STYLE FORE_STYLE POS_TYPE CENTER UP DOWN LEFT RIGHT HOLD HOLDSYM SHOW "
    "STAT_STYLE BACK_ANIM_STYLE FORE_ANIM_STYLE SOUND_STYLE"
)
_BAR_KEYS = _words("BACK_STYLE CELL_STYLE FORE_STYLE PADDING CELL_W FIRST_GAP FIRST_FORE FIRST_BACK")
_KNOWN_KEYS = {
    "": _words(""),
    "KEY": _KEY_KEYS,
    "TIP": _KEY_KEYS,
    "PANEL": _words("SIZE BACK_STYLE FORE_STYLE NO_BLUR KEY_NUM TIP_NUM OFFSET_NUM SOUND_STYLE"),
    "CAND": _BAR_KEYS | _words("VIEW_RECT LAYOUT_NAME TYPE ICON_NUM TIP_NUM MORE_W"),
    "ICON": _words("POS SIZE KEY ANCHOR_TYPE PERSIST BACK_STYLE FORE_STYLE STAT_STYLE PADDING"),
    "LIST": _words(
        "BACK_STYLE CELL_STYLE FORE_STYLE CELL_SIZE POS LIST_NUM LIST_ORDER PADDING NAMES VALUES TYPE "
        "SCROLL_SIDE SCROLL_STYLE"
    ),
    "MORE": _words("GRID LAYOUT_NAME SYM_LAYOUT CELL_STYLE FORE_STYLE"),
    "HINT": _words("LAYOUT_NAME TYPE BACK_ICON"),
    "BAR": _words("BACK_ICON ARROW_ICON CELL_STYLE"),
    "OFFSET": _words("POS"),
    "GLOBAL": _words("ICON_NUM"),
    # Known, and of no account for how a keyboard looks when it is idle or typed on:
    "INPUT": _words("BACK_STYLE FORE_STYLE"),
    "SCAND": _words("BACK_STYLE FORE_STYLE INPUT_STYLE PADDING VIEW_RECT"),
    "SWITCH": _words("NML_BACK_STYLE SEL_BACK_STYLE NML_FONT_STYLE SEL_FONT_STYLE PADDING KEYMAP_MODE"),
    "TAB": _BAR_KEYS,
    "LOGO": _words("LAYOUT_NAME"),
    "EMOJI": _words("LAYOUT_NAME"),
}


def is_baidu(files: PackageFiles) -> bool:
    """Return whether a package has layout files where a Baidu skin has them."""
    return bool(_roots(files))


def read_baidu(files: PackageFiles, name: str, findings: Findings) -> Skin:
    """Read a Baidu skin.

    Args:
        files: The package.
        name: What to call it if it does not say.
        findings: Where problems are noted.

    Returns:
        The skin; its themes have no keyboards if nothing can be drawn. ``findings`` are not yet in it.
    """
    pictures = Pictures(files, findings)
    roots = _roots(files)
    themes = tuple(
        Theme(theme, _read_theme(files, root, pictures, findings)) for theme, root in roots.items()
    )
    root = next(iter(roots.values()), "")
    info = _read_info(files, root, findings)
    preview = next((path for folder in (root, "") if (path := files.find(f"{folder}demo.png"))), None)
    return Skin(
        name=info.get("NAME") or info.get("TITLE") or name,
        author=info.get("AUTHOR"),
        description=info.get("DESCRIPTION"),
        source="baidu",
        themes=tuple(theme for theme in themes if theme.keyboards) or themes[:1],
        preview=pictures.atlas(preview) if preview else None,
    )


def _roots(files: PackageFiles) -> dict[ThemeName, str]:
    """Find the folders that hold ``port/``, ``land/`` or layout files, by theme; the shortest path counts."""
    prefixes: set[str] = set()
    for path in files:
        parts = PurePosixPath(path).parts
        if parts[-1].lower().endswith(".ini"):
            folders = list(parts[:-1])
            at = next(
                (i for i, part in enumerate(folders) if part.lower() in ("port", "land") or part.isdigit()),
                None,
            )
            if at is not None or parts[-1].lower() == "gen.ini":
                prefixes.add("".join(f"{folder}/" for folder in folders[:at]))
    roots: dict[ThemeName, str] = {}
    for prefix in sorted(prefixes, key=lambda prefix: (prefix.count("/"), prefix)):
        lower = {part.lower() for part in prefix.split("/")}
        theme: ThemeName = "light" if "light" in lower else "dark" if "dark" in lower else "default"
        roots.setdefault(theme, prefix)
    return {theme: roots[theme] for theme in _THEMES if theme in roots}


def _read_info(files: PackageFiles, root: str, findings: Findings) -> Section:
    """Read ``Info.txt``, beside the keyboards or at the top."""
    path = next((found for folder in (root, "") if (found := files.find(f"{folder}Info.txt"))), None)
    if path is None:
        findings.add("Info.txt", None, "it is missing", "the skin is named after its file")
        return Section("Info.txt", "", 0)
    merged = Section(path, "", 0)
    for section in parse_ini(path, files[path], findings).sections:
        merged.values |= section.values
    return merged


def _read_theme(
    files: PackageFiles, root: str, pictures: Pictures, findings: Findings
) -> tuple[Keyboard, ...]:
    """Read the keyboards under a root, in both orientations."""
    below = (PurePosixPath(path[len(root) :]).parts for path in files if path.startswith(root))
    buckets = sorted(
        {int(parts[0]) for parts in below if len(parts) > 1 and re.fullmatch(r"[1-9]\d{2,3}", parts[0])}
    )
    width: float | None = None
    keyboards: list[Keyboard] = []
    for orientation in _ORIENTATIONS:
        reader = _Orientation(
            Places.of(files, root, orientation, buckets), orientation, width, pictures, findings
        )
        width = width or reader.size[0]
        keyboards += reader.keyboards()
    return tuple(keyboards)


@dataclass(frozen=True)
class _Draft:
    """A layout file being read."""

    kind: KeyboardKind
    name: str
    ini: IniFile


class _Orientation:
    """Reads the keyboards of one orientation of one theme."""

    def __init__(
        self,
        places: Places,
        orientation: Orientation,
        design_width: float | None,
        pictures: Pictures,
        findings: Findings,
    ) -> None:
        self._places = places
        self._orientation = orientation
        self._findings = findings
        self._parsed: dict[str, IniFile | None] = {}
        self._general = self._parse("gen.ini") or IniFile("gen.ini", [])
        self.size = self._panel_size(self._section("PANEL", IniFile("", [])), _DEFAULT_SIZE)
        self._styles = Styles(places, self.size[0], design_width or self.size[0], pictures, findings)
        self._offsets = self._read_offsets()
        self._queue: list[str] = []

    # --- files ---

    def keyboards(self) -> Iterator[Keyboard]:
        """Read all keyboards that have a well-known name or that another one opens."""
        self._queue = [name for name in KEYBOARD_KINDS if self._places.find(f"{name}.ini")]
        if self._queue and self._styles.is_empty:
            self._findings.add(
                "default.css", None, f"{self._orientation}: there is no style sheet", "nothing has a style"
            )
        if self._queue:
            self._follow(self._general)
        read: set[str] = set()
        while self._queue and len(read) < _MAX_KEYBOARDS:
            name = self._queue.pop(0)
            ini = None if name in read else self._parse(f"{name}.ini")
            read.add(name)
            if ini is not None:
                self._follow(ini)
                keyboard = self._keyboard(_Draft(KEYBOARD_KINDS.get(name, KeyboardKind.CUSTOM), name, ini))
                if keyboard is not None:
                    yield keyboard

    def _follow(self, ini: IniFile) -> None:
        """Note the keyboards that a file opens."""
        more = ini.get("MORE")
        names = [more.get("LAYOUT_NAME"), more.get("SYM_LAYOUT")] if more else []
        for section in ini.sections:
            names += [
                value[2:] for key, value in section.values.items() if key in GESTURES and value[:2] == "Z+"
            ]
        self._queue += [name for name in names if name and self._places.find(f"{name}.ini")]

    def _parse(self, name: str) -> IniFile | None:
        """Parse a file, once; None if there is none of that name."""
        if name not in self._parsed:
            self._parsed[name] = self._parse_anew(name)
        return self._parsed[name]

    def _parse_anew(self, name: str) -> IniFile | None:
        path = self._places.find(name)
        if path is None:
            return None
        ini = parse_ini(path, self._places.files[path], self._findings)
        for section in ini.sections:
            known = _KNOWN_KEYS.get(section.base)
            if known is None:
                self._note(section, "", f"the section [{section.name[:40]}] has no known meaning", "ignored")
            else:
                report_unknown(section, known, self._findings)
        return ini

    def _section(self, name: str, ini: IniFile) -> Section:
        """Return a section of a file, with what it leaves out taken from ``gen.ini``."""
        own = ini.get(name) or Section(ini.file, name, 0)
        return own.over(self._general.get(name))

    def _panel_size(self, panel: Section, default: tuple[float, float]) -> tuple[float, float]:
        numbers = integers(panel, "SIZE", 2, self._findings)
        if numbers and all(0 < number <= _MAX_PANEL_SIDE for number in numbers):
            return float(numbers[0]), float(numbers[1])
        if numbers or panel.get("SIZE"):
            remedy = f"{default[0]:g}x{default[1]:g} is taken"
            self._note(panel, "SIZE", f"SIZE={panel.get('SIZE')[:40]} is no size of a panel", remedy)
        return float(default[0]), float(default[1])

    def _read_offsets(self) -> dict[int, tuple[int, int]]:
        """Read the table of offsets; it counts in ``gen.ini`` only."""
        offsets: dict[int, tuple[int, int]] = {}
        for number, section in self._general.numbered("OFFSET"):
            numbers = integers(section, "POS", 2, self._findings)
            if numbers is not None:
                offsets[number] = (numbers[0], numbers[1])
        return offsets

    # --- keyboards ---

    def _keyboard(self, draft: _Draft) -> Keyboard | None:
        """Read a keyboard; None if there is nothing in it that can be drawn."""
        panel = self._section("PANEL", draft.ini)
        keyboard = Keyboard(
            kind=draft.kind,
            name=draft.name,
            orientation=self._orientation,
            size=self._panel_size(panel, self.size),
            background=self._appearance(panel, "BACK_STYLE"),
        )
        keyboard = replace(
            keyboard,
            keys=tuple(self._keys(draft.ini, keyboard.panel)),
            bar=self._bar(draft),
            lists=tuple(self._lists(draft.ini)),
            popups=tuple(self._popups(draft.ini)),
        )
        keyboard = replace(keyboard, grid=self._grid(draft.ini, keyboard))
        looks = [layer.appearance for key in keyboard.keys for layer in key.layers]
        if all(look.is_empty for look in looks):
            self._findings.add(
                draft.ini.file, None, "it has no key that can be drawn", "the keyboard is left out"
            )
            return None
        return keyboard

    def _keys(self, ini: IniFile, panel: Rect) -> Iterator[Key]:
        tips = dict(ini.numbered("TIP"))
        for count, (number, section) in enumerate(ini.numbered("KEY")):
            if count == _MAX_KEYS:
                self._note(section, "", f"there are more than {_MAX_KEYS} keys", "the rest is left out")
                return
            key = self._key(number, section, tips, panel)
            if key is not None:
                yield key

    def _key(self, number: int, section: Section, tips: Mapping[int, Section], panel: Rect) -> Key | None:
        numbers = integers(section, "VIEW_RECT", 4, self._findings)
        if numbers is None or numbers[2] <= 0 or numbers[3] <= 0:
            self._note(section, "VIEW_RECT", f"key {number} has no area", "the key is left out")
            return None
        rect = Rect(*numbers)
        if rect.intersection(panel) != rect:
            size = f"{panel.width:g}x{panel.height:g}"
            self._note(
                section, "VIEW_RECT", f"key {number} leaves the {size} panel", "what lies inside is drawn"
            )
        touch = integers(section, "TOUCH_RECT", 4, self._findings)
        key = Key(
            id=section.name,
            rect=rect,
            touch=Rect(*touch) if touch and touch[2] > 0 and touch[3] > 0 else rect,
            background=Layer(self._appearance(section, "BACK_STYLE")),
            actions=_actions(section),
            code=section.get("SHOW"),
            held_characters=section.get("HOLDSYM"),
        )
        key = replace(key, foregrounds=self._foregrounds(section, key))
        return replace(key, variants=self._variants(section, key, tips))

    def _foregrounds(self, section: Section, key: Key) -> tuple[Layer, ...]:
        """Read the stack of foregrounds, each with the offset of the same place in ``POS_TYPE``."""
        styles = self._numbers(section, "FORE_STYLE")
        if len(styles) > MAX_LAYERS:
            problem = f"there are {len(styles)} foregrounds"
            self._note(section, "FORE_STYLE", problem, f"the first {MAX_LAYERS} are drawn")
        positions = self._numbers(section, "POS_TYPE")
        layers = []
        for place, number in enumerate(styles[:MAX_LAYERS]):
            position = positions[place] if place < len(positions) else 0
            if position and position not in self._offsets:
                self._note(section, "POS_TYPE", f"there is no offset {position}", "the centre is taken")
            appearance = self._foreground(number, section, key)
            if not appearance.is_empty:
                layers.append(Layer(appearance, self._offsets.get(position, (0, 0))))
        return tuple(layers)

    def _foreground(self, number: int, section: Section, key: Key) -> Appearance:
        """Return a picture, or the text of the style or else of the key."""
        if self._styles.has_picture(number):
            return self._styles.appearance(number, section, "FORE_STYLE")
        style = self._styles.text(number, section, "FORE_STYLE")
        text = self._styles.shown_text(number) or key.text
        return style.lettering(text) if style is not None and text else NOTHING

    def _variants(
        self, section: Section, key: Key, tips: Mapping[int, Section]
    ) -> Mapping[Condition, Variant]:
        """Read ``STAT_STYLE=S4_1|S1_2``: in state 4 as TIP 1 says, in state 1 as TIP 2 says."""
        variants: dict[Condition, Variant] = {}
        for reference in section.get("STAT_STYLE").replace("，", "|").replace(",", "|").split("|"):
            match = _STATE.fullmatch(reference.strip())
            if match is None:
                if reference.strip():
                    self._note(section, "STAT_STYLE", f"'{reference[:40]}' is not S<state>_<tip>", "ignored")
                continue
            tip = tips.get(int(match[2]))
            if tip is None:
                self._note(section, "STAT_STYLE", f"there is no TIP{int(match[2])}", "the key stays as it is")
                continue
            if tip.get("STAT_STYLE"):
                self._note(tip, "STAT_STYLE", "a patch cannot be patched in turn", "ignored")
            variants.setdefault(CONDITIONS.get(int(match[1]), Condition.OTHER), self._variant(tip, key))
        return variants

    def _variant(self, tip: Section, key: Key) -> Variant:
        actions = {**key.actions, **_actions(tip)}
        patched = replace(key, actions=actions)
        back, fore = "BACK_STYLE" in tip.values, "FORE_STYLE" in tip.values
        return Variant(
            background=Layer(self._appearance(tip, "BACK_STYLE")) if back else None,
            foregrounds=self._foregrounds(tip, patched) if fore else None,
            actions=actions,
        )

    # --- bar, list, grid, bubbles ---

    def _bar(self, draft: _Draft) -> CandidateBar | None:
        """Read the candidate bar: its place from the layout files, its look from a ``.cnd`` file."""
        if draft.ini.get("CAND") is None and draft.kind in _WITHOUT_TYPING:
            return None
        place = self._section("CAND", draft.ini)
        numbers = integers(place, "VIEW_RECT", 4, self._findings)
        name = place.get("LAYOUT_NAME")
        if numbers is None or numbers[2] <= 0 or numbers[3] <= 0 or not name:
            return None
        kind = integer(place, "TYPE", 0, self._findings)
        rect = Rect(*numbers)
        if kind in _ABOVE:
            rect = replace(rect, y=-rect.bottom)
        layout = self._parse(f"{name}.cnd")
        if layout is None:
            self._note(place, "LAYOUT_NAME", f"there is no '{name[:60]}.cnd'", "the candidate bar is empty")
            return CandidateBar(rect, kind in _ALWAYS)
        return self._bar_look(layout, CandidateBar(rect, kind in _ALWAYS))

    def _bar_look(self, layout: IniFile, bar: CandidateBar) -> CandidateBar:
        look = layout.get("CAND") or Section(layout.file, "CAND", 0)
        cell, text = self._appearance(look, "CELL_STYLE"), self._text(look, "FORE_STYLE")
        return replace(
            bar,
            background=self._appearance(look, "BACK_STYLE"),
            cell=cell,
            first_cell=self._appearance(look, "FIRST_BACK") if look.get("FIRST_BACK") else cell,
            text=text,
            first_text=self._text(look, "FIRST_FORE") or text,
            gap=integer(look, "CELL_W", 0, self._findings),
            first_gap=integer(look, "FIRST_GAP", 0, self._findings),
            icons=tuple(self._icons(layout, bar.rect)),
        )

    def _icons(self, layout: IniFile, bar: Rect) -> Iterator[BarIcon]:
        """Read the buttons of a bar; POS leads from one of its nine points to their top left corner."""
        for _, section in layout.numbered("ICON"):
            size = integers(section, "SIZE", 2, self._findings)
            if size is None or min(size) <= 0:
                continue
            dx, dy = integers(section, "POS", 2, self._findings) or (0, 0)
            anchor = min(9, max(1, integer(section, "ANCHOR_TYPE", 1, self._findings))) - 1
            x = bar.x + bar.width * (anchor % 3) / 2 + dx
            y = bar.y + bar.height * (anchor // 3) / 2 + dy
            rect = Rect(x, y, size[0], size[1])
            code = section.get("KEY")
            actions = {Gesture.TAP: action_of(code)} if code else {}
            key = Key(
                section.name, rect, rect, Layer(self._appearance(section, "BACK_STYLE")), actions=actions
            )
            key = replace(key, foregrounds=self._foregrounds(section, key))
            yield BarIcon(key, _SHOWN.get(integer(section, "PERSIST", 1, self._findings), "idle"))

    def _lists(self, ini: IniFile) -> Iterator[KeyList]:
        """Read the list of a keyboard whose file has the section, be it empty."""
        own = ini.get("LIST")
        if own is None:
            return
        section = self._section("LIST", ini)
        position, cell = (
            integers(section, "POS", 2, self._findings),
            integers(section, "CELL_SIZE", 2, self._findings),
        )
        count = integer(section, "LIST_NUM", 0, self._findings)
        if position is None or cell is None or min(cell) <= 0 or not 0 < count <= _MAX_CELLS:
            return
        row = integer(section, "LIST_ORDER", 0, self._findings) == 1
        rect = Rect(
            position[0], position[1], cell[0] * (count if row else 1), cell[1] * (1 if row else count)
        )
        kind = integer(section, "TYPE", 0, self._findings)
        entries = tuple(section.get("NAMES").split())
        yield KeyList(
            rect=replace(rect, y=-rect.bottom) if kind in _ABOVE else rect,
            direction="row" if row else "column",
            cell_size=(cell[0], cell[1]),
            background=self._appearance(section, "BACK_STYLE"),
            cell=self._appearance(section, "CELL_STYLE"),
            text=self._text(section, "FORE_STYLE"),
            entries=entries,
            values=tuple(action_of(value) for value in section.get("VALUES").split()),
            always_shown=kind in _ALWAYS or bool(entries),
        )

    def _grid(self, ini: IniFile, keyboard: Keyboard) -> CandidateGrid | None:
        """Read the cells of a panel that has a place for candidates (a key F55)."""
        area = keyboard.key(Function.CANDIDATE_AREA)
        section = self._section("MORE", ini)
        numbers = integers(section, "GRID", 2, self._findings)
        if area is None or numbers is None or not all(0 < number <= _MAX_CELLS for number in numbers):
            return None
        cell, text = self._appearance(section, "CELL_STYLE"), self._text(section, "FORE_STYLE")
        return CandidateGrid(area.rect, numbers[0], numbers[1], cell, text)

    def _popups(self, ini: IniFile) -> Iterator[Popup]:
        """Read the bubbles of a ``.pop`` file."""
        name = self._section("HINT", ini).get("LAYOUT_NAME")
        layout = self._parse(f"{name}.pop") if name else None
        if layout is None:
            return
        icons = dict(layout.numbered("ICON"))
        kinds: tuple[tuple[Literal["hint", "choices"], str], ...] = (("hint", "HINT"), ("choices", "BAR"))
        for kind, base in kinds:
            section = layout.get(base)
            icon = icons.get(integer(section, "BACK_ICON", 0, self._findings)) if section else None
            size = integers(icon, "SIZE", 2, self._findings) if icon else None
            if icon is None or size is None or min(size) <= 0:
                continue
            dx, dy = integers(icon, "POS", 2, self._findings) or (0, 0)
            rect = Rect(dx - size[0] / 2, dy - size[1], size[0], size[1])
            yield Popup(kind, rect, self._appearance(icon, "BACK_STYLE"), self._text(icon, "FORE_STYLE"))

    # --- values ---

    def _appearance(self, section: Section, key: str) -> Appearance:
        numbers = self._numbers(section, key)
        return self._styles.appearance(numbers[0], section, key) if numbers else NOTHING

    def _text(self, section: Section, key: str) -> TextStyle | None:
        numbers = self._numbers(section, key)
        return self._styles.text(numbers[0], section, key) if numbers else None

    def _numbers(self, section: Section, key: str) -> list[int]:
        """Read a list of numbers of styles or offsets."""
        value = without_note(section.get(key))
        numbers: list[int] = []
        for part in value.split(",") if value else ():
            text = part.strip() or "0"
            if text.lstrip("-").isdecimal() and text.isascii() and len(text) < 10:
                numbers.append(int(text))
            else:
                self._note(section, key, f"'{text[:40]}' in {key} is not a number", "0 is taken")
                numbers.append(0)
        return numbers

    def _note(self, section: Section, key: str, problem: str, remedy: str) -> None:
        self._findings.add(*section.place_of(key), problem, remedy)


def _actions(section: Section) -> dict[Gesture, Action]:
    """Read what the gestures on a key do."""
    return {gesture: action_of(section.get(key)) for key, gesture in GESTURES.items() if section.get(key)}
