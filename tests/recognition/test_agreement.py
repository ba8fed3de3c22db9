"""Letters settle each other's case."""

import pytest

from skin_pipeline.recognition.agreement import settle_case


def settled(texts: str) -> str:
    letters = texts.split()
    return " ".join(settle_case(letters, [0.99] * len(letters)))


def test_letters_of_one_shape_follow_the_lower_case() -> None:
    assert settled("q W e r t Z S d f g h I 123 EN") == "q w e r t z s d f g h l 123 EN"


def test_letters_of_one_shape_follow_the_upper_case() -> None:
    assert settled("Q w E R T z s D F G H l 1") == "Q W E R T Z S D F G H I 1"


def test_a_lone_mistake_does_not_change_the_vote() -> None:
    assert settled("q e r t d f g h B n W") == "q e r t d f g h B n w"


@pytest.mark.parametrize("texts", ["q e W", "q e r D F G W", "前往 空格 W s"])
def test_nothing_changes_without_a_clear_vote(texts: str) -> None:
    assert settled(texts) == texts


def test_unsure_letters_do_not_vote() -> None:
    assert settle_case(["q", "e", "r", "t", "W"], [0.5, 0.99, 0.99, 0.99, 0.99])[-1] == "W"
