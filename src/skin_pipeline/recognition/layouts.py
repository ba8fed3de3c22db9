"""Where the rows of a known layout lie on a keyboard, from what was read on it.

Keyboards differ in everything but the order of their letters. Ten letters read at even distances in the order
``q w e r t z u i o p`` are no accident, and they tell where the letters lie that were not read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from skin_pipeline.geometry import FloatArray

LETTER_ROWS = {
    "qwerty": ("qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("qwertzuiop", "asdfghjkl", "yxcvbnm"),
    "azerty": ("azertyuiop", "qsdfghjklm", "wxcvbn"),
}
"""Layouts of 26 keys; where two explain the same readings, the first one is taken."""
DIGIT_ROWS = ("1234567890",)
"""A row of its own, or small beside the first letters."""

LEAST_MEMBERS = 4
LEAST_SHARE = 0.6
"""Characters that must lie in their places, and their share of the row; half may do so by accident."""
OFF_PLACE = 0.25
"""How far a character of a row may lie from its place, in pitches of the row, in each direction."""


@dataclass(frozen=True)
class Row:
    """A row of a known layout, found on a keyboard."""

    characters: str
    """Lower case, from left to right."""
    origin: FloatArray
    """Where the first character should be, (2,), pixels."""
    step: FloatArray
    """From one character to the next, (2,), pixels."""
    members: dict[int, int]
    """Readings that lie in their places: index by column."""
    hits: int
    """Characters that were read where they should be."""

    @property
    def pitch(self) -> float:
        """Distance of neighbours in pixels."""
        return float(np.hypot(*self.step))

    @property
    def middle(self) -> FloatArray:
        """The middle between the first and the last character, (2,), pixels."""
        return self.origin + (len(self.characters) - 1) / 2 * self.step

    def place(self, column: int) -> FloatArray:
        """Return where a character should be, (2,)."""
        return self.origin + column * self.step

    def reliability(self, *, counted: bool) -> float:
        """Return how likely the row names a character rightly, by the other characters that it named rightly.

        Laplace's rule of succession, (hits + 1) / (places + 2), over the other places.

        Args:
            counted: Whether the character is itself one of the hits.
        """
        return (self.hits - counted + 1) / (len(self.characters) + 1)


def find_rows(texts: Sequence[str], centres: FloatArray) -> list[Row]:
    """Find the rows of the layout that explains most of what was read.

    Args:
        texts: All that was read on a keyboard, case and all.
        centres: Where, (N, 2), pixels.

    Returns:
        Rows of letters of one layout, then a row of digits; those of which too little was read are left out.
    """
    found = [list(_fitted(rows, texts, centres)) for rows in LETTER_ROWS.values()]
    letters = max(found, key=lambda rows: sum(len(row.members) for row in rows))
    return [*letters, *_fitted(DIGIT_ROWS, texts, centres)]


def least_hits(characters: str) -> float:
    """Return how many characters of a row must lie in their places."""
    return max(LEAST_MEMBERS, LEAST_SHARE * len(characters))


def expected_row(rows: Sequence[Row]) -> Row | None:
    """Say where the third row of letters should lie, if two of a layout were found.

    Rows lie at even distances, and their middles on a line.

    Args:
        rows: What :func:`find_rows` found.

    Returns:
        The row, without a hit; None if not two rows are known, or if they belong to several layouts.
    """
    known = {row.characters: row for row in rows if row.characters not in DIGIT_ROWS}
    layouts = [layout for layout in LETTER_ROWS.values() if known.keys() <= set(layout)]
    if len(known) != 2 or len(layouts) != 1:
        return None
    (layout,) = layouts
    (first, one), (second, other) = ((at, known[name]) for at, name in enumerate(layout) if name in known)
    (missing,) = {0, 1, 2} - {first, second}
    apart = (other.middle - one.middle) / (second - first)
    step = (one.step + other.step) / 2
    characters = layout[missing]
    origin = one.middle + (missing - first) * apart - (len(characters) - 1) / 2 * step
    return Row(characters, origin, step, {}, 0)


def _fitted(rows: Sequence[str], texts: Sequence[str], centres: FloatArray) -> Iterator[Row]:
    for characters in rows:
        row = _fit_row(characters, texts, centres)
        if row is not None:
            yield row


def _fit_row(characters: str, texts: Sequence[str], centres: FloatArray) -> Row | None:
    """Find the even spacing at which most of a row's characters lie in their places."""
    candidates = [
        (characters.index(text.lower()), index)
        for index, text in enumerate(texts)
        if len(text) == 1 and text.lower() in characters
    ]
    best: dict[int, int] = {}
    for (column, index), (other_column, other_index) in combinations(candidates, 2):
        if column == other_column:
            continue
        step = (centres[other_index] - centres[index]) / (other_column - column)
        if step[0] <= abs(step[1]):  # rows run to the right
            continue
        members = _members(candidates, centres, centres[index] - column * step, step)
        if len(members) > len(best):
            best = members
    if len(best) < least_hits(characters):
        return None
    columns, at = np.array(list(best)), centres[list(best.values())]
    (step_x, step_y), (x, y) = np.polyfit(columns, at, 1)
    return Row(characters, np.array([x, y]), np.array([step_x, step_y]), best, len(best))


def _members(
    candidates: Sequence[tuple[int, int]], centres: FloatArray, origin: FloatArray, step: FloatArray
) -> dict[int, int]:
    """Return which readings lie where a row would have them; of two the nearer."""
    members: dict[int, int] = {}
    distances: dict[int, float] = {}
    for column, index in candidates:
        offset = np.abs(centres[index] - origin - column * step).max()
        if offset < min(OFF_PLACE * step[0], distances.get(column, np.inf)):
            members[column], distances[column] = index, float(offset)
    return members
