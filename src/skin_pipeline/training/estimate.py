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
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.backend import StepModel
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.families import family_module
from skin_pipeline.training.launcher import find_project_folder, read_machine
from skin_pipeline.training.loop import resolve_mixed_precision
from skin_pipeline.training.objective import predict, squared_errors

logger = logging.getLogger(__name__)

DeviceType = Literal["cpu", "cuda"]
_GIB = 2**30
_FP32_BYTES = 4
_MOMENT_BYTES = {"adamw": 8.0, "adamw_sharded": 8.0, "adamw_8bit": 2 + 2 * 4 / 256}
"""Of two moments: in 8 bits there is one fp32 scale for each 256 (bitsandbytes' block)."""
_DTYPES = {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class MemoryEstimate:
    """What one training process would hold, in bytes.

    Attributes:
        parts: ``unet``, or whatever is frozen, by its name, and ``controlnet`` (weights), ``gradients``,
            ``optimizer``, ``moving_average`` (on the training device), ``activations`` (what the backward
            pass needs, batch and short copies of weights included).
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
    if p.text.is_on:
        logger.warning(
            "The memory of text supervision is not counted: the recogniser, the VAE (both in fp32) and what"
            " their backward pass needs; with train.text.mode %s also that of reading sampled pictures. Lower"
            " train.text.max_boxes or train.text.sampled_share where it does not fit.",
            p.text.mode,
        )
    logger.info("Tracing a step on tensors without contents; minutes for a large model.")
    model = build_empty(p)
    memory = estimate_memory(
        model, p, precision, device_type, p.train_batch_size // num_passes, run.num_processes
    )
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
        "images_per_pass_and_process": p.train_batch_size // num_passes,
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
) -> MemoryEstimate:
    """Count what a step would hold: the sizes of all tensors, not what allocators and kernels add.

    Args:
        model: Without contents; used up.
        parameters: Sizes, optimizer, moving average.
        precision: ``no``, ``fp16`` or ``bf16``.
        device_type: Of the training device.
        images_per_pass: Pictures in a forward pass of one process.
        num_processes: Processes that share a sharded optimizer's state.
    """
    model.to(torch.device("meta"), _DTYPES[precision])
    if device_type == "cuda" and precision != "no":
        _normalise_in_fp32(model.controlnet)
    live = LiveBytes()
    frozen = model.frozen_parts
    with FakeTensorMode(), live:
        weights = _give_form(*frozen.values(), model.controlnet)
        frozen_bytes, weight_bytes = {name: _bytes(part) for name, part in frozen.items()}, live.now
        model.forget_schedule()
        forward_peak = _run_pass(model, parameters, precision, images_per_pass, live)
        if parameters.gradient_accumulation_steps > 1:  # the second pass meets the first one's gradients
            _run_pass(model, parameters, precision, images_per_pass, live)
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
        "activations": forward_peak - weight_bytes,
    }
    return MemoryEstimate(parts, live.peak + parts["optimizer"] + parts["moving_average"])


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


def _run_pass(
    model: StepModel, p: TrainParameters, precision: str, images_per_pass: int, live: LiveBytes
) -> int:
    """Run a forward and a backward pass; return the peak of the forward pass."""
    batch = model.empty_batch(images_per_pass, p.crop_px or p.resolution_px)
    autocast = torch.autocast("cpu", _DTYPES[precision], enabled=precision != "no")
    prediction, target = predict(model, model.controlnet, batch, autocast)
    loss = squared_errors(prediction, target).mean()
    forward_peak = live.peak
    loss.backward()
    return forward_peak


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
