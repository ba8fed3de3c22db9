"""Cut a sheet back into elements and put them onto keyboards: from a picture to a skin.

Panels with keys are taken apart as :mod:`~skin_pipeline.skins.sheets.matting` says; single caps are cut off
the sheet's backdrop and become nine-patches. Pressed looks are taken from the sheet where it has them: the
difference between its pressed and its idle key is laid on every key of that function. Where it has none, keys
are shaded.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from skin_pipeline.errors import InputError
from skin_pipeline.skins.model import (
    NOTHING,
    Appearance,
    BarIcon,
    CandidateBar,
    Function,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Layer,
    Rect,
    Rgba,
    RgbaPixels,
    Skin,
    TextStyle,
    Theme,
    Tile,
)
from skin_pipeline.skins.rendering import render_panel
from skin_pipeline.skins.sheets.compose import CellRecord, SheetRecord
from skin_pipeline.skins.sheets.keyboards import KeyboardGeometry, KeyGeometry, standard_keyboards
from skin_pipeline.skins.sheets.looks import (
    LEGEND_HEIGHT,
    ink_on,
    middle,
    nine_patch_of,
    opaque,
    resized,
    same,
    scaled_to,
    shaded,
    shifted,
    tile_of,
    written_legend,
)
from skin_pipeline.skins.sheets.matting import (
    Legend,
    RgbPicture,
    fill_smoothly,
    lift_cap,
    lift_legend,
    panel_beneath,
)

_Element = TypeVar("_Element", bound=np.generic)
LegendForm = Literal["pictures", "text"]

BAR_TEXT_HEIGHT = 0.42
"""Size of candidates as a share of the bar's height."""
_DARK = 80
"""Median level of 255 below which a sheet is dark."""
_NO_CHANGE = 1.0
"""Mean difference in levels below which a sheet's pressed key is its idle one."""

_KIN: Mapping[Function, tuple[Function, ...]] = {
    Function.LETTER: (Function.TEXT,),
    Function.TEXT: (Function.LETTER,),
    Function.SHIFT: (Function.BACKSPACE, Function.NUMBERS, Function.ENTER),
    Function.BACKSPACE: (Function.SHIFT, Function.NUMBERS, Function.ENTER),
    Function.NUMBERS: (Function.SYMBOLS, Function.LANGUAGE, Function.BACKSPACE),
    Function.SYMBOLS: (Function.NUMBERS, Function.LANGUAGE, Function.BACKSPACE),
    Function.LANGUAGE: (Function.EMOJI, Function.NUMBERS, Function.BACKSPACE),
    Function.EMOJI: (Function.LANGUAGE, Function.NUMBERS, Function.BACKSPACE),
    Function.SPACE: (Function.LETTER, Function.TEXT),
    Function.ENTER: (Function.BACKSPACE, Function.SHIFT),
}
"""Whose look a key takes when a sheet has none for its own function, the nearest kin first."""


def slice_sheet(
    picture: RgbPicture, record: SheetRecord, *, name: str, legends: LegendForm = "pictures"
) -> Skin:
    """Cut a sheet into a skin.

    Args:
        picture: The sheet, uint8 RGB (H, W, 3).
        record: Where its elements lie and which keyboards they are for.
        name: The skin's name.
        legends: Keep legends as the pictures that they are on the sheet, or have the keyboard write them in
            their colour and size; sheets of caps have no legends, so theirs are always written.

    Returns:
        A skin with a portrait keyboard for every keyboard of the sheet. If the sheet shows 26 keys only, or 9
        keys only, the other keyboard is the standard one in the same looks; so is the English one.

    Raises:
        InputError: The picture is not of the record's size.
    """
    width, height = record.size_px
    if picture.shape != (height, width, 3):
        raise InputError(
            f"Sheet '{name}' is {picture.shape[1]}x{picture.shape[0]} pixels; its layout '{record.layout}'"
            f" was laid out at {width}x{height}. Resize it, or lay it out at its own size."
        )
    sheet = _CutSheet(picture, record)
    boards = {kind: _keyboard(sheet, kind, geometry, legends) for kind, geometry in record.keyboards.items()}
    for kind, geometry in standard_keyboards().items():
        if kind not in boards:
            boards[kind] = _in_the_looks_of(next(iter(boards.values())), kind, geometry)
    letters = boards[KeyboardKind.PINYIN_26]
    english = replace(letters, kind=KeyboardKind.ENGLISH_26, name=str(KeyboardKind.ENGLISH_26))
    return Skin(name, "", "", "folder", (Theme("default", (*boards.values(), english)),))


