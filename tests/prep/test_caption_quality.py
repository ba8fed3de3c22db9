import pytest
from transformers import AutoTokenizer

from skin_pipeline.base_models import EMBEDDED
from skin_pipeline.prep.caption_quality import (
    BLIP_ARTEFACTS,
    caption_words,
    count_tokens,
    find_non_words,
    find_terms,
    repeated_words,
    words_of,
)
from skin_pipeline.prep.captions import compose_caption

FRAME = {"prefix": "a keyboard skin of", "suffix": ",iflyskin"}


@pytest.mark.parametrize("words", ["", "blue keys, dark", "a blue a keyboard skin of"])
def test_words_are_what_the_engine_said(words: str) -> None:
    caption = compose_caption(words, FRAME["prefix"], FRAME["suffix"])
    assert caption_words({"caption": caption, **FRAME}) == words


def test_words_of_a_caption_without_frame() -> None:
    assert caption_words({"caption": "blue keys", "prefix": "", "suffix": ""}) == "blue keys"


@pytest.mark.parametrize("text", ["a keyboard skin of blue keys,iflyskin", "", "word " * 100])
def test_tokens_are_those_of_the_shipped_tokenizer(text: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED["embedded"] / "tokenizer")
    assert count_tokens(text) == len(tokenizer(text, padding=False, truncation=False).input_ids)


def test_repeated_words() -> None:
    assert repeated_words("a cat with a hat in the house of the cat") == (0.25, ["cat"])
    assert repeated_words("White keys, white legends, WHITE") == (0.4, ["white"])
    assert repeated_words("") == (0.0, [])


def test_words_that_cannot_be_english() -> None:
    good = "the qwerty keyboard has strengths and rhythms, catchphrases, 26-key layouts, 3d and 4k, o'clock"
    assert find_non_words(good) == []
    assert find_non_words("aaaargh xkcd qx7r bcdfghjk 前往前往前往") == [
        "aaaargh",
        "xkcd",
        "qx7r",
        "bcdfghjk",
    ]


def test_terms_match_words_phrases_and_beginnings() -> None:
    assert find_terms("An Arafed keyboard, stock-photo", BLIP_ARTEFACTS) == ["araf*"]
    assert find_terms("a stock photo of watermarks", BLIP_ARTEFACTS) == ["watermark*", "stock photo"]
    assert find_terms("a scarafage of stocks", BLIP_ARTEFACTS) == []
    assert find_terms("anything", ()) == []


def test_words_of_any_script() -> None:
    assert words_of("Blue keys, o'clock – 前往, x_y") == ["blue", "keys", "o'clock", "前往", "x", "y"]
