from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from skin_pipeline.prep.duplicates import (
    hash_distance,
    near_duplicate_groups,
    near_duplicate_pairs,
    near_duplicates_of_kept,
    perceptual_hash,
    pixel_digest,
)

from .conftest import draw_skin

few_bits = st.sets(st.integers(0, 63), max_size=4).map(lambda bits: sum(1 << bit for bit in bits))
hash_lists = st.lists(st.builds(int.__xor__, st.sampled_from([0, 2**64 - 1, 0xF0F0]), few_bits), max_size=24)


def _named(values: list[int]) -> dict[str, str]:
    return {f"skin_{number:02}": f"{value:016x}" for number, value in enumerate(values)}


def _gray(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("L"))


@given(hash_lists, st.integers(0, 8))
def test_pairs_are_those_that_comparing_all_finds(values: list[int], max_bits: int) -> None:
    hashes = _named(values)
    expected = [pair for pair in combinations(hashes, 2) if hash_distance(*map(hashes.get, pair)) <= max_bits]
    assert sorted(near_duplicate_pairs(hashes, max_bits)) == expected


@given(hash_lists, st.integers(0, 8))
def test_kept_skins_are_apart_and_each_other_is_near_one(values: list[int], max_bits: int) -> None:
    hashes = _named(values)
    near = near_duplicates_of_kept(hashes, max_bits)
    kept = set(hashes) - set(near)
    assert all(hash_distance(hashes[a], hashes[b]) > max_bits for a, b in combinations(kept, 2))
    for item_id, other in near.items():
        assert other in kept
        assert other < item_id
        assert hash_distance(hashes[item_id], hashes[other]) <= max_bits


def test_groups_join_chains() -> None:
    hashes = _named([0b0, 0b111, 0b111111, 2**64 - 1, 0b0])
    assert near_duplicate_groups(hashes, 3) == [["skin_00", "skin_01", "skin_02", "skin_04"], ["skin_03"]]
    assert near_duplicate_groups(hashes, 0) == [["skin_00", "skin_04"], ["skin_01"], ["skin_02"], ["skin_03"]]
    assert near_duplicate_groups({}, 3) == []


def test_a_thousand_equal_hashes_are_one_group() -> None:
    hashes = {f"skin_{number}": "0" * 16 for number in range(1000)}
    assert len(near_duplicate_groups(hashes, 3)) == 1
    assert len(near_duplicates_of_kept(hashes, 3)) == 999


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