class _CutSheet:
    """A sheet's cells, cut out."""

    def __init__(self, picture: RgbPicture, record: SheetRecord) -> None:
        self.cells = {name: cell for name, cell in record.cells.items() if not cell.is_missing}
        self._functions = {
            name: record.keyboards[cell.keyboard].keys[cell.key].function
            for name, cell in self.cells.items()
            if cell.key is not None and cell.key in record.keyboards[cell.keyboard].keys
        }
        self._picture = picture
        self.is_dark = float(np.median(picture)) < _DARK
        self._caps: dict[Rect, Tile] = {}
        self._bared: dict[Rect, tuple[RgbPicture, Legend | None]] = {}
        self._backdrop = panel_beneath(picture, [cell.place for cell in record.cells.values()])

    def crop(self, cell: CellRecord) -> RgbPicture:
        """Return a cell's pixels."""
        return _crop(self._picture, cell.place)

    def cap(self, cell: CellRecord) -> Tile:
        """Return what stands out from the backdrop in a cell, as a nine-patch; all of it if nothing does."""
        if cell.place not in self._caps:
            cap = lift_cap(self._picture, self._backdrop, cell.place)
            self._caps[cell.place] = nine_patch_of(cap if cap[..., 3].any() else opaque(self.crop(cell)))
        return self._caps[cell.place]

    def bared(self, cell: CellRecord) -> tuple[RgbPicture, Legend | None]:
        """Return a key's pixels without its legend, and the legend."""
        picture = self.crop(cell)
        if cell.place not in self._bared:
            everywhere = np.ones(picture.shape[:2], dtype=bool)
            self._bared[cell.place] = lift_legend(picture, everywhere, _whole(picture))
        return self._bared[cell.place]

    def first(self, element: str, kind: KeyboardKind | None = None) -> CellRecord | None:
        """Return the first cell that shows an element, of a keyboard if that is given."""
        cells = (
            cell for cell in self.cells.values() if cell.element == element and kind in {None, cell.keyboard}
        )
        return next(cells, None)

    def look_alike(
        self, kind: KeyboardKind, function: Function, element: str
    ) -> tuple[CellRecord | None, CellRecord | None]:
        """Return the idle and the pressed cell of the key that a key of a function looks like.

        Its own keyboard's and function's comes first, then its kin's. Both cells show one key; the second is
        None where the sheet does not show that key pressed.
        """
        idle = {
            name: cell
            for name, cell in self.cells.items()
            if cell.element == element and cell.state == "normal"
        }
        for wanted in (function, *_KIN.get(function, ()), Function.LETTER):
            for own_keyboard in (True, False):
                for name, cell in idle.items():
                    if self._functions.get(name) == wanted and (cell.keyboard is kind) == own_keyboard:
                        return cell, self._pressed(cell)
        return None, None

    def _pressed(self, idle: CellRecord) -> CellRecord | None:
        """Return the cell that shows the key of an idle one pressed."""
        twins = (
            cell
            for cell in self.cells.values()
            if (cell.element, cell.keyboard, cell.key) == (idle.element, idle.keyboard, idle.key)
            and cell.state == "pressed"
        )
        return next(twins, None)


