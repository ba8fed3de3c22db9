"""What the legends of one keyboard say about each other.

A recogniser sees one crop at a time, each scaled to the same height. The rest of the keyboard knows more:

* It cannot tell ``w`` from ``W``, but ``a`` and ``A`` look different, and a keyboard shows one case
  (:func:`settle_case`).
* Where letters lie in the order of a known layout (:mod:`.layouts`), the layout is a second witness for each
  of them, and names those that were not found or were taken for something else: a dot for the top of an
  ``i`` (:func:`agree_with_layout`).
* Icons are read as text: a magnifying glass as ``Q``, a clipboard as ``自``, a tick as ``L``, at any size and
  with great certainty. Lone letters that the layout has elsewhere, and lone ideographs among letters, are
  doubted.

Nothing is left out here. What the keyboard says raises or lowers a reading's confidence, and the stages that
use the readings apply their gate to that.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skin_pipeline.geometry import FloatArray, as_quads, boxes_of
from skin_pipeline.recognition.layouts import Row, expected_row, find_rows, least_hits
from skin_pipeline.recognition.read_text import ReadText

SAME_SHAPE = frozenset("cjkopsuvwxyz")
"""Letters whose two cases differ in size only, or nearly."""
STROKES = frozenset("Il")
"""Two letters of one shape: the upper case of i, and l."""
SURE = 0.9
"""A letter votes if its confidence is above this."""
ROW_SURE = 0.5
"""A letter that lies in its place in a row votes if its confidence is above this."""
LEAST_VOTES = 4
"""Letters of certain case that a keyboard must show before the others follow them."""
MAJORITY = 0.85
"""Share of them that must agree."""

LOOK_ALIKES = {
    "i": "l1|!ìí:",
    "j": ";]),",
    "l": "i1|!",
    "o": "0〇○。°",
    "q": "9g",
    "g": "9q",
    "s": "5$",
    "z": "2",
    "b": "6",
    "t": "+†",
    "x": "×✕",
    "c": "(",
    "h": "n",
    "1": "lij|!丨",
    "0": "o〇○。°",
    "5": "s",
    "2": "z",
    "6": "b",
    "9": "q",
}
"""What else a character in its place may be read as, in lower case."""
LOOK_ALIKE_CONFIDENCE = 0.5
"""How far a look-alike in its place speaks for the character that the layout has there."""
NUM_CHOICES = 26
"""Letters that a chance agreement would have to pick from."""
CELL_WIDTH = 0.36
"""A character of a row is looked for this far from its place to each side, in pitches."""
LEAST_CELL_WIDTH = 0.1
"""The same to the right at least, if a small character lies there."""
SMALL = 0.6
"""Text lower than this share of a row's letters lies beside them."""
CELL_MARGIN = 0.08
"""Above and below the row's highest and lowest ink, in pitches."""
FUNCTION_IDEOGRAPHS = frozenset("中英符数拼笔简繁半全空删换发回前搜去取清重")
"""Ideographs that stand alone on function keys of Chinese keyboards."""
DOTS = frozenset("•●·∙○■▪")
"""What full stops and parts of icons are read as."""
CHANCE_OF_LONE = 0.5
"""How likely another lone ideograph among letters, or a dot, is a legend that was read rightly."""

ReadQuads = Callable[[FloatArray], list[tuple[FloatArray, str, float]]]
"""Reads quads (N, 4, 2) of the picture again: of each the quad around its ink, text and confidence."""


