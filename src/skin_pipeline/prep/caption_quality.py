"""Quality of captions: what captioners get wrong, as numbers.

Only the words between prefix and suffix are looked at; those two are the user's.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from skin_pipeline.base_models import EMBEDDED

BLIP_ARTEFACTS = ("araf*", "watermark*", "shutterstock", "stock photo")
"""What BLIP writes when it has nothing to say: "arafed" and its kin, a word of its training data that means
nothing, and the marks that lay over its training pictures."""

_TOKENIZER = EMBEDDED["embedded"] / "tokenizer" / "tokenizer.json"
_STOP_WORDS = frozenset(
    {"a", "an", "and", "at", "by", "for", "from", "in", "is", "it", "its", "of", "on", "the", "to", "with"}
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NO_WORD = re.compile(r"(.)\1\1|[^aeiouy\W\d]{7}|^[^aeiouy\W\d]{4,}$|[a-z]\d|\d[a-z]{3}")
"""Latin letters that no English word has so: three alike, seven consonants in a row, four or more without any
vowel, digits amid letters."""


def caption_words(record: Mapping[str, Any]) -> str:
    """Return what the engine said: a caption without its prefix and suffix.

    Args:
        record: Of the stage ``captions``: ``caption``, ``prefix`` and ``suffix``.
    """
    words = str(record["caption"]).removesuffix(record["suffix"])
    prefix = str(record["prefix"])
    if not words.startswith(prefix):  # a caption without words loses the "of" of its prefix, too
        return "" if prefix.startswith(words) else words
    return words.removeprefix(prefix).strip(" ,")


def count_tokens(text: str) -> int:
    """Count the tokens of a text as CLIP's text encoder takes it, begin and end included.

    The shipped tokenizer counts. Its vocabulary is a small one, so CLIP's own needs as many or fewer.
    """
    return len(_tokenizer().encode(text).ids)


def tokenizer_digest() -> str:
    """Return the sha256 of the tokenizer that counts."""
    return hashlib.sha256(_TOKENIZER.read_bytes()).hexdigest()


@cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_TOKENIZER))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case; a run of characters of any script counts as one."""
    return [word.lower() for word in _WORD.findall(text)]


def repeated_words(text: str) -> tuple[float, list[str]]:
    """Measure the share of a text's words that were said before; articles and the like do not count.

    Returns:
        0 to 1, and the words that are said again.
    """
    words = [word for word in words_of(text) if word not in _STOP_WORDS]
    again = [word for position, word in enumerate(words) if word in words[:position]]
    return (round(len(again) / len(words), 3) if words else 0.0), sorted(set(again))


def find_non_words(text: str) -> list[str]:
    """Return the words of a text that cannot be English, by their letters; other scripts are left alone."""
    return [word for word in words_of(text) if word.isascii() and _NO_WORD.search(word)]


def find_terms(text: str, terms: Sequence[str]) -> list[str]:
    """Return the terms that a text holds.

    Args:
        text: A caption.
        terms: Words or phrases; a ``*`` at the end stands for any ending. Case does not count.
    """
    joined = f" {' '.join(words_of(text))} "
    return [term for term in terms if _pattern(term).search(joined)]


@cache
def _pattern(term: str) -> re.Pattern[str]:
    body = " ".join(words_of(term))
    return re.compile(f" {re.escape(body)}" + ("" if term.endswith("*") else " "))