# --- keyboards ------------------------------------------------------------------------------------------


def _keyboard(
    sheet: _CutSheet, kind: KeyboardKind, geometry: KeyboardGeometry, legends: LegendForm
) -> Keyboard:
    """Put what a sheet shows onto a keyboard."""
    pictured = _pictured(sheet, kind, geometry)
    if pictured is None:
        return _assembled(sheet, kind, geometry)
    board, scale = geometry.keyboard(kind), pictured.scale
    shown = [replace(key, rect=key.rect.intersection(board.panel)) for key in board.keys]
    shown = [key for key in shown if not key.rect.is_empty]
    panel = panel_beneath(pictured.panel, [_scaled(key.rect, scale) for key in shown])
    cut = {key.id: _cut_key(pictured.panel, panel, _scaled(key.rect, scale)) for key in shown}
    panel = _seen_between(pictured.panel, panel, [(_scaled(key.rect, scale), cut[key.id]) for key in shown])
    ink = _common_ink([parts.legend for parts in cut.values() if parts.legend]) if legends == "text" else None
    keys = tuple(
        _dressed(
            key,
            geometry.keys[key.id],
            cut[key.id],
            scale,
            _Press(sheet, kind, geometry.keys[key.id].function),
            ink,
        )
        for key in shown
    )
    background = same(tile_of(opaque(panel), 1 / scale))
    return replace(board, background=background, keys=keys, bar=_bar(sheet, board, pictured.bar))


@dataclass(frozen=True)
class _Pictured:
    """Pictures of a keyboard, with a whole number of pixels in a design pixel, so that keys lie on pixels.

    Attributes:
        panel: The panel with its keys.
        bar: The candidate bar, if the sheet shows it together with the panel.
        scale: Pixels in a design pixel.
    """

    panel: RgbPicture
    bar: RgbPicture | None
    scale: int


def _pictured(sheet: _CutSheet, kind: KeyboardKind, geometry: KeyboardGeometry) -> _Pictured | None:
    """Return a keyboard's pictures, if the sheet shows it with its keys."""
    whole, panel = sheet.first("keyboard", kind), sheet.first("panel", kind)
    cell = whole or panel
    if cell is None:
        return None
    bounds = geometry.bounds if whole else geometry.panel
    ratio = max(cell.place.width / bounds.width, cell.place.height / bounds.height)
    scale = max(1, int(np.ceil(ratio - 0.25)))  # rather a pixel than a third of one more than the sheet has
    picture = _picture_resized(sheet.crop(cell), (round(bounds.width * scale), round(bounds.height * scale)))
    bar = None
    if whole and geometry.bar and geometry.bar[1] < 0 and geometry.is_bar_always_shown:
        bar = _crop(picture, _scaled(Rect(*geometry.bar).moved(-bounds.x, -bounds.y), scale))
    return _Pictured(_crop(picture, _scaled(geometry.panel.moved(-bounds.x, -bounds.y), scale)), bar, scale)


@dataclass(frozen=True)
class _CutKey:
    """A key, cut out of its panel.

    Attributes:
        cap: Its cap without its legend, transparent if it has none.
        legend: Its legend.
        ground: What its legend lies on: the cap, or the panel.
    """

    cap: RgbaPixels
    legend: Legend | None
    ground: RgbaPixels


def _cut_key(picture: RgbPicture, panel: RgbPicture, place: Rect) -> _CutKey:
    """Return a key's parts; laid on the panel they give the picture."""
    cap, seen = lift_cap(picture, panel, place), _crop(picture, place)
    solid = cap[..., 3] == 255
    has_cap = bool(solid.any())
    bare, legend = lift_legend(seen, solid if has_cap else np.ones_like(solid), _whole(seen))
    if not has_cap:
        return _CutKey(cap, legend, opaque(_crop(panel, place)))
    cap = np.dstack([np.where(solid[..., None], bare, cap[..., :3]), cap[..., 3]])
    return _CutKey(cap, legend, cap)