def agree_with_layout(found: Sequence[ReadText], read_quads: ReadQuads) -> list[ReadText]:
    """Let the layout confirm, correct, complete and doubt what was read.

    Args:
        found: All that was read on one keyboard.
        read_quads: Reads places again.

    Returns:
        The readings with the confidence that recogniser and layout give them together, those that overlap a
        character of a row replaced by it. Unchanged where no row of a known layout was found.
    """
    centres = np.array([text.quad.mean(axis=0) for text in found]).reshape(-1, 2)
    rows = find_rows([text.text for text in found], centres)
    if not rows:
        return list(found)
    upper = _case_of(rows, found)
    rows, added = _complete(rows, found, read_quads)
    confirmed = {
        index: _confirm(found[index], row, column, upper, counted=True)
        for row in rows
        for column, index in row.members.items()
    }
    completed = [
        _confirm(text, row, column, upper, counted=not row.members)
        for row, texts in zip(rows, added, strict=True)
        for column, text in texts.items()
    ]
    rest = [text for index, text in enumerate(found) if index not in confirmed]
    rest = [_doubt(text, rows) for text in rest if not _covers_any(text, completed)]
    return [*confirmed.values(), *completed, *rest]


def joint_confidence(confidence: float, reliability: float) -> float:
    """Return how sure a character is that two witnesses name independently.

    By Bayes' rule; two that are wrong independently agree in one of :data:`NUM_CHOICES` cases.

    Args:
        confidence: The recogniser's, 0 to 1.
        reliability: The layout's, 0 to 1.
    """
    both_right = confidence * reliability
    both_wrong = (1 - confidence) * (1 - reliability) / (NUM_CHOICES - 1)
    return both_right / (both_right + both_wrong)


def _confirm(text: ReadText, row: Row, column: int, upper: bool | None, *, counted: bool) -> ReadText:
    """Give a character in its place the layout's name and the confidence of both witnesses."""
    character = row.characters[column]
    same = text.text.lower() == character
    written = text.text if same else character
    if upper is not None and character.isalpha():
        written = character.upper() if upper else character
    own = text.confidence if same else min(text.confidence, LOOK_ALIKE_CONFIDENCE)
    return text.corrected(written, joint_confidence(own, row.reliability(counted=counted)))


def _case_of(rows: Sequence[Row], found: Sequence[ReadText]) -> bool | None:
    """Return whether the letters of the rows are upper case; None if they do not tell."""
    members = [found[index] for row in rows for index in row.members.values()]
    return _vote([text.text for text in members if text.confidence > ROW_SURE])


def _complete(
    rows: Sequence[Row], found: Sequence[ReadText], read_quads: ReadQuads
) -> tuple[list[Row], list[dict[int, ReadText]]]:
    """Look for the characters that are missing in the rows, and for all of a row that is missing as a whole.

    Returns:
        The rows, with the missing one if it is there, and the characters added to each, by column.
    """
    missing = expected_row(rows)
    all_rows = [*rows, missing] if missing else list(rows)
    wanted = [
        (row, column)
        for row in all_rows
        for column in range(len(row.characters))
        if column not in row.members
    ]
    extents = {row.characters: _extent(row if row.members else rows[0], found) for row in all_rows}
    cells = [_cell(row, column, extents[row.characters], found) for row, column in wanted]
    added: dict[str, dict[int, ReadText]] = {row.characters: {} for row in all_rows}
    for (row, column), (quad, text, confidence) in zip(wanted, read_quads(as_quads(cells)), strict=True):
        if _may_be(text, row.characters[column]):
            added[row.characters][column] = ReadText(text, confidence, quad, recognised=("", 0.0))
    if missing:
        hits = len(added[missing.characters])
        all_rows = (
            [*rows, replace(missing, hits=hits)] if hits >= least_hits(missing.characters) else all_rows[:-1]
        )
    return all_rows, [added[row.characters] for row in all_rows]


def _extent(row: Row, found: Sequence[ReadText]) -> tuple[float, float, float]:
    """Return how far a row's ink reaches above and below its line, and its median height, in pixels."""
    boxes = boxes_of([found[index].quad for index in row.members.values()])
    lines = np.array([row.place(column)[1] for column in row.members])
    margin = CELL_MARGIN * row.pitch
    up, down = (lines - boxes[:, 1]).max() + margin, (boxes[:, 3] - lines).max() + margin
    return float(up), float(down), float(np.median(boxes[:, 3] - boxes[:, 1]))


