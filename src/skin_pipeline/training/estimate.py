"""What a run would be, without loading any weights: parameter counts, memory by parts, steps.

The memory of a step is not guessed: its forward and backward passes run on tensors without contents, operator
by operator, and what would be alive is counted.
"""

import itertools
import json
import logging
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.recognition.torch_recognizer import build_empty_recognizer
from skin_pipeline.training.backend import StepModel
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.families import family_module
from skin_pipeline.training.launcher import find_project_folder, read_machine
from skin_pipeline.training.loop import resolve_mixed_precision
from skin_pipeline.training.objective import predict, squared_errors
from skin_pipeline.training.text_estimate import ShapesOfCtc, TracedReading, largest_legends
from skin_pipeline.training.text_legends import PictureLegends

logger = logging.getLogger(__name__)

DeviceType = Literal["cpu", "cuda"]
_GIB = 2**30
_FP32_BYTES = 4
_MOMENT_BYTES = {"adamw": 8.0, "adamw_sharded": 8.0, "adamw_8bit": 2 + 2 * 4 / 256}
"""Of two moments: in 8 bits there is one fp32 scale for each 256 (bitsandbytes' block)."""
_TRACED_SAMPLER_STEPS = 3
"""Of mode ``sampled``. Each further one holds as much as the third, whose own input has a gradient."""
_DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class MemoryEstimate:
    """What one training process would hold, in bytes.

    Attributes:
        parts: ``unet``, or whatever is frozen, by its name, and ``controlnet`` (weights), ``gradients``,
            ``optimizer``, ``moving_average`` (on the training device), ``activations`` (what the backward
            pass needs, batch and short copies of weights included), and where legends are read
            ``recognizer`` (weights) and ``text_loss`` (what its backward pass needs beside the others').
        peak: The most alive at once. Less than the sum of parts, as activations go while gradients come.
    """

    parts: Mapping[str, int]
    peak: int


def describe(run: TrainingRun) -> str:
    """Return the resolved configuration, counts, memory by parts and steps, as JSON for people."""
    p = run.parameters
    device_type = _device_type(p)
    precision = _precision(p, device_type)
    num_passes = run.num_processes * p.gradient_accumulation_steps
    if p.train_batch_size % num_passes:
        raise ConfigurationError(
            f"train.train_batch_size ({p.train_batch_size}) must be divisible by processes x"
            f" gradient_accumulation_steps ({run.num_processes} x {p.gradient_accumulation_steps})."
        )
    images_per_pass = p.train_batch_size // num_passes
    legends = largest_legends(run.dataset_folder, p, images_per_pass) if p.text.is_on else ()
    logger.info("Tracing a step on tensors without contents; minutes for a large model.")
    model = build_empty(p)
    memory = estimate_memory(model, p, precision, device_type, images_per_pass, run.num_processes, legends)
    resolved = {"mixed_precision": precision, "fast_start": p.is_fast_start}
    summary = {
        "parameters": {**p.model_dump(mode="json"), **resolved},
        "num_parameters": {
            **{f"{name}_frozen": _count(part.parameters()) for name, part in model.frozen_parts.items()},
            "controlnet_trained": _count(_trained(model)),
        },
        "memory_of": f"one {device_type} process",
        "memory_gib": {name: round(size / _GIB, 3) for name, size in memory.parts.items()},
        "memory_gib_peak": round(memory.peak / _GIB, 3),
        "steps": p.max_train_steps,
        "images": p.max_train_steps * p.train_batch_size,
        "images_per_pass_and_process": images_per_pass,
        "run_folder": str(run.folder),
    }
    return json.dumps(summary, indent=2, ensure_ascii=False) + "\n"


def _device_type(parameters: TrainParameters) -> DeviceType:
    is_cpu = read_machine(parameters.accelerate_config, find_project_folder()).is_cpu
    return "cpu" if is_cpu else "cuda"


def _precision(parameters: TrainParameters, device_type: DeviceType) -> str:
    """Return the number format; ``auto`` for a GPU that this machine lacks is what GPUs of today do."""
    if device_type == "cuda" and parameters.mixed_precision == "auto" and not torch.cuda.is_available():
        return "bf16"
    return resolve_mixed_precision(parameters.mixed_precision)


def build_empty(parameters: TrainParameters) -> StepModel:
    """Build the model from its configuration files alone, without contents."""
    model: StepModel = family_module(parameters).build_empty(parameters)
    return model


