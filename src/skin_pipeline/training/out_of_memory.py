"""An error for the want of memory that says what to change."""

import contextlib
from collections.abc import Iterator

import torch
from accelerate import Accelerator

from skin_pipeline.errors import TrainingError
from skin_pipeline.training.config import TrainParameters

_PROCESSOR_MESSAGES = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
"""How torch's allocator for processors says it, in a plain RuntimeError."""


@contextlib.contextmanager
def explaining_out_of_memory(parameters: TrainParameters, accelerator: Accelerator) -> Iterator[None]:
    """Turn an allocator's error into one that names the settings to change.

    Args:
        parameters: The settings in use.
        accelerator: Knows the number format in use, the number of processes and the device.

    Raises:
        TrainingError: In place of an allocator's error; others pass.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        if not _is_out_of_memory(exc):
            raise
        device = accelerator.device
        ways = ways_to_save_memory(parameters, accelerator.mixed_precision, accelerator.num_processes, device)
        place = "The GPU's memory" if device.type == "cuda" else "The memory"
        raise TrainingError(
            f"{place} does not suffice for training ({str(exc).strip().splitlines()[0]}). Change, one after"
            f" the other until it does: {'; '.join(ways)}. Checkpoints stay as they are, but a run goes on"
            " only with the settings it was begun with, gradient_checkpointing and ema_device apart."
        ) from exc


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(message in str(error) for message in _PROCESSOR_MESSAGES)


def ways_to_save_memory(
    p: TrainParameters, mixed_precision: str, num_processes: int, device: torch.device
) -> list[str]:
    """Return the settings that would save memory, the cheapest in time and quality first.

    Each with its present value; those already at their smallest are left out.
    """
    per_pass = p.train_batch_size // (num_processes * p.gradient_accumulation_steps)
    passes = p.train_batch_size // num_processes
    shape = f"train.crop_px ({'null' if p.crop_px is None else p.crop_px}) to a part of the picture"
    candidates = [
        (mixed_precision == "no", f"train.mixed_precision ({p.mixed_precision}) to bf16"),
        (not p.gradient_checkpointing, "train.gradient_checkpointing (false) to true"),
        (
            per_pass > 1,
            f"train.gradient_accumulation_steps ({p.gradient_accumulation_steps}) to more, up to {passes}:"
            f" the same training with fewer than {per_pass} pictures in a pass",
        ),
        (p.text.is_on and p.text.max_boxes > 1, f"train.text.max_boxes ({p.text.max_boxes}) to less"),
        (p.optimizer == "adamw" and num_processes > 1, "train.optimizer (adamw) to adamw_sharded"),
        (p.optimizer != "adamw_8bit", f"train.optimizer ({p.optimizer}) to adamw_8bit"),
        (
            p.ema_decay is not None and p.ema_device == "same" and device.type != "cpu",
            "train.ema_device (same) to cpu",
        ),
        (p.controlnet_kind == "full", "train.controlnet_kind (full) to lora"),
        (p.controlnet_kind == "lora", f"train.controlnet_lora_rank ({p.controlnet_lora_rank}) to less"),
        (True, shape),
        (True, f"train.resolution_px ({p.resolution_px}) to less, with the data prepared at that size"),
    ]
    return [way for helps, way in candidates if helps]
