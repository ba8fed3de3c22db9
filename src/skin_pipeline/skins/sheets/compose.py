"""Compose a skin's elements onto one sheet, as a layout says.

What lies between the cells, and behind caps, is the mean colour of the skin's panel: on it a cap stands out
as it does on its keyboard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from skin_pipeline.errors import InputError
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.model import Key, Keyboard, KeyboardKind, Paint, Rect, RgbaPixels, Theme, Tile
from skin_pipeline.skins.rendering import (
    on_colour,
    render_bar,
    render_key,
    render_keyboard,
    render_paint,
    render_panel,
)
from skin_pipeline.skins.sheets.keyboards import KeyboardGeometry
from skin_pipeline.skins.sheets.layout import Cell, Element, SheetLayout
from skin_pipeline.skins.sheets.matting import RgbPicture

Colour = tuple[int, int, int]
Affine = Sequence[Sequence[float]]


class CellRecord(Parameters):
    """What a cell of a composed sheet shows."""

    rect: tuple[int, int, int, int]
    """x, y, width, height in pixels of the sheet."""
    element: Element
    """The kind of element."""
    keyboard: KeyboardKind
    """The keyboard it was taken from."""
    key: str | None = None
    """Id of the key that is shown, for keys and caps."""
    state: str = "normal"
    """Idle or pressed, for keys and caps."""
    is_missing: bool = False
    """Whether the skin had no such element, so that the cell shows its panel."""

    @property
    def place(self) -> Rect:
        """The rectangle."""
        return Rect(*self.rect)


class SheetRecord(Parameters):
    """All that is needed to cut a sheet up again."""

    layout: str
    """Name of the layout."""
    size_px: tuple[int, int]
    """Width and height of the sheet in pixels."""
    cells: dict[str, CellRecord]
    """The cells by name."""
    keyboards: dict[KeyboardKind, KeyboardGeometry]
    """Where the keys lie, of each keyboard that a cell shows."""

    def mapped(self, matrix: Affine, size_px: tuple[int, int]) -> Self:
        """Return the record of the sheet after it was resized.

        Args:
            matrix: [[a, 0, x], [0, d, y]], from the sheet's frame to the resized one's.
            size_px: Width and height of the resized sheet.

        Raises:
            InputError: The resizing cut off a part of a cell.
        """
        (across, _, x), (_, down, y) = matrix
        cells = {}
        for name, cell in self.cells.items():
            left, top = round(cell.rect[0] * across + x), round(cell.rect[1] * down + y)
            right = round((cell.rect[0] + cell.rect[2]) * across + x)
            bottom = round((cell.rect[1] + cell.rect[3]) * down + y)
            if left < 0 or top < 0 or right > size_px[0] or bottom > size_px[1]:
                raise InputError(
                    f"Cell '{name}' lies at {left}, {top} to {right}, {bottom} on a picture of"
                    f" {size_px[0]}x{size_px[1]} pixels: resizing cut it. Set resize.fit to stretch or pad."
                )
            cells[name] = cell.model_copy(update={"rect": (left, top, right - left, bottom - top)})
        return self.model_copy(update={"cells": cells, "size_px": size_px})


@dataclass(frozen=True)
class Sheet:
    """A composed sheet.

    Attributes:
        picture: RGB, square.
        record: What it shows, and where.
        backdrop: The colour between its cells, and behind what the skin leaves transparent.
    """

    picture: RgbPicture
    record: SheetRecord
    backdrop: Colour


def compose_sheet(theme: Theme, layout: SheetLayout, size_px: int, *, name: str = "") -> Sheet:
    """Compose a skin's elements onto a sheet.

    Args:
        theme: One of the skin's themes.
        layout: What to show, and where.
        size_px: Side of the sheet in pixels.
        name: The layout's name, for the record.

    Returns:
        The sheet.

    Raises:
        InputError: The skin lacks an element that the layout does not do without.
    """
    boards = {kind: keyboard_of(theme, kind) for kind in layout.keyboards}
    backdrop = _panel_colour(next(iter(boards.values())))
    picture = np.empty((size_px, size_px, 3), dtype=np.uint8)
    picture[:] = backdrop
    records: dict[str, CellRecord] = {}
    for cell_name, cell in layout.cells.items():
        board, place = boards[cell.keyboard], layout.place(cell_name, size_px)
        key = _key_of(board, cell, cell_name)
        element = _drawn(board, cell, key, (int(place.width), int(place.height)))
        if element is None and cell.otherwise == "reject":
            raise InputError(_lack(board, cell, cell_name, key))
        shown = _drawn_panel(board, place) if element is None else element
        rows, columns = _slices(place)
        picture[rows, columns] = on_colour(shown, backdrop)
        records[cell_name] = CellRecord(
            rect=(int(place.x), int(place.y), int(place.width), int(place.height)),
            element=cell.element,
            keyboard=cell.keyboard,
            key=key.id if key else None,
            state=cell.state,
            is_missing=element is None,
        )
    geometries = {kind: KeyboardGeometry.of(board) for kind, board in boards.items()}
    record = SheetRecord(layout=name, size_px=(size_px, size_px), cells=records, keyboards=geometries)
    return Sheet(picture, record, backdrop)


_STAND_INS: Mapping[KeyboardKind, tuple[KeyboardKind, ...]] = {
    KeyboardKind.PINYIN_26: (KeyboardKind.USER_26, KeyboardKind.ENGLISH_26),
    KeyboardKind.PINYIN_9: (KeyboardKind.USER_9, KeyboardKind.ENGLISH_9, KeyboardKind.NUMBERS_9),
}
"""Keyboards of the same arrangement that may stand in for one that a skin does not have."""


def keyboard_of(theme: Theme, kind: KeyboardKind) -> Keyboard:
    """Return a theme's portrait keyboard of a kind, or one of the same arrangement in its place.

    Raises:
        InputError: The theme has none of them.
    """
    for candidate in (kind, *_STAND_INS.get(kind, ())):
        if theme.has(candidate):
            return theme.keyboard(candidate)
    return theme.keyboard(kind)


def _panel_colour(board: Keyboard) -> Colour:
    """Return the mean colour of a panel; the mean of its keys where it shows nothing itself."""
    for drawn in (render_panel(board, 64), render_keyboard(board, 64)):
        weights = drawn[..., 3].astype(float)
        if weights.sum() > 0:
            red, green, blue = np.average(
                drawn[..., :3].reshape(-1, 3), axis=0, weights=weights.ravel()
            ).round()
            return int(red), int(green), int(blue)
    raise InputError(f"Keyboard '{board.name}' shows nothing: neither its panel nor its keys have a picture.")


def _key_of(board: Keyboard, cell: Cell, cell_name: str) -> Key | None:
    """Return the key that a cell asks for: the first wanted one that shows something, or else the first."""
    if not cell.keys:
        return None
    found = [
        key
        for wanted in cell.keys
        for key in board.keys
        if not key.rect.is_empty and wanted in {key.function, key.text}
    ]
    if not found:
        raise InputError(
            f"Cell '{cell_name}': the skin's keyboard '{board.name}' has none of the keys"
            f" {', '.join(cell.keys)}."
        )
    return next((key for key in found if _is_seen(key, cell)), found[0])


def _lack(board: Keyboard, cell: Cell, cell_name: str, key: Key | None) -> str:
    """Say what a skin lacks that a layout does not do without."""
    if key is None:
        return f"Cell '{cell_name}': the skin's keyboard '{board.name}' has no {cell.element}."
    return (
        f"Cell '{cell_name}': the skin's keyboard '{board.name}' has no picture for the {cell.element} of any"
        f" of the keys {', '.join(cell.keys)} ({cell.state}); the first of them is '{key.id}'."
    )


def _is_seen(key: Key, cell: Cell) -> bool:
    """Whether an idle key shows what a cell asks for; keys laid over a picture of keys show nothing."""
    layers = (key.background,) if cell.element == "cap" else key.layers
    return any(_is_visible(layer.appearance.normal) for layer in layers)


def _is_visible(paint: Paint | None) -> bool:
    if isinstance(paint, Tile):
        return bool(paint.crop()[..., 3].any())
    return paint is not None and paint.colour[3] > 0


def _drawn(board: Keyboard, cell: Cell, key: Key | None, size: tuple[int, int]) -> RgbaPixels | None:
    """Return an element of a keyboard, drawn at a size in pixels, or None if the keyboard lacks it."""
    if cell.element == "list":
        strip = next((strip for strip in board.lists if not strip.background.is_empty), None)
        return None if strip is None else render_paint(strip.background.normal, size)
    if cell.element == "candidate":
        shown = None if board.bar is None else board.bar.first_cell
        return None if shown is None or shown.is_empty else render_paint(shown.pressed or shown.normal, size)
    if cell.element == "bar" and board.bar is None:
        return None
    drawn = _in_proportion(board, cell, key, size)
    # a phone never pulls a legend or a corner, so pulling comes last, over everything alike
    return _pulled(drawn, size) if drawn[..., 3].any() else None


def _in_proportion(board: Keyboard, cell: Cell, key: Key | None, size: tuple[int, int]) -> RgbaPixels:
    """Draw an element in its own proportions, at least as large as a size in pixels."""
    if cell.element == "keyboard":
        return render_keyboard(board, _width_to_cover(board.bounds, size))
    if cell.element == "panel":
        bare = replace(board, bar=None, preedit=None)
        return render_keyboard(bare, _width_to_cover(board.panel, size))
    if cell.element == "background":
        return render_panel(board, _width_to_cover(board.panel, size))
    if cell.element == "bar":
        assert board.bar is not None
        return render_bar(board.bar, _width_to_cover(board.bar.rect, size))
    assert key is not None, "key and cap name their keys"
    with_legend = cell.element == "key"
    return render_key(key, _width_to_cover(key.rect, size), state=cell.state, foregrounds=with_legend)


def _width_to_cover(rect: Rect, size: tuple[int, int]) -> int:
    """Return the width in pixels at which a rectangle is at least of a size in both directions."""
    return max(size[0], int(np.ceil(size[1] * rect.width / rect.height)))


def _pulled(drawn: RgbaPixels, size: tuple[int, int]) -> RgbaPixels:
    if (drawn.shape[1], drawn.shape[0]) == size:
        return drawn
    alpha = drawn[..., 3:].astype(np.float32) / 255
    premultiplied = np.dstack([drawn[..., :3] * alpha, drawn[..., 3:].astype(np.float32)])
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    colour = small[..., :3] / np.maximum(small[..., 3:] / 255, 1e-6)
    pulled: RgbaPixels = np.clip(np.rint(np.dstack([colour, small[..., 3:]])), 0, 255).astype(np.uint8)
    return pulled


def _drawn_panel(board: Keyboard, place: Rect) -> RgbaPixels:
    return render_panel(board, int(place.width), height_px=int(place.height))


def _slices(place: Rect) -> tuple[slice, slice]:
    return slice(int(place.y), int(place.bottom)), slice(int(place.x), int(place.right))
