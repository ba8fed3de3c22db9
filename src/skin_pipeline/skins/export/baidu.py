"""Writing skins for Baidu's input method (``.bds``).

One theme lies at the root of the package, two lie under ``light/skin/`` and ``dark/skin/``. Layouts and style
sheets are written for each orientation, sheets of pictures once for both. The rules that a package must keep
are in :mod:`skin_pipeline.skins.validators.baidu`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

from skin_pipeline.errors import InputError
from skin_pipeline.skins.baidu.vocabulary import CONDITIONS, GESTURES, KEYBOARD_KINDS, action_of
from skin_pipeline.skins.export.baidu_styles import BaiduStyles, Sheets
from skin_pipeline.skins.export.ini import IniSections, IniValue, ini_document, one_line
from skin_pipeline.skins.export.packages import (
    PROVENANCE_FILE,
    Export,
    Losses,
    Provenance,
    encode_png,
    safe_name,
    write_zip,
)
from skin_pipeline.skins.export.panels import within_panel
from skin_pipeline.skins.export.pictures import picture_of
from skin_pipeline.skins.export.previews import preview_of
from skin_pipeline.skins.model import (
    NOTHING,
    Action,
    Appearance,
    BarIcon,
    CandidateBar,
    Fill,
    Function,
    Gesture,
    Insets,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Lettering,
    Orientation,
    Paint,
    Popup,
    Rect,
    RgbaPixels,
    Skin,
    Theme,
    ThemeName,
    Tile,
    Variant,
)

_FOLDERS: dict[Orientation, str] = {"portrait": "port", "landscape": "land"}
_ROOTS: dict[ThemeName, str] = {"default": "", "light": "light/skin/", "dark": "dark/skin/"}
_DEFAULT_WIDTH_PX = 1080
"""Width of a panel whose places are not in whole design pixels."""
_FAIR_SHARE = 0.1
"""Share of tiles at least whose scale may set that of all: resampling up loses nothing, but costs memory."""
_NEAR = 0.01
"""Design pixels below which a coordinate counts as whole."""

_FILES = {kind: name for name, kind in KEYBOARD_KINDS.items()}
_KEYS = {gesture: key for key, gesture in GESTURES.items()}
_STATES = {condition: number for number, condition in reversed(CONDITIONS.items())}
_CODES: dict[Function, str] = {
    function: code
    for code, function in ((f"F{number}", action_of(f"F{number}").function) for number in range(99, 0, -1))
    if function is not Function.OTHER
}
_PERSIST = {"never": 0, "idle": 1, "with_candidates": 2, "always": 3}


def write_baidu(
    skin: Skin, path: Path, *, preview: RgbaPixels | None = None, provenance: Provenance | None = None
) -> Export:
    """Write a skin as a ``.bds`` package.

    Args:
        skin: What is written.
        path: The package; its folder is made if need be.
        preview: The picture ``demo.png``; the skin's own, or else a rendering of it, if None.
        provenance: Where a generated skin came from; goes into ``Info.txt`` and a file of its own.

    Returns:
        What was written, and what the format could not say.

    Raises:
        InputError: The skin has no keyboard.
        StorageError: The package cannot be written.
    """
    if not any(theme.keyboards for theme in skin.themes):
        raise InputError(f"Skin '{skin.name}' has no keyboard; a package without one shows nothing.")
    losses = Losses()
    files: dict[str, bytes] = {}
    roots = [(theme, _ROOTS[theme.name] if len(skin.themes) > 1 else "") for theme in skin.themes]
    if len(skin.themes) == 1 and skin.themes[0].name != "default":
        losses.add("theme", f"it is for {skin.themes[0].name} surroundings only", "it is used in both")
    for theme, root in roots:
        files |= {root + name: content for name, content in _theme_files(theme, losses).items()}
    info = _info(skin, provenance, losses)
    for root in {"", *(root for _, root in roots)}:
        files[f"{root}Info.txt"] = info
    files["demo.png"] = encode_png(preview if preview is not None else preview_of(skin))
    if provenance is not None:
        files[PROVENANCE_FILE] = provenance.document()
    write_zip(path, files)
    return Export(path, "baidu", tuple(sorted(files)), losses.all())


def _info(skin: Skin, provenance: Provenance | None, losses: Losses) -> bytes:
    """Write ``Info.txt``: every value is one line."""
    description = " ".join(filter(None, (skin.description, provenance.sentence() if provenance else "")))
    values: dict[str, IniValue] = {}
    for key, text in (("Name", skin.name or "skin"), ("Author", skin.author), ("Description", description)):
        if one_line(text) != text:
            losses.add(f"Info.txt, {key}", "line breaks and blanks", "single blanks")
        if one_line(text):
            values[key] = one_line(text)
    values |= {"SupportPlatform": "SWIA", "VersionCode": 1, "SupportDarkMode": int(len(skin.themes) > 1)}
    return ini_document([("", values)])


def _theme_files(theme: Theme, losses: Losses) -> dict[str, bytes]:
    """Write all files of a theme, paths from its root."""
    sheets = Sheets()
    writers: list[_Orientation] = []
    unit = _geometry_unit(theme.keyboards)
    for orientation in _FOLDERS:
        keyboards = [board for board in theme.keyboards if board.orientation == orientation]
        if keyboards:
            upright_width = writers[0].main.size[0] if writers else _main(keyboards).size[0]
            writers.append(_Orientation(keyboards, unit, upright_width, sheets, losses))
    files: dict[str, bytes] = {}
    for writer in writers:
        files |= writer.layouts()
    files |= sheets.files()
    for writer in writers:
        files |= writer.style_files()
    return files


def paints_of(value: object) -> Iterator[Paint]:
    """Iterate over all paints in any part of a model."""
    if isinstance(value, Tile | Fill | Lettering):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from paints_of(part)
    elif isinstance(value, tuple):
        for part in value:
            yield from paints_of(part)
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from paints_of(getattr(value, field.name))


@dataclass(frozen=True)
class _Owner:
    """What a layer belongs to: its name for losses, and its place in design pixels."""

    name: str
    rect: Rect


class _Orientation:
    """Writes the keyboards of one orientation."""

    def __init__(
        self, keyboards: list[Keyboard], unit: float, upright_width: float, sheets: Sheets, losses: Losses
    ) -> None:
        keyboards = [within_panel(keyboard, losses) for keyboard in keyboards]
        self._keyboards = keyboards
        self._orientation = keyboards[0].orientation
        self.main = _main(keyboards)
        self._losses = losses
        self._unit = unit
        self._picture_unit, screen_width = _picture_scale(keyboards, unit, upright_width)
        self._styles = BaiduStyles(sheets, self._picture_unit, unit, screen_width, losses)
        self._offsets: dict[tuple[int, int], int] = {}
        self._shared: dict[bytes, str] = {}
        self._rounded: Counter[str] = Counter()
        self._written = self._names()

    # --- files ---

    def layouts(self) -> dict[str, bytes]:
        """Write layout files, the bars and bubbles they name, and ``gen.ini``."""
        folder = _FOLDERS[self._orientation]
        files: dict[str, bytes] = {}
        for name, keyboard in self._written.items():
            files[f"{folder}/{name}.ini"] = ini_document(self._layout(keyboard))
        files |= {f"{folder}/{name}": content for content, name in self._shared.items()}
        # Last, for it holds the offsets that the layouts use.
        files[f"{folder}/gen.ini"] = ini_document(self._general())
        for name, count in self._rounded.items():
            self._losses.add(name, f"{count} coordinates between whole pixels", "they are rounded")
        return files

    def style_files(self) -> dict[str, bytes]:
        """Write the style sheet and its fonts, once all pictures have their places."""
        folder = f"{_FOLDERS[self._orientation]}/res"
        return {f"{folder}/default.css": self._styles.document()} | {
            f"{folder}/{name}": content for name, content in self._styles.fonts.items()
        }

    def _names(self) -> dict[str, Keyboard]:
        """Name the layout files; of two keyboards of one name the first is written."""
        names: dict[str, Keyboard] = {}
        for keyboard in self._keyboards:
            name = _FILES.get(keyboard.kind) or safe_name(keyboard.name, "custom")
            if name in names or name == "gen":
                self._losses.add(self._title(keyboard), "another keyboard has its name", "it is left out")
            else:
                names[name] = keyboard
        return names

    def _general(self) -> IniSections:
        """Write what holds for all panels, and for those that the app adds."""
        main = self.main
        sections: IniSections = [("PANEL", self._panel(main) | {"OFFSET_NUM": len(self._offsets)})]
        if main.bar is not None:
            sections.append(("CAND", self._bar_values(main, main.bar)))
        opened = {
            action.text
            for keyboard in self._keyboards
            for action in _actions_in(keyboard)
            if action.function is Function.KEYBOARD
        }
        loose = [
            name
            for name, board in self._written.items()
            if board.kind is KeyboardKind.CUSTOM and name not in opened
        ]
        keys = ("LAYOUT_NAME", "SYM_LAYOUT")
        if loose:
            sections.append(("MORE", dict(zip(keys, loose, strict=False))))
        for name in loose[len(keys) :]:
            self._losses.add(
                f"{self._orientation} {name}", "nothing opens this keyboard", "its file is written"
            )
        sections += [(f"OFFSET{number}", {"POS": offset}) for offset, number in self._offsets.items()]
        return sections

    def _layout(self, keyboard: Keyboard) -> IniSections:
        """Write one keyboard."""
        tips: IniSections = []
        keys: IniSections = [
            (f"KEY{number}", self._key(keyboard, key, tips))
            for number, key in enumerate(keyboard.keys, start=1)
        ]
        panel = self._panel(keyboard) | {"KEY_NUM": len(keys), "TIP_NUM": len(tips)}
        sections: IniSections = [("PANEL", panel), ("CAND", self._bar_values(keyboard, keyboard.bar))]
        sections += self._list(keyboard) + self._grid(keyboard) + self._hint(keyboard)
        if keyboard.preedit is not None:
            self._losses.add(self._title(keyboard), "the strip of unfinished input", "the app draws its own")
        return sections + keys + tips

    def _panel(self, keyboard: Keyboard) -> dict[str, IniValue]:
        title = self._title(keyboard)
        width, height = (self._whole(side, title) for side in keyboard.size)
        style = self._styles.background(keyboard.background, "panel", title, keyboard.size)
        return {"SIZE": (width, height), "BACK_STYLE": style}

    def _title(self, keyboard: Keyboard) -> str:
        return f"{self._orientation} {keyboard.name}"

    # --- keys ---

    def _key(self, keyboard: Keyboard, key: Key, tips: IniSections) -> dict[str, IniValue]:
        """Write a key; its patches are added to the tips."""
        owner = _Owner(f"{self._title(keyboard)}, {key.id}", key.rect)
        values: dict[str, IniValue] = {"VIEW_RECT": self._rect(key.rect, owner.name)}
        if key.touch != key.rect:
            values["TOUCH_RECT"] = self._rect(key.touch, owner.name)
        values |= self._look(owner, key.background, key.foregrounds) | self._actions(owner, key.actions)
        if key.code:
            values["SHOW"] = one_line(key.code)
        if key.held_characters:
            values["HOLDSYM"] = one_line(key.held_characters)
        states = []
        for condition, variant in key.variants.items():
            number = _STATES.get(condition)
            if number is None:
                self._losses.add(owner.name, f"how it is when '{condition}'", "it stays as it is")
                continue
            tips.append((f"TIP{len(tips) + 1}", self._tip(owner, key, variant)))
            states.append(f"S{number}_{len(tips)}")
        return values | ({"STAT_STYLE": "|".join(states)} if states else {})

    def _tip(self, owner: _Owner, key: Key, variant: Variant) -> dict[str, IniValue]:
        """Write how a key differs in some circumstance."""
        foregrounds = key.foregrounds if variant.foregrounds is None else variant.foregrounds
        background = key.background if variant.background is None else variant.background
        look = self._look(owner, background, foregrounds)
        if variant.background is None and not _is_off_centre(background):
            look.pop("BACK_STYLE")
        if variant.foregrounds is None and not _is_off_centre(background):
            look.pop("FORE_STYLE")
            look.pop("POS_TYPE", None)
        return look | self._actions(owner, variant.actions or {})

    def _look(self, owner: _Owner, background: Layer, foregrounds: Iterable[Layer]) -> dict[str, IniValue]:
        """Write a background and a stack of foregrounds, each with its offset."""
        layers = list(foregrounds)
        style = 0
        if _is_off_centre(background):
            # A background fills its key. One that does not is the lowest foreground.
            layers.insert(0, background)
        else:
            style = self._styles.background(background.appearance, "keys", owner.name, _size(owner.rect))
        stack = [pair for layer in layers for pair in self._layer(owner, layer)]
        values: dict[str, IniValue] = {
            "BACK_STYLE": style,
            "FORE_STYLE": tuple(number for number, _ in stack),
        }
        if any(offset for _, offset in stack):
            values["POS_TYPE"] = tuple(offset for _, offset in stack)
        return values

    def _layer(self, owner: _Owner, layer: Layer) -> Iterator[tuple[int, int]]:
        """Yield the styles of a layer with the numbers of their offsets."""
        look, (dx, dy) = layer.appearance, layer.offset
        if layer.insets != Insets():
            place = owner.rect.inset(layer.insets)
            look = Appearance(self._in_place(look.normal, place), self._in_place(look.pressed, place))
            dx += place.centre[0] - owner.rect.centre[0]
            dy += place.centre[1] - owner.rect.centre[1]
        offset = self._offset((dx, dy), owner.name)
        for number in self._styles.foregrounds(look, "legends", owner.name, _size(owner.rect)):
            yield number, offset

    def _in_place(self, paint: Paint | None, place: Rect) -> Paint | None:
        """Return a paint as one drawn at its own size; what stretches becomes a picture of its place."""
        if (
            paint is None
            or isinstance(paint, Lettering)
            or (isinstance(paint, Tile) and paint.fit == "centre")
        ):
            return paint
        return replace(picture_of(paint, _size(place), self._picture_unit), scale=self._picture_unit)

    def _offset(self, offset: tuple[float, float], owner: str) -> int:
        """Return the number of an offset; 0 is the centre."""
        whole = (self._whole(offset[0], owner), self._whole(offset[1], owner))
        return self._offsets.setdefault(whole, len(self._offsets) + 1) if any(whole) else 0

    def _actions(self, owner: _Owner, actions: Mapping[Gesture, Action]) -> dict[str, IniValue]:
        values: dict[str, IniValue] = {}
        for gesture, action in actions.items():
            code = _code(action)
            if code is None or (action.function is Function.KEYBOARD and action.text not in self._written):
                self._losses.add_gesture(owner.name, gesture, action)
            else:
                values[_KEYS[gesture]] = code
        return values

    # --- bar, list, grid, bubbles ---

    def _bar_values(self, keyboard: Keyboard, bar: CandidateBar | None) -> dict[str, IniValue]:
        """Write where a bar lies, and its look as a file of its own; a bar without area is none."""
        if bar is None:
            return {"VIEW_RECT": (0, 0, 0, 0)}
        title = f"{self._title(keyboard)}, candidate bar"
        name = self._shared_file("cand", ".cnd", ini_document(self._bar_look(bar, title)))
        is_above = bar.rect.bottom <= 0
        kinds = {(True, True): 4, (True, False): 3, (False, True): 0, (False, False): 1}
        rect = replace(bar.rect, y=-bar.rect.bottom) if is_above else bar.rect
        return {
            "VIEW_RECT": self._rect(rect, title),
            "LAYOUT_NAME": name,
            "TYPE": kinds[is_above, bar.always_shown],
        }

    def _bar_look(self, bar: CandidateBar, title: str) -> IniSections:
        size = _size(bar.rect)

        def style(look: Appearance) -> int:
            return self._styles.background(look, "bar", title, size)

        values: dict[str, IniValue] = {"BACK_STYLE": style(bar.background), "CELL_STYLE": style(bar.cell)}
        if bar.text is not None:
            values["FORE_STYLE"] = self._styles.text(bar.text, title)
        if bar.first_cell != bar.cell:
            values["FIRST_BACK"] = style(bar.first_cell)
        if bar.first_text is not None and bar.first_text != bar.text:
            values["FIRST_FORE"] = self._styles.text(bar.first_text, title)
        values |= {"CELL_W": self._whole(bar.gap, title), "FIRST_GAP": self._whole(bar.first_gap, title)}
        values["ICON_NUM"] = len(bar.icons)
        icons: IniSections = [
            (f"ICON{number}", self._icon(bar, icon, title)) for number, icon in enumerate(bar.icons, start=1)
        ]
        return [("CAND", values), *icons]

    def _icon(self, bar: CandidateBar, icon: BarIcon, title: str) -> dict[str, IniValue]:
        """Write a button; its place counts from a point of the bar."""
        key = icon.key
        owner = _Owner(f"{title}, {key.id}", key.rect)
        anchor, (x, y) = self._anchor(bar.rect, key.rect)
        values: dict[str, IniValue] = {
            "POS": (self._whole(x, owner.name), self._whole(y, owner.name)),
            "SIZE": (self._whole(key.rect.width, owner.name), self._whole(key.rect.height, owner.name)),
            "ANCHOR_TYPE": anchor,
            "PERSIST": _PERSIST[icon.shown],
        }
        values |= self._look(owner, key.background, key.foregrounds)
        if key.variants or key.held_characters or key.actions.keys() - {Gesture.TAP}:
            self._losses.add(
                owner.name, "variants and gestures other than a tap", "a button has one look and action"
            )
        tap: dict[Gesture, Action] = {
            gesture: action for gesture, action in key.actions.items() if gesture is Gesture.TAP
        }
        codes = self._actions(owner, tap)
        return values | ({"KEY": codes["CENTER"]} if codes else {})

    def _anchor(self, bar: Rect, rect: Rect) -> tuple[int, tuple[float, float]]:
        """Return the first of the nine points of a bar from which a button lies whole pixels away."""
        positions = []
        for anchor in range(9):
            x = rect.x - bar.x - bar.width * (anchor % 3) / 2
            y = rect.y - bar.y - (bar.height - rect.height) * (anchor // 3) / 2
            if all(abs(value / self._unit - round(value / self._unit)) <= _NEAR for value in (x, y)):
                return anchor + 1, (x, y)
            positions.append((x, y))
        return 1, positions[0]

    def _list(self, keyboard: Keyboard) -> IniSections:
        """Write the list beside the keys; the format has one."""
        title = f"{self._title(keyboard)}, list"
        for _ in keyboard.lists[1:]:
            self._losses.add(title, "a second list", "it is left out")
        return [("LIST", self._list_values(strip, title)) for strip in keyboard.lists[:1]]

    def _list_values(self, strip: KeyList, title: str) -> dict[str, IniValue]:
        is_above = strip.rect.bottom <= 0
        rect = replace(strip.rect, y=-strip.rect.bottom) if is_above else strip.rect
        codes = [_code(action) or "" for action in strip.values]
        if any(" " in text or not text for text in (*strip.entries, *codes)):
            self._losses.add(title, "entries that are empty or have blanks", "they fall apart at the blanks")
        return {
            "POS": (self._whole(rect.x, title), self._whole(rect.y, title)),
            "CELL_SIZE": (self._whole(strip.cell_size[0], title), self._whole(strip.cell_size[1], title)),
            "LIST_NUM": len(strip.cells()),
            "LIST_ORDER": int(strip.direction == "row"),
            "TYPE": 2 * is_above + (not strip.always_shown),
            "BACK_STYLE": self._styles.background(strip.background, "keys", title, _size(rect)),
            "CELL_STYLE": self._styles.background(strip.cell, "keys", title, strip.cell_size),
            "FORE_STYLE": self._styles.text(strip.text, title),
            "NAMES": " ".join(strip.entries),
            "VALUES": " ".join(codes),
        }

    def _grid(self, keyboard: Keyboard) -> IniSections:
        """Write the cells of candidates; they lie where the key F55 does."""
        grid, title = keyboard.grid, f"{self._title(keyboard)}, grid"
        if grid is None:
            return []
        area = keyboard.key(Function.CANDIDATE_AREA)
        if area is None or area.rect != grid.rect:
            self._losses.add(title, "the place of its cells", "the cells lie on the key F55, if there is one")
        cell = (grid.rect.width / grid.columns, grid.rect.height / grid.rows)
        return [
            (
                "MORE",
                {
                    "GRID": (grid.rows, grid.columns),
                    "CELL_STYLE": self._styles.background(grid.cell, "keys", title, cell),
                    "FORE_STYLE": self._styles.text(grid.text, title),
                },
            )
        ]

    def _hint(self, keyboard: Keyboard) -> IniSections:
        """Write the bubbles, as a file of their own."""
        sections: IniSections = []
        icons: IniSections = []
        for popup in keyboard.popups:
            icons.append((f"ICON{len(icons) + 1}", self._bubble(keyboard, popup)))
            sections.append(({"hint": "HINT", "choices": "BAR"}[popup.kind], {"BACK_ICON": len(icons)}))
        if not icons:
            return []
        document = ini_document([("GLOBAL", {"ICON_NUM": len(icons)}), *sections, *icons])
        return [("HINT", {"LAYOUT_NAME": self._shared_file("hint", ".pop", document), "TYPE": 0})]

    def _bubble(self, keyboard: Keyboard, popup: Popup) -> dict[str, IniValue]:
        title, rect = f"{self._title(keyboard)}, bubble", popup.rect
        return {
            "POS": (self._whole(rect.x + rect.width / 2, title), self._whole(rect.bottom, title)),
            "SIZE": (self._whole(rect.width, title), self._whole(rect.height, title)),
            "BACK_STYLE": self._styles.background(popup.background, "keys", title, _size(rect)),
            "FORE_STYLE": self._styles.text(popup.text, title),
        }

    # --- values ---

    def _shared_file(self, stem: str, suffix: str, content: bytes) -> str:
        """Return the name of a file that keyboards share, without its suffix; equal files are one."""
        if content not in self._shared:
            count = sum(name.startswith(stem) for name in self._shared.values())
            self._shared[content] = f"{stem}{count + 1}{suffix}"
        return self._shared[content].removesuffix(suffix)

    def _rect(self, rect: Rect, owner: str) -> tuple[int, int, int, int]:
        """Return a rectangle in whole pixels; edges are rounded, so that neighbours still meet."""
        left, top, right, bottom = (
            self._whole(edge, owner) for edge in (rect.x, rect.y, rect.right, rect.bottom)
        )
        return left, top, right - left, bottom - top

    def _whole(self, value: float, owner: str) -> int:
        """Return design pixels of the model in whole pixels of the package."""
        pixels = value / self._unit
        if abs(pixels - round(pixels)) > _NEAR:
            self._rounded[owner.partition(",")[0]] += 1
        return round(pixels)


def _main(keyboards: list[Keyboard]) -> Keyboard:
    """Return the keyboard that sets the defaults: pinyin on 26 keys, or else the first."""
    return min(keyboards, key=lambda board: board.kind is not KeyboardKind.PINYIN_26)


def _geometry_unit(keyboards: Iterable[Keyboard]) -> float:
    """Return the design pixels of the model in one of the package: 1 if all places are in whole ones."""
    boards = list(keyboards)
    rects = [key.rect for board in boards for key in board.keys] + [board.panel for board in boards]
    edges = {edge for rect in rects for edge in (rect.x, rect.y, rect.right, rect.bottom)}
    if not edges or all(abs(edge - round(edge)) <= _NEAR for edge in edges):
        return 1.0
    return boards[0].size[0] / _DEFAULT_WIDTH_PX


def _picture_scale(
    keyboards: list[Keyboard], geometry_unit: float, upright_width: float
) -> tuple[float, int | None]:
    """Return design pixels in a picture's pixel, and the width of the screen that says so.

    It is the finest scale that a fair share of those tiles have whose size it decides: those drawn at their
    own size. The width must be a whole number; else pictures are brought to the scale of the geometry.
    """
    tiles = (paint for keyboard in keyboards for paint in paints_of(keyboard) if isinstance(paint, Tile))
    scales = Counter(round(tile.scale, 9) for tile in tiles if tile.fit == "centre")
    if not scales:
        return geometry_unit, None
    scale = min(value for value in scales if scales[value] >= _FAIR_SHARE * scales.total())
    width = upright_width / scale
    if abs(scale - geometry_unit) < 1e-6 or abs(width - round(width)) > _NEAR:
        return geometry_unit, None
    return upright_width / round(width), round(width)


def _is_off_centre(background: Layer) -> bool:
    return background.appearance != NOTHING and (background.insets != Insets() or background.offset != (0, 0))


def _size(rect: Rect) -> tuple[float, float]:
    return rect.width, rect.height


def _actions_in(keyboard: Keyboard) -> Iterator[Action]:
    """Iterate over everything that keys of a keyboard do."""
    for key in keyboard.keys:
        yield from key.actions.values()
        for variant in key.variants.values():
            yield from (variant.actions or {}).values()


def _code(action: Action) -> str | None:
    """Return what the format calls an action; None if it has no word for it."""
    function, text = action.function, action.text
    if function in (Function.LETTER, Function.TEXT):
        return text if text and one_line(text) == text and action_of(text).text == text else None
    if function is Function.KEYBOARD:
        return f"Z+{text}"
    if function is Function.STROKE:
        return f"B{text}"
    if action_of(text).function is function:
        return text
    return _CODES.get(function)