def _cell(row: Row, column: int, extent: tuple[float, float, float], found: Sequence[ReadText]) -> FloatArray:
    """Return the quad in which a row's character should lie, (4, 2), clear of small characters beside it."""
    (x, y), pitch, (up, down, height) = row.place(column), row.pitch, extent
    left, right = x - CELL_WIDTH * pitch, x + CELL_WIDTH * pitch
    for box in boxes_of([text.quad for text in found]):
        is_small = box[3] - box[1] < SMALL * height
        if is_small and x < box[0] < right and abs(box[[1, 3]].mean() - y) < up:
            right = max(float(box[0]), x + LEAST_CELL_WIDTH * pitch)
    return np.array([[left, y - up], [right, y - up], [right, y + down], [left, y + down]])


def _may_be(text: str, character: str) -> bool:
    return text.lower() == character or (len(text) == 1 and text.lower() in LOOK_ALIKES.get(character, ""))


def _covers_any(text: ReadText, others: Sequence[ReadText]) -> bool:
    """Say whether a reading lies over the middle of another, or inside it."""
    box = boxes_of(text.quad)[0]
    middle = text.quad.mean(axis=0)
    for other in others:
        inner, centre = boxes_of(other.quad)[0], other.quad.mean(axis=0)
        if _holds(box, centre) or _holds(inner, middle):
            return True
    return False


def _holds(box: FloatArray, point: FloatArray) -> bool:
    return bool((box[:2] <= point).all() and (point <= box[2:]).all())


def _doubt(text: ReadText, rows: Sequence[Row]) -> ReadText:
    """Lower the confidence of a lone character off the rows that an icon may have been taken for."""
    chance = _chance_of_legend(text.text.lower(), rows)
    return text if chance == 1 else text.corrected(text.text, text.confidence * chance)


def _chance_of_legend(character: str, rows: Sequence[Row]) -> float:
    """Return how likely text off the rows is a legend, however sure the recogniser is of its shape."""
    if len(character) != 1:
        return 1.0
    for row in rows:
        if character in row.characters:
            return 1 - row.reliability(counted=True)  # never certain, so never 0
    is_ideograph = "\u3400" <= character <= "\u9fff" and character not in FUNCTION_IDEOGRAPHS
    return CHANCE_OF_LONE if is_ideograph or character in DOTS else 1.0


def settle_case(texts: Sequence[str], confidences: Sequence[float]) -> list[str]:
    """Give single letters of uncertain case the case of the letters whose shape tells it.

    Args:
        texts: All that was read on one keyboard.
        confidences: How sure each reading is, 0 to 1.

    Returns:
        The same texts, single letters of :data:`SAME_SHAPE` and :data:`STROKES` in the keyboard's case. If
        the keyboard shows too few letters, or both cases, nothing is changed.
    """
    pairs = zip(texts, confidences, strict=True)
    upper = _vote([text for text, confidence in pairs if confidence > SURE and _is_letter(text)])
    return list(texts) if upper is None else [_in_case(text, upper=upper) for text in texts]


def _vote(letters: Sequence[str]) -> bool | None:
    """Return whether letters are upper case by those whose shape tells it; None without a clear majority."""
    votes = [
        text.isupper()
        for text in letters
        if _is_letter(text) and text.lower() not in SAME_SHAPE and text not in STROKES
    ]
    if len(votes) < LEAST_VOTES:
        return None
    share_upper = sum(votes) / len(votes)
    if share_upper >= MAJORITY:
        return True
    return False if share_upper <= 1 - MAJORITY else None


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text.isalpha()


def _in_case(text: str, *, upper: bool) -> str:
    if text in STROKES:
        return "I" if upper else "l"
    if _is_letter(text) and text.lower() in SAME_SHAPE:
        return text.upper() if upper else text.lower()
    return text
