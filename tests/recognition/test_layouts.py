import numpy as np
import pytest

from skin_pipeline.recognition.layouts import expected_row, find_rows

PITCH = 100.0


def keyboard(*rows: str) -> tuple[list[str], np.ndarray]:
    """Place the characters of rows at even distances, rows around one middle; ``.`` is a gap."""
    places = [
        (character, (450 + PITCH * (column - (len(characters) - 1) / 2), 120.0 * row))
        for row, characters in enumerate(rows)
        for column, character in enumerate(characters)
        if character != "."
    ]
    return [character for character, _ in places], np.array([place for _, place in places])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (("QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM"), ["qwertyuiop", "asdfghjkl", "zxcvbnm"]),
        (("qwertzuiop", "asdfghjkl", "yxcvbnm"), ["qwertzuiop", "asdfghjkl", "yxcvbnm"]),
        (("azertyuiop", "qsdfghjklm", "wxcvbn"), ["azertyuiop", "qsdfghjklm", "wxcvbn"]),
        (("1234567890",), ["1234567890"]),
    ],
)
def test_rows_of_known_layouts_are_found(rows: tuple[str, ...], expected: list[str]) -> None:
    found = find_rows(*keyboard(*rows))
    assert [row.characters for row in found] == expected
    assert all(len(row.members) == len(row.characters) for row in found)
    np.testing.assert_allclose(found[0].step, [PITCH, 0], atol=1e-6)


def test_gaps_and_strays_do_not_move_a_row() -> None:
    texts, centres = keyboard("q.e.t.u.op")
    texts += ["Q", "空格", "p"]  # a magnifying glass, a word, and a letter elsewhere
    centres = np.vstack([centres, [[930, 300], [400, 300], [20, 250]]])
    (row,) = find_rows(texts, centres)
    assert sorted(row.members) == [0, 2, 4, 6, 8, 9]
    np.testing.assert_allclose(row.place(3), [300, 0], atol=1e-6)
    assert row.pitch == pytest.approx(PITCH)


@pytest.mark.parametrize("rows", [("ABC", "DEF"), ("qwe",), ("poiuytrewq",), ("123", "456", "789")])
def test_other_arrangements_are_no_rows(rows: tuple[str, ...]) -> None:
    assert find_rows(*keyboard(*rows)) == []


def test_uneven_letters_are_no_row() -> None:
    texts, centres = keyboard("qwertyuiop")
    centres[:, 0] = 15.0 * np.arange(10) ** 2
    assert find_rows(texts, centres) == []


def test_no_text_has_no_rows() -> None:
    assert find_rows([], np.zeros((0, 2))) == []


def test_a_column_is_judged_by_the_others() -> None:
    (row,) = find_rows(*keyboard("qwerty...."))
    assert row.reliability(counted=True) == pytest.approx(6 / 11)
    assert row.reliability(counted=False) == pytest.approx(7 / 11)


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_two_rows_tell_where_the_third_is(missing: int) -> None:
    rows = ["QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM"]
    (expected,) = (row for row in find_rows(*keyboard(*rows)) if row.characters == rows[missing].lower())
    rows[missing] = ""
    row = expected_row(find_rows(*keyboard(*rows)))
    assert row is not None
    assert (row.characters, row.members) == (expected.characters, {})
    np.testing.assert_allclose(row.origin, expected.origin, atol=1e-6)
    np.testing.assert_allclose(row.step, expected.step, atol=1e-6)


def test_one_row_or_two_layouts_tell_nothing() -> None:
    assert expected_row(find_rows(*keyboard("qwertyuiop"))) is None
    assert expected_row(find_rows(*keyboard("qwertyuiop", "asdfghjkl", "zxcvbnm"))) is None
    assert expected_row([]) is None