def _seen_between(picture: RgbPicture, panel: RgbPicture, cut: Sequence[tuple[Rect, _CutKey]]) -> RgbPicture:
    """Return the panel, as it is seen wherever no cap and no legend covers it.

    Where keys lie edge on edge hardly any of the panel is seen outside of them, and what is filled in beneath
    them is wrong by less than a cap stands out; there the picture itself says what the panel is.
    """
    covered = np.zeros(picture.shape[:2], dtype=bool)
    for place, parts in cut:
        shown = parts.cap[..., 3] > 0
        if parts.legend is not None:
            shown = shown | (parts.legend.pixels[..., 3] > 0)
        window = _crop(covered, place)
        window |= shown
    return np.where(covered[..., None], panel, picture)


def _common_ink(legends: Sequence[Legend]) -> Rgba:
    """Return the colour that a keyboard's legends are around, so that written ones look alike; else black."""
    colours = [legend.colour[:3] for legend in legends] or [(0, 0, 0)]
    red, green, blue = np.median(colours, axis=0).round()
    return int(red), int(green), int(blue), 255


def _dressed(
    key: Key, geometry: KeyGeometry, cut: _CutKey, scale: int, press: "_Press", ink: Rgba | None
) -> Key:
    """Return a key with its cap and its legend: the one it was cut out with, or, in an ink, a written one."""
    looks = NOTHING
    if cut.cap[..., 3].any():
        looks = Appearance(tile_of(cut.cap, 1 / scale), tile_of(press.of_cap(cut.cap), 1 / scale))
    if ink is not None and (geometry.label or cut.legend is None):
        inks = [ink_on(middle(ground), ink) for ground in (cut.ground, press.of_cap(cut.ground))]
        foregrounds = written_legend(geometry, *inks)
    else:
        foregrounds = _legend_layer(cut.legend, cut.cap, scale, press) if cut.legend else ()
    return replace(key, background=Layer(looks), foregrounds=foregrounds)


def _legend_layer(legend: Legend, cap: RgbaPixels, scale: int, press: "_Press") -> tuple[Layer, ...]:
    """Return a lifted legend as a layer of its key."""
    box = legend.box
    if box.is_empty:
        return ()
    offset = (
        (box.x + box.width / 2 - cap.shape[1] / 2) / scale,
        (box.y + box.height / 2 - cap.shape[0] / 2) / scale,
    )
    pixels = _crop(legend.pixels, box)
    idle, pressed = (
        replace(tile_of(state, 1 / scale), fit="centre") for state in (pixels, press.of_legend(pixels))
    )
    return (Layer(Appearance(idle, pressed), offset),)


def _assembled(sheet: _CutSheet, kind: KeyboardKind, geometry: KeyboardGeometry) -> Keyboard:
    """Build a keyboard from single caps, with written legends."""
    board = geometry.keyboard(kind)
    ground = sheet.first("background", kind) or sheet.first("background")
    background = NOTHING if ground is None else same(tile_of(opaque(sheet.crop(ground))))
    keys = tuple(_capped_key(sheet, kind, key, geometry.keys[key.id]) for key in board.keys)
    lists = tuple(_list(sheet, strip) for strip in board.lists)
    return replace(board, background=background, keys=keys, lists=lists, bar=_bar(sheet, board, None))


def _capped_key(sheet: _CutSheet, kind: KeyboardKind, key: Key, geometry: KeyGeometry) -> Key:
    """Return a key with the cap of its function, and its legend written on it."""
    idle, pressed = sheet.look_alike(kind, geometry.function, "cap")
    if idle is None:
        return key
    cap = sheet.cap(idle)
    if pressed is None:
        shade = shaded(cap.crop(), sheet.is_dark)
        pressed_cap = replace(tile_of(shade), fit=cap.fit, insets=cap.insets)
    else:
        pressed_cap = sheet.cap(pressed)
    looks = Appearance(scaled_to(cap, key.rect), scaled_to(pressed_cap, key.rect))
    legend = written_legend(geometry, ink_on(middle(cap.crop())), ink_on(middle(pressed_cap.crop())))
    return replace(key, background=Layer(looks), foregrounds=legend)


