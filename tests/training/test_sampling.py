import itertools

import pytest

from skin_pipeline.training.sampling import SampleOrder, seed_of


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
