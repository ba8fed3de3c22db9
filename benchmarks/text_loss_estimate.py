"""What would the text loss cost at SDXL's size? Without a GPU, and without weights.

    python benchmarks/text_loss_estimate.py            # minutes of one core
    python benchmarks/text_loss_estimate.py --quick    # the embedded model alone, at 128 px

The step that ``skin_pipeline.training.estimate`` traces on tensors without contents (``--dry-run``) is traced
once with each ``train.text.mode``, on drawn sheets of legends: the embedded model at 256 px, of which
benchmarks/text_loss_cost.py measures the same, and an SDXL of true size at 512 and 1024, as conf/sdxl trains
it (bf16, gradient checkpointing, 4 pictures in a step, one in a pass). All other settings of ``train.text``
are the defaults.

``memory`` is the estimate's peak. ``operations`` are the floating-point operations of the matrix products,
convolutions and attention of a step, as torch.utils.flop_counter counts them, recomputed ones included: on a
GPU that is kept busy, time goes with them. ``fp32`` is the share of them in 32 bits (decoding and reading),
which a GPU makes at half the speed of bf16 (TF32) or less, so time ratios lie above those of operations. Each
mode is counted as often as it occurs: estimates are read below ``timestep_limit`` of timesteps drawn evenly,
and ``sampled_share`` of the pictures are sampled.

Prints a table, and all figures as one line of JSON at the end.
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop_count, sdpa_flop_count

try:
    from benchmarks import text_loss_cost, trainer_memory
except ModuleNotFoundError:  # run as a file, its folder is where modules are looked for
    import text_loss_cost  # type: ignore[no-redef]
    import trainer_memory  # type: ignore[no-redef]

from skin_pipeline.training import estimate, text_estimate
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.text_estimate import largest_legends
from skin_pipeline.training.text_parameters import TextParameters

MODES = text_loss_cost.MODES
NUM_TIMESTEPS = 1000
GIGA = 1e9
Figures = dict[str, Any]
Operations = Counter[str]
"""Floating-point operations by number format."""


def main(arguments: Sequence[str] | None = None) -> Figures:
    """Run the benchmark and return its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the embedded model alone, at 128 px")
    options = parser.parse_args(arguments)
    size = 128 if options.quick else 256
    cases = {f"embedded, {size} px": {"settings": text_loss_cost.EMBEDDED, "size": size}}
    if not options.quick:
        for size in (512, 1024):
            cases[f"SDXL, {size} px"] = {"settings": text_loss_cost.SDXL, "size": size}
    figures: Figures = {"benchmark": "text_loss_estimate"}
    figures["cases"] = {
        name: trainer_memory.in_a_process(estimate_case, task) for name, task in cases.items()
    }
    report(figures)
    return figures


