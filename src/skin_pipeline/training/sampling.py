"""Which picture is seen when: an order that follows from seed and position alone. Loads no torch."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np


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

    Attributes:
        num_samples: Pictures in the training set.
        batch_size: Pictures in one optimizer step, over all processes.
        seed: The run's seed.
    """

    num_samples: int
    batch_size: int
    seed: int

    def batch(self, step: int) -> list[Draw]:
        """Return the draws of one optimizer step, in the order of their slots."""
        first = step * self.batch_size
        draws = []
        for slot in range(self.batch_size):
            epoch, place = divmod(first + slot, self.num_samples)
            index = int(_permutation(self.num_samples, self.seed, epoch)[place])
            draws.append(Draw(index, epoch, step, slot))
        return draws

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


@lru_cache(maxsize=4)
def _permutation(num_samples: int, seed: int, epoch: int) -> np.ndarray:
    """Return an epoch's order. Kept for a few epochs: a batch touches at most two unless the set is tiny."""
    return np.random.Generator(np.random.Philox(seed_of("order", seed, epoch))).permutation(num_samples)
