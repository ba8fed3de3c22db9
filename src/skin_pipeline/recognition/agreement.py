"""What the legends of one keyboard say about each other.

A recogniser sees one crop at a time, each scaled to the same height, so it cannot tell ``w`` from ``W``. The
other letters of the keyboard can: ``a`` and ``A`` look different, and a keyboard shows one case.
"""

from collections.abc import Sequence

SAME_SHAPE = frozenset("cjkopsuvwxyz")
"""Letters whose two cases differ in size only, or nearly."""
STROKES = frozenset("Il")
"""Two letters of one shape: the upper case of i, and l."""
SURE = 0.9
"""A letter votes if its confidence is above this."""
LEAST_VOTES = 4
"""Letters of certain case that a keyboard must show before the others follow them."""
MAJORITY = 0.85
"""Share of them that must agree."""


def settle_case(texts: Sequence[str], confidences: Sequence[float]) -> list[str]:
    """Give single letters of uncertain case the case of the letters whose shape tells it.

    Args:
        texts: All that was read on one keyboard.
        confidences: How sure each reading is, 0 to 1.

    Returns:
        The same texts, single letters of :data:`SAME_SHAPE` and :data:`STROKES` in the keyboard's case. If
        the keyboard shows too few letters, or both cases, nothing is changed.
    """
    votes = [
        text.isupper()
        for text, confidence in zip(texts, confidences, strict=True)
        if confidence > SURE and _is_letter(text) and text.lower() not in SAME_SHAPE and text not in STROKES
    ]
    if len(votes) < LEAST_VOTES:
        return list(texts)
    share_upper = sum(votes) / len(votes)
    if share_upper >= MAJORITY:
        return [_in_case(text, upper=True) for text in texts]
    if share_upper <= 1 - MAJORITY:
        return [_in_case(text, upper=False) for text in texts]
    return list(texts)


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text.isalpha()


def _in_case(text: str, *, upper: bool) -> str:
    if text in STROKES:
        return "I" if upper else "l"
    if _is_letter(text) and text.lower() in SAME_SHAPE:
        return text.upper() if upper else text.lower()
    return text
