from dataclasses import astuple, replace
from io import BytesIO
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from skin_pipeline.prep.duplicates import (
    Look,
    PlacedText,
    colour_distances,
    colour_grid,
    decode_colours,
    find_look_alikes,
    find_repeats,
    hash_distance,
    legends_agree,
    near_duplicate_groups,
    near_duplicate_pairs,
    perceptual_hash,
    pixel_digest,
)

from .conftest import draw_skin, encoded

GRAY_GRID = colour_grid(np.full((12, 12, 3), 128, np.uint8))

few_bits = st.sets(st.integers(0, 63), max_size=4).map(lambda bits: sum(1 << bit for bit in bits))
hash_lists = st.lists(st.builds(int.__xor__, st.sampled_from([0, 2**64 - 1, 0xF0F0]), few_bits), max_size=24)


def _named(values: list[int]) -> dict[str, str]:
    return {f"skin_{number:02}": f"{value:016x}" for number, value in enumerate(values)}


def _gray(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"))


@settings(deadline=None)  # a shared machine
@given(hash_lists, st.integers(0, 8))
def test_pairs_are_those_that_comparing_all_finds(values: list[int], max_bits: int) -> None:
    hashes = _named(values)
    expected = [pair for pair in combinations(hashes, 2) if hash_distance(*map(hashes.get, pair)) <= max_bits]
    assert sorted(near_duplicate_pairs(hashes, max_bits)) == expected


def placed(texts: str) -> tuple[PlacedText, ...]:
    """Lay legends side by side."""
    return tuple(PlacedText(text, 0.05 + 0.1 * place, 0.5, 0.05, 0.1) for place, text in enumerate(texts))


def look(hash_: str, colours: str | None = None, legends: tuple[PlacedText, ...] = ()) -> Look:
    return Look(hash_, colours or GRAY_GRID, {"legends": [astuple(text) for text in legends]})


def looks_of(values: list[int], legends: str = "") -> dict[str, Look]:
    return {
        item_id: look(hash_, legends=placed(legends[number : number + 1]))
        for number, (item_id, hash_) in enumerate(_named(values).items())
    }


@settings(deadline=None)  # a shared machine
@given(hash_lists, st.integers(0, 8))
def test_kept_skins_are_apart_and_each_other_repeats_one(values: list[int], max_bits: int) -> None:
    looks = looks_of(values)
    repeats = find_repeats(looks, max_bits, 2.3)
    kept = set(looks) - set(repeats)
    distance = {pair: hash_distance(*(looks[item].phash for item in pair)) for pair in combinations(looks, 2)}
    assert all(distance[pair] > max_bits for pair in combinations(sorted(kept), 2))
    for item_id, pair in repeats.items():
        assert (pair.first in kept, pair.second) == (True, item_id)
        assert pair.bits == distance[pair.first, item_id] <= max_bits


def test_skins_that_differ_in_text_only_do_not_repeat_each_other() -> None:
    looks = looks_of([0, 0, 0, 1], "aba")
    repeats = {item: pair.first for item, pair in find_repeats(looks, 3, 2.3).items()}
    assert repeats == {"skin_02": "skin_00", "skin_03": "skin_00"}  # nothing was read on skin_03


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("qwerty", "qwerty", True),
        ("qwerty", "QWERTY", True),
        ("qwerty", "qwertz", False),
        ("o1", "0l", True),
        ("qwerty", "q e  y", True),  # some were not read; a space is no legend
        ("qwerty", "", True),
        ("前往空格", "前往空行", False),
    ],
)
def test_legends_agree_where_both_were_read(first: str, second: str, agree: bool) -> None:
    firsts, seconds = (tuple(text for text in placed(row) if text.text != " ") for row in (first, second))
    assert legends_agree(firsts, seconds) is agree
    assert legends_agree(seconds, firsts) is agree


def test_legends_elsewhere_are_no_partners() -> None:
    moved = tuple(replace(text, y=0.8) for text in placed("qwerty"))
    assert not legends_agree(placed("qwerty"), moved)
    shaken = tuple(replace(text, x=text.x + 0.01, height=0.12) for text in placed("qwerty"))
    assert legends_agree(placed("qwerty"), shaken)


