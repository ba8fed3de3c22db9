"""Which picture is seen when: an order that follows from seed and position alone. Loads no torch."""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Draw:
    """One picture's turn in training.

    Attributes:
        index: Its place in the list of training samples.
        epoch: How often it was seen before.
        step: The optimizer step it takes part in, from 0.
        slot: Its place in that step's batch, from 0.
    """

    index: int
    epoch: int
    step: int
    slot: int


def seed_of(*parts: object) -> int:
    """Return a 63-bit seed that follows from the parts; other parts, another seed."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class SampleOrder:
    """The endless sequence of a training set's epochs, each shuffled by (seed, epoch), cut into batches.

    A batch may end one epoch and begin the next, so every picture is seen equally often and no batch is
    short. As batches are numbered and not iterated over, a run resumes anywhere at no cost, and any number of
    processes shares one order.

    Where pictures have several sizes, each batch is of one of them, all its passes and processes included.
    An epoch's one shuffle gives each size its own endless sequence; an epoch consists of as many batches of a
    size as bring all its pictures about, in an order of sizes that (seed, epoch) shuffles. The last of them
    is filled up with the first pictures of that size's next epoch, which then needs fewer: nothing is dropped
    and nothing is seen more often than the rest, but for the batch under way of each size.

    Attributes:
        num_samples: Pictures in the training set.
        batch_size: Pictures in one optimizer step, over all processes.
        seed: The run's seed.
        sizes: Of each picture, what only equals of may share a batch; empty: all may.
    """

    num_samples: int
    batch_size: int
    seed: int
    sizes: Sequence[Hashable] = ()

    def batch(self, step: int) -> list[Draw]:
        """Return the draws of one optimizer step, in the order of their slots."""
        bucket, number = self._bucket_at(step)
        num_members = int(self._num_members[bucket])
        first = number * self.batch_size
        places = [divmod(first + slot, num_members) for slot in range(self.batch_size)]
        members = {epoch: self._members(bucket, epoch) for epoch in {epoch for epoch, _ in places}}
        return [
            Draw(int(members[epoch][place]), epoch, step, slot) for slot, (epoch, place) in enumerate(places)
        ]

    @cached_property
    def _buckets(self) -> IntArray:
        """The number of each picture's bucket, (num_samples,), counted by first appearance."""
        numbers = {size: number for number, size in enumerate(dict.fromkeys(self.sizes))}
        return np.array([numbers[size] for size in self.sizes] or [0] * self.num_samples)

    @cached_property
    def _num_members(self) -> IntArray:
        """How many pictures each bucket has, (buckets,)."""
        return np.bincount(self._buckets)

    def _batches_before(self, epoch: int) -> IntArray:
        """Return how many batches of each bucket come before an epoch, (buckets,)."""
        batches: IntArray = -(-epoch * self._num_members // self.batch_size)
        return batches

    def _bucket_at(self, step: int) -> tuple[int, int]:
        """Return the bucket of a step and how many batches of it come before."""
        epochs = range(step * self.batch_size // self.num_samples + 2)
        epoch = bisect_right(epochs, step, key=lambda e: int(self._batches_before(e).sum())) - 1
        before = self._batches_before(epoch)
        turns = np.repeat(np.arange(len(before)), self._batches_before(epoch + 1) - before)
        turns = _generator("buckets", self.seed, epoch).permutation(turns)
        place = step - int(before.sum())
        bucket = int(turns[place])
        return bucket, int(before[bucket] + np.count_nonzero(turns[:place] == bucket))

    def _members(self, bucket: int, epoch: int) -> IntArray:
        """Return a bucket's pictures in an epoch's order."""
        order = _permutation(self.num_samples, self.seed, epoch)
        members: IntArray = order[self._buckets[order] == bucket]
        return members

    def passes(
        self, first_step: int, end_step: int, num_passes: int, rank: int, num_processes: int
    ) -> Iterator[list[Draw]]:
        """Yield the share of one process, one list of draws for each forward pass.

        Args:
            first_step: The first optimizer step.
            end_step: The step to stop before.
            num_passes: Forward passes in each optimizer step.
            rank: This process.
            num_processes: All processes.
        """
        size = self.batch_size // (num_passes * num_processes)
        for step in range(first_step, end_step):
            draws = self.batch(step)
            for number in range(num_passes):
                start = (number * num_processes + rank) * size
                yield draws[start : start + size]


def batches_of_one_size(
    items: Iterable[T], size_of: Callable[[T], Hashable], batch_size: int
) -> Iterator[list[T]]:
    """Yield all items in lists of at most ``batch_size`` of equal size, in the order of first appearance."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(size_of(item), []).append(item)
    for group in groups.values():
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]


@lru_cache(maxsize=4)
def _permutation(num_samples: int, seed: int, epoch: int) -> IntArray:
    """Return an epoch's order. Kept for a few epochs: a batch touches at most two unless the set is tiny."""
    return _generator("order", seed, epoch).permutation(num_samples)


def _generator(*parts: object) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(seed_of(*parts)))
