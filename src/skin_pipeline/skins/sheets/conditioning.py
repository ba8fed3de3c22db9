"""The conditioning image that all sheets of a layout share, drawn from the layout itself.

It shows where things lie, as the edges of a composed sheet would, of keyboards that no skin is behind: the
standard ones, or any others. What it is drawn from is also what a sheet generated on it is cut up by: a
picture's record says what its conditioning image shows the outlines of (:func:`layout_outlines`).
"""

import cv2
import numpy as np
import numpy.typing as npt

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.skins.model import KeyboardKind, Rect
from skin_pipeline.skins.sheets.compose import CellRecord, SheetRecord
from skin_pipeline.skins.sheets.keyboards import KeyboardGeometry, standard_keyboards
from skin_pipeline.skins.sheets.layout import Cell, SheetLayout

EdgeMap = npt.NDArray[np.uint8]
"""(H, W): 255 on edges, 0 elsewhere."""

ROUNDNESS = 0.12
"""Radius of a key's corners as a share of its shorter side."""
_EDGE = 255
_ARC_POINTS = 9
_LAYOUT = "layout:"


def layout_outlines(name: str) -> str:
    """Return what says, in records, that outlines are those of a layout."""
    return f"{_LAYOUT}{name}"


def layout_of_outlines(outlines: str) -> str | None:
    """Return the name of the layout that outlines are drawn from; None if they show something else."""
    return outlines.removeprefix(_LAYOUT) if outlines.startswith(_LAYOUT) else None


def lay_out(
    layout: SheetLayout,
    size_px: int | tuple[int, int],
    *,
    name: str,
    keyboards: dict[KeyboardKind, KeyboardGeometry] | None = None,
) -> SheetRecord:
    """Return the record of a sheet that is yet to be generated.

    Args:
        layout: What lies where.
        size_px: Side of the sheet in pixels, or width and height where it was pulled to another shape.
        name: The layout's name.
        keyboards: Where keys lie; None for the standard keyboards.

    Raises:
        ConfigurationError: The layout shows a keyboard, or a key, that is not among them.
    """
    known = keyboards or standard_keyboards()
    missing = [kind for kind in layout.keyboards if kind not in known]
    if missing:
        raise ConfigurationError(
            f"Sheet layout '{name}' shows the keyboard '{missing[0]}'; there is a geometry for"
            f" {', '.join(known)} only."
        )
    width, height = (size_px, size_px) if isinstance(size_px, int) else size_px
    cells = {}
    for cell_name, cell in layout.cells.items():
        place = layout.place(cell_name, width)
        cells[cell_name] = CellRecord(
            rect=(int(place.x), int(place.y), int(place.width), int(place.height)),
            element=cell.element,
            keyboard=cell.keyboard,
            key=_key_of(known[cell.keyboard], cell, cell_name),
            state=cell.state,
        )
    shown = {kind: known[kind] for kind in layout.keyboards}
    square = SheetRecord(layout=name, size_px=(width, width), cells=cells, keyboards=shown)
    return square.mapped([[1, 0, 0], [0, height / width, 0]], (width, height))


def _key_of(board: KeyboardGeometry, cell: Cell, cell_name: str) -> str | None:
    for wanted in cell.keys:
        for name, key in board.keys.items():
            if wanted in {key.function, key.text}:
                return name
    if cell.keys:
        raise ConfigurationError(
            f"Cell '{cell_name}' shows one of the keys {', '.join(cell.keys)}; its keyboard has none of them."
        )
    return None


def draw_outlines(record: SheetRecord) -> EdgeMap:
    """Draw the outlines of a sheet's cells and of the keys in them.

    Args:
        record: Of a composed sheet, or of one laid out.

    Returns:
        Of the sheet's size, lines one pixel wide.
    """
    edges = np.zeros(record.size_px[::-1], dtype=np.uint8)
    for cell in record.cells.values():
        is_rounded = cell.element in {"key", "cap", "candidate"}
        _outline(edges, cell.place, ROUNDNESS if is_rounded else 0)
    for place in places_of_keys(record).values():
        _outline(edges, place, ROUNDNESS)
    for place in _bars(record):
        _outline(edges, place, 0)
    return edges


def places_of_keys(record: SheetRecord) -> dict[tuple[str, str], Rect]:
    """Return where keys lie on a sheet, by cell and key, of cells that show a keyboard, a panel or a key."""
    places = {}
    for name, cell in record.cells.items():
        geometry = record.keyboards[cell.keyboard]
        if cell.element in {"keyboard", "panel"}:
            frame = geometry.bounds if cell.element == "keyboard" else geometry.panel
            for key_id, key in geometry.keys.items():
                places[name, key_id] = _mapped(key.place, frame, cell.place)
        elif cell.element == "key" and cell.key is not None:
            places[name, cell.key] = cell.place
    return places


def _bars(record: SheetRecord) -> list[Rect]:
    """Return where candidate bars lie in the cells that show whole keyboards."""
    places = []
    for cell in record.cells.values():
        geometry = record.keyboards[cell.keyboard]
        if cell.element == "keyboard" and geometry.bar is not None and geometry.is_bar_always_shown:
            places.append(_mapped(Rect(*geometry.bar), geometry.bounds, cell.place))
    return places


def _mapped(rect: Rect, frame: Rect, place: Rect) -> Rect:
    """Return a rectangle of a frame in the place that the frame is pulled over."""
    x, y = place.width / frame.width, place.height / frame.height
    return Rect(
        place.x + (rect.x - frame.x) * x, place.y + (rect.y - frame.y) * y, rect.width * x, rect.height * y
    )


def _outline(edges: EdgeMap, place: Rect, roundness: float) -> None:
    """Draw a rectangle's outline, along the pixels just inside it."""
    left, top = round(place.x), round(place.y)
    right, bottom = round(place.right) - 1, round(place.bottom) - 1
    radius = roundness * min(place.width, place.height)
    turn = np.linspace(0, np.pi / 2, _ARC_POINTS)
    arc = np.column_stack([np.cos(turn), np.sin(turn)]) * radius
    corners = [
        (right - radius, bottom - radius, arc),
        (left + radius, bottom - radius, arc[::-1] * (-1, 1)),
        (left + radius, top + radius, arc * (-1, -1)),
        (right - radius, top + radius, arc[::-1] * (1, -1)),
    ]
    points = np.concatenate([np.array((x, y)) + bend for x, y, bend in corners])
    cv2.polylines(edges, [np.rint(points).astype(np.int32).reshape(-1, 1, 2)], isClosed=True, color=_EDGE)