def _in_the_looks_of(model: Keyboard, kind: KeyboardKind, geometry: KeyboardGeometry) -> Keyboard:
    """Return a keyboard that wears the panel, the bar and the caps of another one, with written legends."""
    board = geometry.keyboard(kind)
    patch_of = cache(lambda tile: nine_patch_of(tile.crop()))
    keys = []
    for key in board.keys:
        worn = _worn_by(model, geometry.keys[key.id].function)
        caps = [paint for paint in (worn.normal, worn.pressed) if isinstance(paint, Tile)]
        grounds = [middle(paint.crop()) for paint in caps] or [middle(_panel_pixels(model))] * 2
        tiles = [scaled_to(patch_of(paint), key.rect) for paint in caps]
        legend = written_legend(geometry.keys[key.id], *(ink_on(ground) for ground in grounds))
        looks = Appearance(*tiles) if tiles else NOTHING
        keys.append(replace(key, background=Layer(looks), foregrounds=legend))
    ink = ink_on(middle(_panel_pixels(model)))
    lists = tuple(
        replace(strip, text=TextStyle(LEGEND_HEIGHT * strip.cell_size[1], ink, ink)) for strip in board.lists
    )
    bar = _moved_bar(model, board)
    return replace(board, background=model.background, keys=tuple(keys), lists=lists, bar=bar)


def _worn_by(model: Keyboard, function: Function) -> Appearance:
    """Return the cap of the key of a function, of its nearest kin, or of any key."""
    for wanted in (function, *_KIN.get(function, ()), Function.LETTER, Function.TEXT):
        key = model.key(wanted)
        if key is not None:
            return key.background.appearance
    return model.keys[0].background.appearance if model.keys else NOTHING


def _panel_pixels(model: Keyboard) -> RgbaPixels:
    panel = model.background.normal
    return panel.crop() if isinstance(panel, Tile) else render_panel(model, 64)


def _moved_bar(model: Keyboard, board: Keyboard) -> CandidateBar | None:
    """Return a keyboard's bar, in the place of another one's."""
    if model.bar is None or board.bar is None:
        return board.bar
    place = board.bar.rect
    icons = tuple(replace(icon, key=replace(icon.key, rect=place, touch=place)) for icon in model.bar.icons)
    return replace(model.bar, rect=place, icons=icons)


@dataclass(frozen=True)
class _Press:
    """How keys of a function change when they are pressed."""

    sheet: _CutSheet
    kind: KeyboardKind
    function: Function

    def of_cap(self, cap: RgbaPixels) -> RgbaPixels:
        """Return what an idle cap becomes: its colours and the sheet's difference between two bare caps."""
        pair = self._pair()
        if pair is None:
            return shaded(cap, self.sheet.is_dark)
        (before, idle_legend), (after, pressed_legend) = pair
        change = _change_of(before, after, [one for one in (idle_legend, pressed_legend) if one is not None])
        change = _change_resized(change, (cap.shape[1], cap.shape[0]))
        if np.abs(change).mean() < _NO_CHANGE:
            return shaded(cap, self.sheet.is_dark)
        return shifted(cap, change)

    def of_legend(self, legend: RgbaPixels) -> RgbaPixels:
        """Return what an idle legend becomes: in the pressed key's ink, where the sheet shows it."""
        pair = self._pair()
        if pair is None:
            return legend
        (_, before), (_, after) = pair
        if before is None or after is None:
            return legend
        return shifted(legend, np.subtract(after.colour[:3], before.colour[:3], dtype=np.float32))

    def _pair(self) -> tuple[tuple[RgbPicture, Legend | None], tuple[RgbPicture, Legend | None]] | None:
        """Return an idle and a pressed key of the sheet, each without its legend, and the legends."""
        idle, pressed = self.sheet.look_alike(self.kind, self.function, "key")
        if idle is None or pressed is None:
            return None
        return self.sheet.bared(idle), self.sheet.bared(pressed)