def estimate_memory(
    model: StepModel,
    parameters: TrainParameters,
    precision: str,
    device_type: DeviceType,
    images_per_pass: int,
    num_processes: int = 1,
    legends: tuple[PictureLegends, ...] = (),
) -> MemoryEstimate:
    """Count what a step would hold: the sizes of all tensors, not what allocators and kernels add.

    Args:
        model: Without contents; used up.
        parameters: Sizes, optimizer, moving average.
        precision: ``no``, ``fp16`` or ``bf16``.
        device_type: Of the training device.
        images_per_pass: Pictures in a forward pass of one process.
        num_processes: Processes that share a sharded optimizer's state.
        legends: What is read of each picture of a pass, where the text loss is on.
    """
    model.to(torch.device("meta"), _DTYPES[precision])
    if device_type == "cuda" and precision != "no":
        _normalise_in_fp32(model.controlnet)
    live, shapes_of_ctc = LiveBytes(), ShapesOfCtc()
    frozen, reading = dict(model.frozen_parts), None
    if parameters.text.is_reading:
        recognizer = build_empty_recognizer(parameters.text.recognizer, "train.text.recognizer")
        frozen["recognizer"] = recognizer
        reading = TracedReading(parameters, recognizer, legends) if parameters.text.is_on else None
    with FakeTensorMode(allow_non_fake_inputs=reading is not None), shapes_of_ctc, live:
        weights = _give_form(*frozen.values(), model.controlnet)
        frozen_bytes, weight_bytes = {name: _bytes(part) for name, part in frozen.items()}, live.now
        model.forget_schedule()
        trace = partial(_trace, model, parameters, precision, images_per_pass, live, reading)
        peaks = _of_all_sampler_steps(trace, parameters)
        del weights
    trained = _count(_trained(model))
    shares = num_processes if parameters.optimizer == "adamw_sharded" else 1
    averages = parameters.ema_decay is not None and (parameters.ema_device == "same" or device_type == "cpu")
    parts = {
        **frozen_bytes,
        "controlnet": weight_bytes - sum(frozen_bytes.values()),
        "gradients": trained * _FP32_BYTES,
        "optimizer": round(trained * _MOMENT_BYTES[parameters.optimizer] / shares),
        "moving_average": trained * _FP32_BYTES if averages else 0,
        "activations": peaks.denoising - weight_bytes,
        **({} if reading is None else {"text_loss": peaks.forward - peaks.denoising}),
    }
    return MemoryEstimate(parts, peaks.whole + parts["optimizer"] + parts["moving_average"])


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operators have made and that are still alive."""

    def __init__(self) -> None:
        """Begin at nothing."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}
        self._numbers = itertools.count()
        self._seen: weakref.WeakKeyDictionary[torch.UntypedStorage, int] = weakref.WeakKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operator and count what it returned, if that is new."""
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        number = self._seen[storage] = next(self._numbers)
        self._sizes[number] = storage.nbytes()
        self.now += self._sizes[number]
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, number)

    def _forget(self, number: int) -> None:
        self.now -= self._sizes.pop(number)


@dataclass(frozen=True)
class _Peaks:
    """The most bytes alive: after the denoising loss, after the text loss, and at all."""

    denoising: int
    forward: int
    whole: int


def _of_all_sampler_steps(trace: Callable[[int], _Peaks], p: TrainParameters) -> _Peaks:
    """Return the peaks of a step; of mode ``sampled`` those of a few sampler steps, and more for each other.

    No place of the backward pass holds more for a further sampler step than the end of the forward pass does,
    so the whole peak is never too low.
    """
    if p.text.mode != "sampled" or p.text.sampler_steps <= _TRACED_SAMPLER_STEPS:
        return trace(p.text.sampler_steps)
    fewer, traced = trace(_TRACED_SAMPLER_STEPS - 1), trace(_TRACED_SAMPLER_STEPS)
    more = (p.text.sampler_steps - _TRACED_SAMPLER_STEPS) * (traced.forward - fewer.forward)
    return _Peaks(traced.denoising, traced.forward + more, traced.whole + more)


def _trace(
    model: StepModel,
    p: TrainParameters,
    precision: str,
    images_per_pass: int,
    live: LiveBytes,
    reading: TracedReading | None,
    sampler_steps: int,
) -> _Peaks:
    """Run the passes of a step and return their peaks, leaving nothing behind."""
    live.peak = live.now

    def run_pass() -> tuple[int, int]:
        batch = model.empty_batch(images_per_pass, p.crop_px or p.resolution_px)
        batch = batch if reading is None else reading.place_legends(batch)
        autocast = partial(torch.autocast, "cpu", _DTYPES[precision], enabled=precision != "no")
        prediction, target = predict(model, model.controlnet, batch, autocast())
        loss = squared_errors(prediction, target)
        denoising_peak = live.peak
        if reading is not None:
            loss = loss + reading.loss(model, batch, prediction, autocast, sampler_steps)
        forward_peak = live.peak
        loss.mean().backward()
        return denoising_peak, forward_peak

    denoising_peak, forward_peak = run_pass()
    if p.gradient_accumulation_steps > 1:  # the second pass meets the first one's gradients
        run_pass()
    model.controlnet.zero_grad()
    return _Peaks(denoising_peak, forward_peak, live.peak)


def _give_form(*models: nn.Module) -> list[Tensor]:
    """Replace parameters and buffers without contents on no device by such on the processor.

    Shared parameters stay shared.

    Some operators choose how they work by the device: attention without a device would be the naive one.
    """
    made: dict[nn.Parameter, nn.Parameter] = {}
    buffers: list[Tensor] = []
    for module in (module for model in models for module in model.modules()):
        for name, old in module.named_parameters(recurse=False):
            if old not in made:
                made[old] = nn.Parameter(torch.empty(old.shape, dtype=old.dtype), old.requires_grad)
            setattr(module, name, made[old])
        for name, buffer in module.named_buffers(recurse=False):
            buffers.append(torch.empty(buffer.shape, dtype=buffer.dtype))
            setattr(module, name, buffers[-1])
    return [*made.values(), *buffers]


def _normalise_in_fp32(controlnet: nn.Module) -> None:
    """Do as autocast does on GPUs, where the count is made on the processor: normalise in fp32."""
    for module in controlnet.modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            module.register_forward_pre_hook(lambda _, inputs: (inputs[0].float(), *inputs[1:]))


def _trained(model: StepModel) -> list[nn.Parameter]:
    return [p for group in model.parameter_groups() for p in group["params"]]


def _count(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _bytes(part: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*part.parameters(), *part.buffers()))
