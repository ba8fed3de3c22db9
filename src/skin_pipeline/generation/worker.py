"""Generate pictures, a batch at a time.

Loads no deep-learning library until a generator is made.

The noise of a picture is drawn on the processor by a generator of its own, seeded with its seed, and its
prompt is encoded alone; so a picture does not depend on what it is batched with, on the batch size or on the
number of workers, but for the rounding of matrix products of another shape (at most one level of 255 in
fp32).

Shapes: B batch, H W pixels, L tokens, D embedding, P pooled embedding.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from skin_pipeline.errors import InputError, SkinPipelineError
from skin_pipeline.items import Output, Task, Worker
from skin_pipeline.skins.legends import composite_legends

if TYPE_CHECKING:
    import torch

    from skin_pipeline.generation.parameters import InferenceParameters
    from skin_pipeline.generation.weights import WeightsSource

logger = logging.getLogger(__name__)

PROMPTS_KEPT = 128
"""Encoded prompts kept in memory; one takes less than 2 MB with SDXL, and 6 MB with SD3 in half precision."""


class PromptEmbeds(NamedTuple):
    """One prompt and its negative, encoded."""

    prompt: torch.Tensor
    """(1, L, D)"""
    negative: torch.Tensor | None
    """(1, L, D); none without guidance."""
    pooled: torch.Tensor
    """(1, P)"""
    negative_pooled: torch.Tensor | None
    """(1, P); none without guidance."""


def make_generator(
    parameters: InferenceParameters, weights_path: Path, base: WeightsSource, provenance: Mapping[str, Any]
) -> Worker:
    """Load the models and return a worker for tasks of :func:`skin_pipeline.generation.plan.plan_generation`.

    Args:
        parameters: How to generate.
        weights_path: Folder of the ControlNet.
        base: The base model.
        provenance: JSON that goes into every picture's record.

    Raises:
        ConfigurationError: The machine lacks what the parameters ask for, or the models do not fit together.
    """
    import torch

    from skin_pipeline.generation.pipeline import load_pipeline

    if parameters.num_threads is not None:
        torch.set_num_threads(parameters.num_threads)
    pipeline = load_pipeline(parameters, base, weights_path)
    return Generator(pipeline, parameters, provenance)


class Generator:
    """A worker that holds the loaded models."""

    def __init__(
        self,
        pipeline: Any,
        parameters: InferenceParameters,
        provenance: Mapping[str, Any],
    ) -> None:
        """Keep the models.

        Args:
            pipeline: Ready to sample, from :func:`skin_pipeline.generation.pipeline.load_pipeline`.
            parameters: How to generate.
            provenance: JSON that goes into every picture's record.
        """
        from skin_pipeline.generation.pipeline import sampling_of

        self._pipeline = pipeline
        self._sampling = sampling_of(pipeline)
        self._parameters = parameters
        self._provenance = provenance
        self._has_warned = False
        self._encode: Callable[[str, str], PromptEmbeds] = lru_cache(PROMPTS_KEPT)(self._encode_prompt)
        self._given = _load_embeds(parameters)

    def __call__(self, tasks: Sequence[Task]) -> list[Output]:
        """Generate one picture for each task; tasks of one size are sampled together.

        Raises:
            InputError: A conditioning image has a size that the autoencoder cannot make.
            SkinPipelineError: The models gave numbers that are not finite.
        """
        multiple_px, longest_px = self._sampling.sides_px(self._pipeline)
        controls = [_control_image(task, multiple_px, longest_px) for task in tasks]
        outputs: dict[int, Output] = {}
        for indices in _by_size(controls):
            batch = [tasks[index] for index in indices]
            requests = [task.inputs["request"].record for task in batch]
            pictures = self.sample([controls[index] for index in indices], requests)
            for index, task, sampled in zip(indices, batch, pictures, strict=True):
                picture = self._lettered(task, sampled)
                outputs[index] = Output(record=self._record(task, picture), image=picture)
        return [outputs[index] for index in range(len(tasks))]

    def sample(
        self, controls: Sequence[np.ndarray], requests: Sequence[Mapping[str, Any]]
    ) -> list[np.ndarray]:
        """Sample one batch.

        Args:
            controls: B control images of one size, (H, W, 3) uint8.
            requests: For each, ``prompt``, ``negative_prompt``, ``seed`` and, where embeddings are given,
                ``embeds_row``.

        Returns:
            B pictures, (H, W, 3) uint8 RGB.
        """
        import torch

        height, width = controls[0].shape[:2]
        embeds = [self._embeds_of(request) for request in requests]
        images: np.ndarray = self._pipeline(
            **self._sampling.control_of(np.stack(controls)),
            height=height,
            width=width,
            prompt_embeds=_joined([one.prompt for one in embeds]),
            negative_prompt_embeds=_joined([one.negative for one in embeds]),
            pooled_prompt_embeds=_joined([one.pooled for one in embeds]),
            negative_pooled_prompt_embeds=_joined([one.negative_pooled for one in embeds]),
            num_inference_steps=self._parameters.num_inference_steps,
            guidance_scale=self._parameters.guidance_scale,
            controlnet_conditioning_scale=self._parameters.controlnet_conditioning_scale,
            generator=[torch.Generator("cpu").manual_seed(request["seed"]) for request in requests],
            output_type="np",
        ).images
        if not np.isfinite(images).all():
            raise SkinPipelineError(
                f"The models gave numbers that are not finite in {self._dtype()}. Set"
                " inference.dtype to bf16 or fp32; if the weights themselves are broken, train again."
            )
        return list(np.rint(images * 255).astype(np.uint8))

    def _lettered(self, task: Task, picture: np.ndarray) -> np.ndarray:
        """Return a picture with its legends composited, if they are to be."""
        if "legends" not in task.inputs:
            return picture
        record = task.inputs["legends"].record
        return composite_legends(
            picture,
            [legend["quad"] for legend in record["legends"]],
            [legend["text"] for legend in record["legends"]],
            inset=record["margin"],
            font=self._parameters.legend_font,
        ).picture

    def _embeds_of(self, request: Mapping[str, Any]) -> PromptEmbeds:
        if self._given is None:
            return self._encode(request["prompt"], request["negative_prompt"])
        given: PromptEmbeds = self._given[request["embeds_row"]]
        if given.negative is not None or self._parameters.guidance_scale <= 1:
            return given
        negative = self._encode("", request["negative_prompt"])
        return given._replace(negative=negative.negative, negative_pooled=negative.negative_pooled)

    def _encode_prompt(self, prompt: str, negative_prompt: str) -> PromptEmbeds:
        import torch

        self._say_if_too_long(prompt)
        with torch.inference_mode():
            encoded = self._pipeline.encode_prompt(
                prompt=prompt,
                **self._sampling.prompt_arguments,
                negative_prompt=negative_prompt or None,
                do_classifier_free_guidance=self._parameters.guidance_scale > 1,
                device=self._pipeline._execution_device,
            )
        return PromptEmbeds(*encoded)

    def _say_if_too_long(self, prompt: str) -> None:
        """Warn, once, that the text encoders do not see the end of a prompt."""
        tokenizer, limit = self._sampling.longest_reader(self._pipeline)
        num_tokens = len(tokenizer(prompt, truncation=False, verbose=False).input_ids)
        if num_tokens > limit and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Prompts longer than %d tokens are cut at their end, where a caption quotes its last legends;"
                " the first such prompt has %d tokens. The conditioning image still carries every legend.",
                limit,
                num_tokens,
            )

    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = self._sampling.denoiser_of(self._pipeline).dtype
        return dtype

    def _record(self, task: Task, picture: np.ndarray) -> dict[str, Any]:
        height, width = picture.shape[:2]
        request = task.inputs["request"].record
        return {
            "prompt": request["prompt"],
            "negative_prompt": request["negative_prompt"],
            "seed": request["seed"],
            "conditioning": task.inputs["conditioning"].id,
            "conditioning_sha256": task.inputs["conditioning"].sha256,
            **task.inputs["conditioning"].record,
            **self._provenance,
            "settings": {
                **self._parameters.settings(),
                "dtype": str(self._dtype()).removeprefix("torch."),
                "size_px": [width, height],
            },
        }


def _control_image(task: Task, multiple_px: int, longest_px: int | None) -> np.ndarray:
    """Return the task's conditioning image as (H, W, 3) uint8.

    H and W are multiples of ``multiple_px`` and not longer than ``longest_px``, if that is given.
    """
    conditioning = task.inputs["conditioning"]
    image = conditioning.load_image()
    height, width = image.shape[:2]
    if height % multiple_px or width % multiple_px:
        raise InputError(
            f"The conditioning image of '{conditioning.id}' is {width}x{height} px; both must be multiples of"
            f" {multiple_px}, the side of what the base model sees as one cell. Resize to such a size and run"
            " data_prep again."
        )
    if longest_px is not None and max(height, width) > longest_px:
        raise InputError(
            f"The conditioning image of '{conditioning.id}' is {width}x{height} px; the base model knows"
            f" places up to {longest_px} px. Resize to a smaller size and run data_prep again."
        )
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def _by_size(images: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Group the positions of images by their size, in order of first appearance."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        groups[image.shape].append(index)
    yield from groups.values()


def _joined(tensors: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    import torch

    present = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(present) if present else None


def _load_embeds(parameters: InferenceParameters) -> list[PromptEmbeds] | None:
    """Read the given embeddings, one entry a prompt; none where prompts are to be encoded."""
    if parameters.prompt_embeds is None:
        return None
    from safetensors.torch import load_file

    tensors = load_file(parameters.prompt_embeds)
    num_prompts = len(parameters.prompts)
    for name in ("prompt_embeds", "pooled_prompt_embeds"):
        found = len(tensors[name]) if name in tensors else None
        if found != num_prompts:
            raise InputError(
                f"inference.prompt_embeds '{parameters.prompt_embeds}': expected {name} with {num_prompts}"
                f" rows, one a prompt, got {'none' if found is None else found}."
            )
    return [_row(tensors, index) for index in range(num_prompts)]


def _row(tensors: Mapping[str, torch.Tensor], index: int) -> PromptEmbeds:
    def negative(name: str) -> torch.Tensor | None:
        rows = tensors.get(name)
        if rows is None:
            return None
        return rows if len(rows) == 1 else rows[index : index + 1]

    return PromptEmbeds(
        prompt=tensors["prompt_embeds"][index : index + 1],
        negative=negative("negative_prompt_embeds"),
        pooled=tensors["pooled_prompt_embeds"][index : index + 1],
        negative_pooled=negative("negative_pooled_prompt_embeds"),
    )