def _bar(sheet: _CutSheet, board: Keyboard, picture: RgbPicture | None) -> CandidateBar | None:
    """Return the candidate bar: its picture without icons, and those while there is no candidate."""
    cell = sheet.first("bar")
    if picture is None and cell is not None:
        picture = sheet.crop(cell)
    if board.bar is None or picture is None:
        return board.bar
    place = board.bar.rect
    scale = place.width / picture.shape[1]
    everywhere = np.ones(picture.shape[:2], dtype=bool)
    bare, icons = lift_legend(picture, everywhere, _whole(picture))
    shown: tuple[BarIcon, ...] = ()
    if icons is not None and not icons.box.is_empty:
        look = Layer(same(tile_of(icons.pixels, scale)))
        shown = (BarIcon(Key("icons", place, place, background=look), "idle"),)
    ink = ink_on(opaque(bare))
    text = TextStyle(BAR_TEXT_HEIGHT * place.height, ink, ink)
    candidate = sheet.first("candidate")
    return replace(
        board.bar,
        background=same(tile_of(opaque(bare), scale)),
        first_cell=same(tile_of(opaque(sheet.crop(candidate)))) if candidate else NOTHING,
        text=text,
        first_text=text,
        gap=text.size,
        first_gap=text.size / 2,
        icons=shown,
    )


def _list(sheet: _CutSheet, strip: KeyList) -> KeyList:
    """Return the list beside nine keys with the look that the sheet gives it."""
    cell = sheet.first("list")
    if cell is None:
        return strip
    ground = opaque(sheet.crop(cell))
    ink = ink_on(ground)
    text = TextStyle(LEGEND_HEIGHT * strip.cell_size[1], ink, ink)
    return replace(strip, background=same(tile_of(ground)), text=text)


# --- pixels ---------------------------------------------------------------------------------------------


def _picture_resized(picture: RgbPicture, size: tuple[int, int]) -> RgbPicture:
    return np.asarray(resized(picture, size), np.uint8)


def _change_resized(change: npt.NDArray[np.float32], size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(resized(change, size), np.float32)


def _change_of(before: RgbPicture, after: RgbPicture, legends: Sequence[Legend]) -> npt.NDArray[np.float32]:
    """Return the difference of two caps, float32 (H, W, 3), smooth where their legends were lifted off.

    What lifting left there would show on every key as a ghost of this one's legend.
    """
    change = after.astype(np.float32) - before
    known = np.ones(change.shape[:2], dtype=bool)
    for legend in legends:
        top, left = (max(0, math.floor(edge) - 1) for edge in (legend.box.y, legend.box.x))
        known[top : math.ceil(legend.box.bottom) + 1, left : math.ceil(legend.box.right) + 1] = False
    return fill_smoothly(change, known) if known.any() else change


def _whole(picture: npt.NDArray[np.uint8]) -> Rect:
    return Rect(0, 0, picture.shape[1], picture.shape[0])


def _scaled(rect: Rect, scale: int) -> Rect:
    return Rect(rect.x * scale, rect.y * scale, rect.width * scale, rect.height * scale)


def _crop(picture: npt.NDArray[_Element], place: Rect) -> npt.NDArray[_Element]:
    """Return a place's pixels, rounded outwards, as far as they lie in the picture."""
    top, left = max(0, int(np.floor(place.y))), max(0, int(np.floor(place.x)))
    return picture[top : int(np.ceil(place.bottom)), left : int(np.ceil(place.right))]