def test_skins_that_differ_in_one_keys_colour_do_not_repeat_each_other() -> None:
    skin = np.full((240, 360, 3), 40, np.uint8)
    accented = skin.copy()
    accented[180:220, 300:340] = (200, 60, 60)
    looks = {name: look("0" * 16, colour_grid(pixels)) for name, pixels in (("a", skin), ("b", accented))}
    (pair,) = find_look_alikes(looks, 0, 100)
    assert pair.colour_distance > 10
    assert find_repeats(looks, 0, 2.3) == {}
    assert set(find_repeats(looks, 0, 100)) == {"b"}


@pytest.mark.parametrize("quality", [90, 70])
def test_another_encoding_has_the_same_colours(quality: int) -> None:
    skin = draw_skin(4, (400, 300))
    other = Image.open(BytesIO(encoded(skin, "JPEG", quality=quality, subsampling=0))).convert("RGB")
    grids = decode_colours(
        [colour_grid(np.asarray(picture)) for picture in (skin, other, skin.resize((200, 150)))]
    )
    assert colour_distances(grids[[0, 0]], grids[1:]).max() < 2.3


def test_the_colour_distance_of_known_colours() -> None:
    grids = decode_colours([colour_grid(np.full((30, 30, 3), level, np.uint8)) for level in (0, 255)])
    np.testing.assert_allclose(colour_distances(grids[[0, 0]], grids[[1, 0]]), [100, 0], atol=0.01)
    assert colour_distances(grids[:0], grids[:0]).shape == (0,)


def test_groups_join_chains() -> None:
    hashes = _named([0b0, 0b111, 0b111111, 2**64 - 1, 0b0])
    assert near_duplicate_groups(hashes, 3) == [["skin_00", "skin_01", "skin_02", "skin_04"], ["skin_03"]]
    assert near_duplicate_groups(hashes, 0) == [["skin_00", "skin_04"], ["skin_01"], ["skin_02"], ["skin_03"]]
    assert near_duplicate_groups({}, 3) == []


def test_a_thousand_equal_hashes_are_one_group() -> None:
    hashes = {f"skin_{number}": "0" * 16 for number in range(1000)}
    assert len(near_duplicate_groups(hashes, 3)) == 1
    assert len(find_repeats({item: look(hash_) for item, hash_ in hashes.items()}, 3, 2.3)) == 999


@pytest.mark.parametrize("seed", range(8))
def test_a_smaller_or_brighter_copy_hashes_alike_and_another_skin_does_not(seed: int) -> None:
    skin = draw_skin(seed, (400, 300))
    original = perceptual_hash(_gray(skin))
    assert hash_distance(original, perceptual_hash(_gray(skin.resize((200, 150))))) <= 3
    assert (
        hash_distance(
            original, perceptual_hash(np.clip(_gray(skin).astype(int) + 8, 0, 255).astype(np.uint8))
        )
        <= 3
    )
    assert hash_distance(original, perceptual_hash(_gray(draw_skin(seed + 50, (400, 300))))) > 8


def test_the_hash_of_a_known_picture() -> None:
    x, y = np.meshgrid(np.arange(32) + 0.5, np.arange(32) + 0.5)
    wave = np.cos(np.pi * 3 * x / 32) * np.cos(np.pi * 2 * y / 32)  # a single frequency: row 2, column 3
    hash_ = int(perceptual_hash((128 + 100 * wave).astype(np.uint8)), 16)
    assert hash_ >> (63 - (2 * 8 + 3)) & 1
    assert hash_ >> 63  # and the mean


def test_the_digest_knows_shape_and_pixels() -> None:
    wide, tall = np.zeros((2, 3, 3), np.uint8), np.zeros((3, 2, 3), np.uint8)
    assert pixel_digest(wide) != pixel_digest(tall)
    assert pixel_digest(wide) == pixel_digest(np.zeros((2, 6, 3), np.uint8)[:, ::2])
