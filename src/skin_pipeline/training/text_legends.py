"""Which legends of a picture are read in a step. Loads no torch.

The columns of a training set that text is trained by, as each row of train.jsonl gives them: the legends
(``gt_text``), their lengths (``text_length``) and their quads (``box``). Whether the caption quotes them
makes no difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import FloatArray, as_quads, quad_sizes
from skin_pipeline.prep.publish import legends_of
from skin_pipeline.training.sampling import seed_of
from skin_pipeline.training.text_parameters import TextParameters


@dataclass(frozen=True)
class PictureLegends:
    """The legends of one picture's turn that are read.

    Attributes:
        gt_text: What they say.
        box: Their quads, (N, 4, 2), in pixels of the training picture.
        seed: Of everything random about reading them.
        is_sampled: Whether the model is to sample this picture.
    """

    gt_text: tuple[str, ...] = ()
    box: FloatArray = field(default_factory=lambda: as_quads(()))
    seed: int = 0
    is_sampled: bool = False

    @property
    def text_length(self) -> tuple[int, ...]:
        """Number of characters of each."""
        return tuple(map(len, self.gt_text))


def placed_legends(row: Mapping[str, Any], where: str) -> list[str]:
    """Return what is written in each of a row's quads.

    Raises:
        InputError: There are more or fewer strings than quads.
    """
    texts = legends_of(row["text"], row.get("legends"))
    num_quads = len(row.get("box") or ())
    if len(texts) != num_quads:
        raise InputError(
            f"{where} of the training set has {len(texts)} legends and {num_quads} quads in 'box';"
            " train.text needs one quad for each. Publish the training set anew, or set train.text.mode to"
            " none."
        )
    return texts


def choose_legends(
    texts: Sequence[str], quads: ArrayLike, parameters: TextParameters, seed: int, is_sampled: bool
) -> PictureLegends:
    """Draw the legends that a picture is judged by in its turn.

    Args:
        texts: Its legends.
        quads: Their quads, (N, 4, 2), in pixels of the training picture.
        parameters: ``max_boxes`` and ``min_height_px`` count.
        seed: Of this turn.
        is_sampled: Whether the model is to sample this picture.
    """
    boxes = as_quads(quads)
    high_enough = np.flatnonzero(quad_sizes(boxes).min(axis=1) >= parameters.min_height_px)
    lots = np.random.default_rng(seed_of("legends", seed))
    chosen = np.sort(lots.permutation(high_enough)[: parameters.max_boxes])
    return PictureLegends(tuple(texts[index] for index in chosen), boxes[chosen], seed, is_sampled)


def is_sampled_slot(slot: int, share: float) -> bool:
    """Tell whether a place of the batch is one of the given share, which lie evenly in it."""
    return int((slot + 1) * share + 1e-9) > int(slot * share + 1e-9)
