"""Keyboards without a look: where keys lie and what they do, as data.

Sheets carry the keyboards of the skin they were composed from, and skins that no package stands behind get
the standard ones; what is cut out of a sheet is put onto them.
"""

from functools import cache
from typing import Annotated, Any, Self

import yaml
from pydantic import Field

from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.model import (
    Action,
    CandidateBar,
    Function,
    Gesture,
    Key,
    Keyboard,
    KeyboardKind,
    KeyList,
    Rect,
)
from skin_pipeline.skins.sheets.layout import layout_folder

Extent = Annotated[float, Field(gt=0)]
Corners = tuple[float, float, Extent, Extent]


class KeyGeometry(Parameters):
    """A key: its place, and what it does."""

    rect: Corners
    """Where it is drawn: x, y, width, height in design pixels."""
    touch: Corners | None = None
    """Where it is touched; null: where it is drawn."""
    function: Function
    """What a tap does."""
    text: str = ""
    """What a tap writes or opens."""
    legend: str | None = None
    """What is written on it; null: its text."""

    @property
    def label(self) -> str:
        """What is written on it."""
        return self.text if self.legend is None else self.legend

    @property
    def place(self) -> Rect:
        """Where it is drawn."""
        return Rect(*self.rect)


class ListGeometry(Parameters):
    """The scrolling list beside nine keys."""

    rect: Corners
    """x, y, width, height in design pixels."""
    entries: tuple[str, ...]
    """What its cells write."""


class KeyboardGeometry(Parameters):
    """A keyboard without a look."""

    size: tuple[Extent, Extent]
    """Width and height of the panel in design pixels."""
    bar: Corners | None
    """The candidate bar; above the panel y is negative."""
    keys: dict[str, KeyGeometry]
    """The keys by id, in the order in which they are drawn."""
    marks: ListGeometry | None = None
    """The scrolling list, if there is one."""

    @classmethod
    def of(cls, keyboard: Keyboard) -> Self:
        """Return the geometry of a skin's keyboard; decorations, which do nothing, belong to the panel."""
        column = next((strip for strip in keyboard.lists if not strip.rect.is_empty), None)
        return cls(
            size=keyboard.size,
            bar=_corners(keyboard.bar.rect) if keyboard.bar else None,
            keys={
                key.id: _key_geometry(key) for key in keyboard.keys if key.function and not key.rect.is_empty
            },
            marks=ListGeometry(rect=_corners(column.rect), entries=column.entries) if column else None,
        )

    @property
    def panel(self) -> Rect:
        """The panel's rectangle."""
        return Rect(0, 0, *self.size)

    @property
    def bounds(self) -> Rect:
        """The panel with the bar."""
        return self.panel if self.bar is None else self.panel.union(Rect(*self.bar))

    def keyboard(self, kind: KeyboardKind) -> Keyboard:
        """Return it as a keyboard that shows nothing yet."""
        keys = tuple(
            Key(
                name,
                key.place,
                Rect(*(key.touch or key.rect)),
                actions={Gesture.TAP: Action(key.function, key.text)},
            )
            for name, key in self.keys.items()
        )
        bar = CandidateBar(Rect(*self.bar)) if self.bar else None
        return Keyboard(kind, str(kind), "portrait", self.size, keys=keys, bar=bar, lists=self._lists())

    def _lists(self) -> tuple[KeyList, ...]:
        if self.marks is None:
            return ()
        place, count = Rect(*self.marks.rect), max(1, len(self.marks.entries))
        values = tuple(Action(Function.TEXT, entry) for entry in self.marks.entries)
        cell = (place.width, place.height / count)
        return (KeyList(place, "column", cell, entries=self.marks.entries, values=values),)


def _key_geometry(key: Key) -> KeyGeometry:
    action = key.actions[Gesture.TAP]
    touch = None if key.touch == key.rect or key.touch.is_empty else _corners(key.touch)
    return KeyGeometry(
        rect=_corners(key.rect),
        touch=touch,
        function=action.function,
        text=action.text,
        legend=None if key.text else standard_legends().get(action.function, ""),
    )


def _corners(rect: Rect) -> Corners:
    return rect.x, rect.y, rect.width, rect.height


@cache
def standard_keyboards() -> dict[KeyboardKind, KeyboardGeometry]:
    """Return the keyboards that generated skins get where no package gives them theirs."""
    text = (layout_folder() / "keyboards.yml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return {KeyboardKind(kind): KeyboardGeometry.model_validate(board) for kind, board in content.items()}


@cache
def standard_legends() -> dict[Function, str]:
    """Return what is written on keys that write nothing themselves, by function."""
    keys = [key for board in standard_keyboards().values() for key in board.keys.values()]
    return {key.function: key.legend for key in keys if key.legend is not None and not key.text}
