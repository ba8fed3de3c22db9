"""What reading legends adds to a step, for the run's estimate: the text loss itself, without contents.

Three things in it ask for what tensors contain, and are answered here: the timesteps that are read (all),
the place of a sampler in its schedule, and the size of what CTC keeps.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from skin_pipeline.geometry import FloatArray, as_quads, boxes_of, quad_sizes, quads_of
from skin_pipeline.recognition.torch_recognizer import TorchRecognizer
from skin_pipeline.training.backend import Batch, ModelFamily, StepModel, TextEmbeddings
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.data import read_placed_legends
from skin_pipeline.training.text_legends import PictureLegends, is_sampled_slot
from skin_pipeline.training.text_loss import TextLoss
from skin_pipeline.training.text_parameters import TextParameters

logger = logging.getLogger(__name__)

_FEWEST_SAMPLER_STEPS = 2


def largest_legends(folder: Path, p: TrainParameters, images_per_pass: int) -> tuple[PictureLegends, ...]:
    """Return the legends of a pass that takes as much memory as any.

    Its pictures are those of the training set whose largest legends are the largest, and as many of them are
    sampled as in any pass. Without a training set each legend is as large as its picture, which is logged.

    Args:
        folder: Holds the training set, if there is one yet.
        p: Sizes, and which legends are read.
        images_per_pass: Pictures in a forward pass of one process.
    """
    side_px = p.crop_px or p.resolution_px
    if (folder / "train.jsonl").is_file():
        rows = [_largest(quads, texts, p) for quads, texts in read_placed_legends(folder, p)]
    else:
        logger.warning(
            "There is no training set in '%s' yet: the estimate takes train.text.max_boxes (%d) legends as"
            " large as the picture, which is more than any set needs.",
            folder,
            p.text.max_boxes,
        )
        whole = quads_of([[0, 0, side_px, side_px]] * p.text.max_boxes)
        rows = [(("",) * len(whole), whole)]
    rows.sort(key=lambda row: _area(row[1]).sum(), reverse=True)
    return tuple(
        PictureLegends(texts, quads, seed, seed < _most_sampled(p, images_per_pass))
        for seed, (texts, quads) in enumerate(islice(cycle(rows), images_per_pass))
    )


def _largest(
    quads: ArrayLike, texts: Sequence[str], p: TrainParameters
) -> tuple[tuple[str, ...], FloatArray]:
    """Return the largest legends of a picture that a step could read, moved into a square's corner."""
    boxes, side_px = as_quads(quads), p.crop_px or p.resolution_px
    corners = boxes.min(axis=1, keepdims=True)
    extents = boxes.max(axis=1) - corners[:, 0]
    is_read = quad_sizes(boxes).min(axis=1) >= p.text.min_height_px
    if p.crop_px is not None:
        is_read &= extents.max(axis=1) <= side_px
    chosen = sorted(np.flatnonzero(is_read), key=lambda one: -_area(boxes)[one])[: p.text.max_boxes]
    return tuple(texts[one] for one in chosen), (boxes - corners)[chosen]


def _area(quads: FloatArray) -> FloatArray:
    """Return the area of each quad's box (N,)."""
    x_min, y_min, x_max, y_max = boxes_of(quads).T
    area: FloatArray = (x_max - x_min) * (y_max - y_min)
    return area


def _most_sampled(p: TrainParameters, images_per_pass: int) -> int:
    """Return how many pictures are sampled in the pass that has most of them."""
    passes = range(0, p.train_batch_size, images_per_pass)
    return max(
        sum(is_sampled_slot(slot, p.text.sampled_share) for slot in range(first, first + images_per_pass))
        for first in passes
    )


class TracedReading:
    """The text loss of a pass without contents."""

    def __init__(
        self, parameters: TrainParameters, recognizer: TorchRecognizer, legends: tuple[PictureLegends, ...]
    ) -> None:
        """Keep what the loss is made with.

        Args:
            parameters: Of the run.
            recognizer: Without contents.
            legends: What is read of each picture of the pass.
        """
        self._parameters = parameters
        self._recognizer = recognizer
        self._legends = legends
        self._timesteps = torch.zeros(len(legends), dtype=torch.int64)  # contents: the loss looks at them

    def place_legends(self, batch: Batch) -> Batch:
        """Return an empty batch with legends to read, all at a timestep at which they are."""
        return replace(
            batch,
            timesteps=self._timesteps,
            legends=self._legends,
            pixel_values=torch.empty_like(batch.conditioning_pixel_values),
        )

    def loss(
        self,
        model: StepModel,
        batch: Batch,
        prediction: Tensor,
        autocast: Callable[[], AbstractContextManager[None]],
        sampler_steps: int,
    ) -> Tensor:
        """Return each picture's loss (B,).

        Args:
            model: Without contents.
            batch: With legends.
            prediction: (B, C, h, w), the step's own.
            autocast: Makes the context of a forward pass.
            sampler_steps: Calls with gradient of mode ``sampled``.
        """
        p = self._parameters
        text = p.text.model_copy(update=_shortest_way(p.text, sampler_steps))
        no_text = TextEmbeddings(batch.prompt_embeds[:1], batch.pooled_prompt_embeds[:1])
        family = cast(ModelFamily, _WithPlainSampler(model))
        loss = TextLoss(family, p.model_copy(update={"text": text}), self._recognizer, no_text)
        return loss(model.controlnet, batch, prediction, autocast, 0)


def _shortest_way(text: TextParameters, sampler_steps: int) -> dict[str, Any]:
    """Return what makes the sampler go no further than to the first calls with gradient.

    The calls before keep nothing, and need less than they.
    """
    if text.mode == "sampled":
        return {"sampler_steps": sampler_steps}
    states = min(text.sampled_states, text.last_steps, text.sampler_steps)
    return {
        "sampler_steps": max(_FEWEST_SAMPLER_STEPS, states),
        "last_steps": states,
        "sampler_start": 0.5,
    }


class _WithPlainSampler:
    """A model without contents, and a sampler."""

    def __init__(self, model: StepModel) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def make_sampler(self) -> Any:
        return _PlainSampler()


class _PlainSampler:
    """Steps as inference's samplers do, which keep some latents more; those look places up by contents."""

    init_noise_sigma = 1.0

    def set_timesteps(self, count: int, device: torch.device) -> None:
        self.timesteps = torch.empty(count, dtype=torch.int64, device=device)

    def set_begin_index(self, first: int) -> None:
        """Every place is like the others."""

    def step(self, prediction: Tensor, _timestep: Tensor, latents: Tensor, **_: Any) -> tuple[Tensor]:
        return (latents - prediction,)


class ShapesOfCtc(TorchDispatchMode):
    """Says what the CTC loss returns, which torch does not know of tensors without contents."""

    def __init__(self) -> None:
        """Answer nothing else."""
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return a loss for each text, and the forward variables: one for each place, symbol and blank."""
        if func is not torch.ops.aten._ctc_loss.default:
            return func(*args, **(kwargs or {}))
        log_probs, _, _, target_lengths = args[:4]
        num_places, num_texts = log_probs.shape[:2]
        num_states = 2 * max(target_lengths) + 1
        return log_probs.new_empty(num_texts), log_probs.new_empty(num_texts, num_places, num_states)
