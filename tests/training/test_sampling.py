import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skin_pipeline.training.sampling import SampleOrder, batches_of_one_size, seed_of


def test_every_epoch_sees_every_picture_once_in_another_order() -> None:
    order = SampleOrder(num_samples=7, batch_size=4, seed=0)
    draws = [draw for step in range(7) for draw in order.batch(step)]
    epochs = [[draw.index for draw in draws if draw.epoch == epoch] for epoch in range(4)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_a_batch_larger_than_the_set_goes_through_several_epochs() -> None:
    draws = SampleOrder(num_samples=2, batch_size=5, seed=0).batch(0)
    assert [draw.epoch for draw in draws] == [0, 0, 1, 1, 2]


def test_another_seed_is_another_order() -> None:
    def orders(seed: int) -> list[int]:
        return [draw.index for draw in SampleOrder(50, 50, seed).batch(0)]

    assert orders(0) == orders(0) != orders(1)


@pytest.mark.parametrize(("num_processes", "num_passes"), [(1, 1), (2, 1), (1, 4), (2, 2), (4, 1)])
def test_processes_and_passes_share_one_global_batch(num_processes: int, num_passes: int) -> None:
    order = SampleOrder(num_samples=10, batch_size=8, seed=3)
    shares = [list(order.passes(0, 6, num_passes, rank, num_processes)) for rank in range(num_processes)]
    for step in range(6):
        passes = range(step * num_passes, (step + 1) * num_passes)
        drawn = [draw for share in shares for number in passes for draw in share[number]]
        assert sorted(drawn, key=lambda draw: draw.slot) == order.batch(step)


def test_starting_later_is_the_tail_of_starting_at_once() -> None:
    order = SampleOrder(num_samples=5, batch_size=4, seed=1)
    whole = list(order.passes(0, 9, 2, 0, 1))
    assert list(order.passes(4, 9, 2, 0, 1)) == whole[8:]


def test_seeds_differ_with_every_part() -> None:
    parts = [("turn", 0, "a", 0, 0), ("turn", 1, "a", 0, 0), ("turn", 0, "b", 0, 0), ("turn", 0, "a", 1, 0)]
    seeds = [seed_of(*some) for some in [*parts, ("turn", 0, "a", 0, 1), ("tur", "n0", "a", 0, 0)]]
    assert all(a != b for a, b in itertools.combinations(seeds, 2))
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of("turn", 0) == seed_of("turn", 0)


# --- several sizes ------------------------------------------------------------------------------------

SIZES = ("wide",) * 9 + ("square",) * 4 + ("tall",) + ("square",) * 2
num_by_size = st.lists(st.integers(1, 12), min_size=1, max_size=5)


RECORDED = [(2, 0), (1, 0), (4, 0), (3, 0), (0, 0), (4, 1), (1, 1), (2, 1), (0, 1), (3, 1), (4, 2), (1, 2)]


def mixed_order(nums: list[int], batch_size: int, seed: int) -> SampleOrder:
    """Return an order of pictures whose sizes lie as mixed as files of a folder."""
    sizes = [number for number, count in enumerate(nums) for _ in range(count)]
    mixed = np.random.default_rng(seed).permutation(sizes).tolist()
    return SampleOrder(sum(nums), batch_size, seed, tuple(mixed))


def test_pictures_of_one_size_keep_their_order() -> None:
    plain, sized = SampleOrder(7, 4, 2), SampleOrder(7, 4, 2, ((512, 512),) * 7)
    assert [plain.batch(step) for step in range(20)] == [sized.batch(step) for step in range(20)]


def test_the_order_of_one_size_is_what_it_always_was() -> None:
    """Runs resume across versions of this project only while this holds."""
    drawn = [(draw.index, draw.epoch) for step in range(4) for draw in SampleOrder(5, 3, 7).batch(step)]
    assert drawn == RECORDED


@given(num_by_size, st.integers(1, 8), st.integers(0, 3))
def test_a_batch_is_of_one_size_and_an_epoch_sees_every_picture(
    nums: list[int], batch_size: int, seed: int
) -> None:
    order = mixed_order(nums, batch_size, seed)
    seen: Counter[int] = Counter()
    first = 0
    for epoch in range(3):
        end = sum(-(-(epoch + 1) * num // batch_size) for num in nums)
        for step in range(first, end):
            draws = order.batch(step)
            assert len(draws) == batch_size
            assert len({order.sizes[draw.index] for draw in draws}) == 1
            for draw in draws:  # in turn: the second sight of a picture is of epoch 1
                assert draw.epoch == seen[draw.index]
                seen[draw.index] += 1
        first = end
        assert min(seen[index] for index in range(sum(nums))) >= epoch + 1
        for size, num in enumerate(nums):  # no size is ahead of the epoch by a batch
            drawn = sum(seen[index] for index in range(sum(nums)) if order.sizes[index] == size)
            assert drawn - (epoch + 1) * num < batch_size


def test_sizes_take_turns_in_an_order_of_the_seed() -> None:
    def sizes(seed: int) -> list[object]:
        order = SampleOrder(len(SIZES), 2, seed, SIZES)
        return [SIZES[order.batch(step)[0].index] for step in range(9)]

    assert sizes(0) == sizes(0) != sizes(1)
    assert Counter(sizes(0)) == {"wide": 5, "square": 3, "tall": 1}
    assert sizes(0) != sorted(sizes(0), key=str)


@pytest.mark.parametrize("num_processes", [1, 2, 4])
@pytest.mark.parametrize("num_passes", [1, 2])
def test_processes_and_passes_share_one_global_batch_of_one_size(num_processes: int, num_passes: int) -> None:
    order = SampleOrder(len(SIZES), 8, 3, SIZES)
    shares = [list(order.passes(0, 12, num_passes, rank, num_processes)) for rank in range(num_processes)]
    for step in range(12):
        passes = range(step * num_passes, (step + 1) * num_passes)
        drawn = [draw for share in shares for number in passes for draw in share[number]]
        assert sorted(drawn, key=lambda draw: draw.slot) == order.batch(step)
        assert len({SIZES[draw.index] for draw in drawn}) == 1


def test_an_order_begins_anywhere_at_once() -> None:
    order = SampleOrder(100_000, 16, 0, tuple(number % 7 for number in range(100_000)))
    late = order.batch(10**7)
    assert late == SampleOrder(100_000, 16, 0, order.sizes).batch(10**7)
    assert {draw.epoch for draw in late} <= {1599, 1600}


def test_items_are_listed_by_size() -> None:
    words = ["a", "bb", "c", "d", "ee", "f"]
    assert list(batches_of_one_size(words, len, 3)) == [["a", "c", "d"], ["f"], ["bb", "ee"]]
    assert list(batches_of_one_size([], len, 3)) == []