def estimate_case(task: Figures) -> Figures:
    """Return what each mode takes with a base model at a size."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        settings = {**task["settings"], "resolution_px": task["size"]}
        if settings["model_base"] == "sdxl":
            trainer_memory.write_base(folder / "sdxl", "sdxl")
            settings["model_base"] = str(folder / "sdxl")
        text_loss_cost.write_sheets(folder / "sheets", task["size"])
        traces = {mode: trace(folder / "sheets", settings, mode) for mode in MODES}
    p = TrainParameters(**settings)
    plain = operations_of_step("none", traces, p)
    modes: Figures = {}
    for mode, (memory, *_) in traces.items():
        counts = operations_of_step(mode, traces, p)
        modes[mode] = {
            "operations_ratio": counts.total() / plain.total(),
            "fp32_share": counts["float32"] / counts.total(),
            "giga_operations": counts.total() / GIGA,
            "memory_ratio": memory / traces["none"][0],
            "peak_bytes": memory,
        }
    return {
        "batch_size": p.train_batch_size,
        "gradient_accumulation_steps": p.gradient_accumulation_steps,
        "gradient_checkpointing": p.gradient_checkpointing,
        "text": p.text.model_dump(mode="json", exclude={"mode", "recognizer", "measure"}),
        "modes": modes,
    }


# --- one mode's passes --------------------------------------------------------------------------------------


def trace(sheets: Path, settings: Figures, mode: str) -> tuple[int, Operations, int]:
    """Trace a step; return its peak in bytes, the operations of a pass, and how many pictures it sampled."""
    p = TrainParameters(**settings, text={"mode": mode})
    passes: list[Operations] = []
    one_trace = estimate._trace

    def counted(*arguments: Any) -> Any:
        with CountOperations() as operations:
            peaks = one_trace(*arguments)
        num_passes = min(p.gradient_accumulation_steps, 2)
        passes.append(Counter({name: count // num_passes for name, count in operations.made.items()}))
        return peaks

    images = p.train_batch_size // p.gradient_accumulation_steps
    legends = largest_legends(sheets, p, images) if p.text.is_on else ()
    is_cpu = p.accelerate_config == TrainParameters().accelerate_config
    with (
        patch.object(estimate, "_trace", counted),
        patch.object(text_estimate, "_shortest_way", mean_way),
    ):
        memory = estimate.estimate_memory(
            *(estimate.build_empty(p), p, "bf16", "cpu" if is_cpu else "cuda", images), legends=legends
        )
    made = passes[-1]
    if mode == "sampled":  # traced for two numbers of steps; each further one takes as much
        one_more = passes[-1] - passes[-2]
        further = p.text.sampler_steps - estimate._TRACED_SAMPLER_STEPS
        made = Counter({name: made[name] + further * one_more[name] for name in made})
    return memory.peak, made, sum(some.is_sampled for some in legends)


def mean_way(text: TextParameters, sampler_steps: int) -> Figures:
    """Return what makes a sampler go as far as it does on average, in place of the shortest way."""
    if text.mode == "sampled":
        return {"sampler_steps": sampler_steps}
    num_read = min(text.last_steps, text.sampler_steps)
    stop = text.sampler_steps - 1 - (num_read - 1) // 2
    begin = round((1 - text.sampler_start) * text.sampler_steps)
    return {"sampler_steps": stop + 1, "last_steps": 1, "sampler_start": 1 - begin / (stop + 1)}


def operations_of_step(
    mode: str, traces: dict[str, tuple[int, Operations, int]], p: TrainParameters
) -> Operations:
    """Return the operations of an optimizer step on average: its passes, and what a mode adds to them.

    Those of ``both`` are the sum of its parts, which occur differently often.
    """
    plain = traces["none"][1]
    images = p.train_batch_size // p.gradient_accumulation_steps
    step = Counter({name: count * p.gradient_accumulation_steps for name, count in plain.items()})
    for part in ("one_step", "last_steps") if mode == "both" else (mode,):
        _, made, num_sampled = traces[part]
        added = made - plain
        read = p.train_batch_size * p.text.timestep_limit / NUM_TIMESTEPS / images
        sampled = p.train_batch_size * p.text.sampled_share / max(num_sampled, 1)
        share = read if part == "one_step" else sampled
        step += Counter({name: round(count * share) for name, count in added.items()})
    return step


class CountOperations(TorchDispatchMode):
    """Counts floating-point operations by number format."""

    def __init__(self) -> None:
        """Begin at nothing."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.made: Operations = Counter()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operator, and count it if it is one of those that take the time."""
        out = func(*args, **(kwargs or {}))
        packet = getattr(func, "_overloadpacket", None)
        if count := COUNTS.get(packet):
            first = next(one for one in args if isinstance(one, torch.Tensor))
            name = str(first.dtype).removeprefix("torch.")
            self.made[name] += count(*args, **(kwargs or {}), out_val=out)
        return out


def attention(query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    """Return the operations of attention, as for a GPU's operator."""
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


def attention_backward(grad: Any, query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    """Return the operations of attention's backward pass, as for a GPU's operator."""
    return int(sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))


COUNTS = {
    **flop_registry,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
}


# --- figures ------------------------------------------------------------------------------------------------


def report(figures: Figures) -> None:
    """Print a table for each case, and all figures as one line of JSON."""
    for name, case in figures["cases"].items():
        print(name)
        if "error" in case:
            print(f"    {case['error']}")
            continue
        print(f"    {'mode':<12}{'operations':>12}{'fp32':>8}{'memory':>9}{'GiB':>9}")
        for mode, some in case["modes"].items():
            print(
                f"    {mode:<12}{some['operations_ratio']:>12.2f}{some['fp32_share']:>8.2f}"
                f"{some['memory_ratio']:>9.2f}{some['peak_bytes'] / 2**30:>9.2f}"
            )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
