"""Rectangles as rows and columns.

A Hamster keyboard is no list of rectangles but a tree: a row (``HStack``) takes its share of the height, a
column (``VStack``) its share of the width, and cells fill what is left. Any set of rectangles that do not
overlap and that straight cuts can part has such a tree; gaps become empty cells. Where rectangles overlap, or
interlock like the bricks around a windmill, the smallest possible corner is cut off one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from skin_pipeline.skins.model import Rect

_NEAR = 1e-6


@dataclass(frozen=True)
class Cell:
    """A leaf of the tree.

    Attributes:
        name: Of the rectangle; None for a gap.
        rect: Where it lies.
    """

    name: str | None
    rect: Rect


@dataclass(frozen=True)
class Stack:
    """A row (its parts lie side by side) or a column (its parts lie one below the other).

    Attributes:
        is_row: Whether it is a row.
        rect: Where it lies; its parts fill it.
        parts: Cells, or stacks of the other kind.
    """

    is_row: bool
    rect: Rect
    parts: tuple[Cell | Stack, ...]


@dataclass(frozen=True)
class Tree:
    """Rectangles as a tree.

    Attributes:
        root: A column of rows, or a row of columns.
        trimmed: Names of rectangles that had to be cut.
        hidden: Names of rectangles of which nothing was left.
    """

    root: Stack
    trimmed: tuple[str, ...]
    hidden: tuple[str, ...]

    def cells(self) -> Iterable[Cell]:
        """Iterate over all cells that are not gaps."""
        pending: list[Cell | Stack] = [self.root]
        while pending:
            node = pending.pop()
            if isinstance(node, Stack):
                pending += reversed(node.parts)
            elif node.name is not None:
                yield node


def plan_stacks(cells: Sequence[Cell], region: Rect) -> Tree:
    """Arrange rectangles as rows and columns.

    Args:
        cells: What is to be placed; of several in one place the last is kept.
        region: What they lie in; what lies outside of it is cut off.
    """
    planner = _Planner()
    inside = []
    for cell in cells:
        clipped = cell.rect.intersection(region)
        if clipped.is_empty:
            planner.hidden.append(cell.name or "")
            continue
        if clipped != cell.rect:
            planner.trimmed.append(cell.name or "")
        inside.append(Cell(cell.name, clipped))
    root = planner.arrange(inside, region, as_rows=True)
    if isinstance(root, Cell):
        root = Stack(False, region, (Stack(True, region, (root,)),))
    trimmed = dict.fromkeys(name for name in planner.trimmed if name not in planner.hidden)
    return Tree(root, tuple(trimmed), tuple(planner.hidden))


class _Planner:
    """Divides a region among cells, cutting what is in the way."""

    def __init__(self) -> None:
        self.trimmed: list[str] = []
        self.hidden: list[str] = []

    def arrange(self, cells: list[Cell], region: Rect, *, as_rows: bool) -> Cell | Stack:
        """Return a node that fills a region: cut into rows first if asked to, else into columns."""
        if not cells:
            return Cell(None, region)
        if len(cells) == 1 and _fills(cells[0].rect, region):
            return Cell(cells[0].name, region)
        for rows in (as_rows, not as_rows):
            bands = _bands(cells, region, rows=rows)
            if len(bands) > 1:
                parts = [self.arrange(inner, band, as_rows=not rows) for band, inner in bands]
                return Stack(not rows, region, tuple(_spliced(parts, is_row=not rows)))
        return self.arrange(self._cut(cells), region, as_rows=as_rows)

    def _cut(self, cells: list[Cell]) -> list[Cell]:
        """Cut cells along the line that costs the least, such that it parts them."""
        options = [option for rows in (True, False) for option in _lines(cells, rows=rows)]
        if not options:
            # All have one place: the topmost remains.
            self.hidden += [cell.name or "" for cell in cells[:-1]]
            return cells[-1:]
        _, rows, line = min(options)
        kept = []
        for cell in cells:
            before, after = _halves(cell.rect, line, rows=rows)
            larger = before if before.width * before.height >= after.width * after.height else after
            if not before.is_empty and not after.is_empty:
                self.trimmed.append(cell.name or "")
            kept.append(Cell(cell.name, larger))
        return kept


def _spliced(parts: Iterable[Cell | Stack], *, is_row: bool) -> Iterator[Cell | Stack]:
    """Put the parts of stacks of the same kind in their place: cuts can leave a row within a row."""
    for part in parts:
        if isinstance(part, Stack) and part.is_row == is_row:
            yield from part.parts
        else:
            yield part


def _fills(rect: Rect, region: Rect) -> bool:
    pairs = zip(_edges(rect), _edges(region), strict=True)
    return all(abs(one - other) <= _NEAR for one, other in pairs)


def _edges(rect: Rect) -> tuple[float, float, float, float]:
    return rect.x, rect.y, rect.right, rect.bottom


def _span(*, rows: bool) -> Callable[[Rect], tuple[float, float]]:
    """Return what gives a rectangle's start and end along the axis that rows, or columns, are cut across."""
    return (lambda rect: (rect.y, rect.bottom)) if rows else (lambda rect: (rect.x, rect.right))


def _slab(region: Rect, start: float, end: float, *, rows: bool) -> Rect:
    """Return the part of a region between two lines."""
    if rows:
        return replace(region, y=start, height=end - start)
    return replace(region, x=start, width=end - start)


def _bands(cells: Sequence[Cell], region: Rect, *, rows: bool) -> list[tuple[Rect, list[Cell]]]:
    """Part a region by all straight lines that cross no cell; gaps are bands without cells."""
    span = _span(rows=rows)
    position, region_end = span(region)
    bands: list[tuple[Rect, list[Cell]]] = []
    pending = sorted(cells, key=lambda cell: span(cell.rect))
    while pending:
        start, end = span(pending[0].rect)
        group: list[Cell] = []
        while pending and span(pending[0].rect)[0] < end - _NEAR:
            end = max(end, span(pending[0].rect)[1])
            group.append(pending.pop(0))
        if start > position + _NEAR:
            bands.append((_slab(region, position, start, rows=rows), []))
        # Cells keep their order: it says which lies on top.
        group = [cell for cell in cells if cell in group]
        bands.append((_slab(region, start, end, rows=rows), group))
        position = end
    if position < region_end - _NEAR:
        bands.append((_slab(region, position, region_end, rows=rows), []))
    return bands


def _lines(cells: Sequence[Cell], *, rows: bool) -> Iterable[tuple[float, bool, float]]:
    """Yield lines along cells' edges that leave cells on both sides, with the area that they cut off."""
    span = _span(rows=rows)
    for line in sorted({edge for cell in cells for edge in span(cell.rect)}):
        cost, sides = 0.0, set()
        for cell in cells:
            before, after = _halves(cell.rect, line, rows=rows)
            areas = before.width * before.height, after.width * after.height
            sides.add(areas[0] >= areas[1])
            cost += min(areas)
        if len(sides) == 2:
            yield cost, rows, line


def _halves(rect: Rect, line: float, *, rows: bool) -> tuple[Rect, Rect]:
    """Return what of a rectangle lies before and after a line."""
    start, end = _span(rows=rows)(rect)
    middle = min(max(line, start), end)
    return _slab(rect, start, middle, rows=rows), _slab(rect, middle, end, rows=rows)
