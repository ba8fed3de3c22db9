"""Keyboards without a look: where keys lie and what they do, as data.

Sheets carry the keyboards of the skin they were composed from, and skins that no package stands behind get
the standard ones; what is cut out of a sheet is put onto them.
"""

from functools import cache
from typing import Annotated, Any, Literal, Self

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
    Lettering,
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
    code: str = ""
    """What a tap tells the input method where that is not the text itself: a 9-key keyboard's digit."""

    @property
    def label(self) -> str:
        """What is written on it."""
        return self.text if self.legend is None else self.legend

    @property
    def place(self) -> Rect:
        """Where it is drawn."""
        return Rect(*self.rect)


class ListGeometry(Parameters):
    """A scrolling list: the column beside nine keys, or a row among keys."""

    rect: Corners
    """x, y, width, height in design pixels."""
    entries: tuple[str, ...]
    """What its cells write."""
    direction: Literal["column", "row"] = "column"
    """Which way it scrolls."""
    num_cells: Annotated[int, Field(ge=1)] | None = None
    """Cells that are seen at once; null: one for each entry."""


class KeyboardGeometry(Parameters):
    """A keyboard without a look."""

    size: tuple[Extent, Extent]
    """Width and height of the panel in design pixels."""
    bar: Corners | None
    """The candidate bar; above the panel y is negative."""
    is_bar_always_shown: bool = True
    """False if the bar is there only with candidates."""
    keys: dict[str, KeyGeometry]
    """The keys by id, in the order in which they are drawn."""
    marks: ListGeometry | None = None
    """The scrolling list, if there is one."""

    @classmethod
    def of(cls, keyboard: Keyboard) -> Self:
        """Return the geometry of a skin's keyboard; decorations, which do nothing, belong to the panel."""
        strip = next((strip for strip in keyboard.lists if not strip.rect.is_empty), None)
        return cls(
            size=keyboard.size,
            bar=_corners(keyboard.bar.rect) if keyboard.bar else None,
            is_bar_always_shown=keyboard.bar is None or keyboard.bar.always_shown,
            keys={
                key.id: _key_geometry(keyboard, key)
                for key in keyboard.keys
                if key.function and not key.rect.is_empty
            },
            marks=_list_geometry(strip) if strip else None,
        )

    @property
    def panel(self) -> Rect:
        """The panel's rectangle."""
        return Rect(0, 0, *self.size)

    @property
    def bounds(self) -> Rect:
        """The panel with the bar, if that is there without candidates."""
        if self.bar is None or not self.is_bar_always_shown:
            return self.panel
        return self.panel.union(Rect(*self.bar))

    def keyboard(self, kind: KeyboardKind) -> Keyboard:
        """Return it as a keyboard that shows nothing yet."""
        keys = tuple(
            Key(
                name,
                key.place,
                Rect(*(key.touch or key.rect)),
                actions={Gesture.TAP: Action(key.function, key.text)},
                code=key.code,
            )
            for name, key in self.keys.items()
        )
        bar = CandidateBar(Rect(*self.bar), self.is_bar_always_shown) if self.bar else None
        return Keyboard(kind, str(kind), "portrait", self.size, keys=keys, bar=bar, lists=self._lists())

    def _lists(self) -> tuple[KeyList, ...]:
        if self.marks is None:
            return ()
        marks, place = self.marks, Rect(*self.marks.rect)
        count = marks.num_cells or max(1, len(marks.entries))
        is_row = marks.direction == "row"
        cell = (place.width / count, place.height) if is_row else (place.width, place.height / count)
        values = tuple(Action(Function.TEXT, entry) for entry in marks.entries)
        return (KeyList(place, marks.direction, cell, entries=marks.entries, values=values),)


def _list_geometry(strip: KeyList) -> ListGeometry:
    return ListGeometry(
        rect=_corners(strip.rect),
        entries=strip.entries,
        direction=strip.direction,
        num_cells=max(1, len(strip.cells())),
    )


def _key_geometry(keyboard: Keyboard, key: Key) -> KeyGeometry:
    action = key.actions[Gesture.TAP]
    touch = None if key.touch == key.rect or key.touch.is_empty else _corners(key.touch)
    return KeyGeometry(
        rect=_corners(key.rect),
        touch=touch,
        function=action.function,
        text=action.text,
        legend=_legend(keyboard, key),
        code=key.code,
    )


def _legend(keyboard: Keyboard, key: Key) -> str | None:
    """Return what is written on a key where it is not its text: its largest lettering, or a standard legend.

    Legends that are pictures cannot be read. Keys that stand for several letters have those of their digit.
    """
    written = [paint for layer in key.foregrounds if isinstance(paint := layer.appearance.normal, Lettering)]
    if written:
        largest = max(written, key=lambda lettering: lettering.size).text
        return None if largest == key.text else largest
    if not key.text:
        return standard_legends().get(key.actions[Gesture.TAP].function, "")
    digit = key.code or (key.text if _has_digits_for_letters(keyboard) else "")
    return standard_letters().get(digit) if len(key.text) == 1 else None


def _has_digits_for_letters(keyboard: Keyboard) -> bool:
    """Whether the digits of a keyboard are those of nine keys: nothing else on it can write letters."""
    writes_letters = any(key.function is Function.LETTER for key in keyboard.keys)
    return keyboard.kind in _OF_NINE_KEYS and not writes_letters


_OF_NINE_KEYS = frozenset(
    (KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_9, KeyboardKind.ENGLISH_9_UPPER, KeyboardKind.USER_9)
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


@cache
def standard_letters() -> dict[str, str]:
    """Return what is written on the keys of a 9-key keyboard, by digit."""
    keys = standard_keyboards()[KeyboardKind.PINYIN_9].keys.values()
    return {key.text: key.label for key in keys if key.text}
