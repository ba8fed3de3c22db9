"""What does the text loss cost, in time for each step and in memory?

    python benchmarks/text_loss_cost.py                     # the embedded model, minutes of one core
    python benchmarks/text_loss_cost.py --quick             # a sign of life
    python benchmarks/text_loss_cost.py --sdxl --size 1024  # SDXL of true size with random weights, on a GPU

The trainer runs as it is (``skin_pipeline.training.loop``), on drawn sheets of legends; but each of its
optimizer steps is made once with each ``train.text.mode``, on the same pictures and in turns, so that a busy
machine slows all modes alike:

    none         without the text loss
    one_step     reading the estimate of the trained timestep
    last_steps   reading the estimate in the model's own sampling
    both
    sampled      whole pictures sampled with the gradient through every call, CTC only: the forerunner's way

All other settings of ``train.text`` are the defaults. Time is processor seconds, on a GPU seconds until it is
done. ``limit`` is what the calls of the model take that a mode is defined by, without decoding or reading
anything: no way of reading legends can do with less. Memory is the peak of what torch's allocator gave out in
a step (on a processor by its own record, and for ``none`` without the weights of VAE and recogniser).

SDXL is built in a temporary folder (7 GB); nothing is downloaded. It trains as conf/sdxl has it: bf16,
gradient checkpointing, 4 pictures in a step, one in a pass. A mode that does not fit is named so.

Prints a table, and all figures as one line of JSON at the end.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from PIL import Image

try:
    from benchmarks import trainer_memory
except ModuleNotFoundError:  # run as a file, its folder is where modules are looked for
    import trainer_memory  # type: ignore[no-redef]

from skin_pipeline.evaluation.bootstrap import Interval, bootstrap_ratio
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.launcher import Machine, environment
from skin_pipeline.training.text_parameters import TextParameters

MODES = ("none", "one_step", "last_steps", "both", "sampled")
EMBEDDED = {"model_base": "embedded", "controlnet_init": "embedded-canny", "train_batch_size": 8}
SDXL = {
    **trainer_memory.SDXL,
    "gradient_checkpointing": True,
    "train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "accelerate_config": "gpu_1",
}
NUM_SHEETS = 16
MIB = 2**20
Figures = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> Figures:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="text_loss_cost_") as scratch:
        folder = Path(scratch)
        task = {"folder": scratch, "rounds": options.rounds, "is_sdxl": options.sdxl}
        settings = {
            **(SDXL if options.sdxl else EMBEDDED),
            "resolution_px": options.size,
            "text": {"mode": "both", "sampler_steps": options.sampler_steps},
        }
        run = TrainingRun(
            parameters=TrainParameters(**settings), dataset_folder=folder, folder=folder, cache_folder=folder
        )
        machine = Machine({}, 1, is_cpu=not options.sdxl)
        figures = trainer_memory.in_a_process(
            measure, {**task, "settings": settings}, **environment(run, machine)
        )
    if "error" in figures:
        raise SystemExit(f"The trainer ended early: {figures['error']}")
    report(figures)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one round of 128 px and 3 sampler steps")
    parser.add_argument("--sdxl", action="store_true", help="an SDXL of true size; needs a GPU")
    parser.add_argument("--size", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="timed steps of each mode")
    parser.add_argument("--sampler-steps", type=int, default=TextParameters().sampler_steps)
    options = parser.parse_args(arguments)
    if options.quick:
        options.rounds, options.sampler_steps = 1, 3
        options.size = options.size if options.sdxl else 128
    if options.sdxl:
        import torch

        if not torch.cuda.is_available():
            parser.error("--sdxl needs a GPU.")
    return options


def measure(task: Figures) -> Figures:
    """Train for some rounds, each step in every mode; return the figures."""
    from skin_pipeline.training import loop

    folder, settings = Path(task["folder"]), dict(task["settings"])
    write_sheets(folder / "sheets", settings["resolution_px"])
    if task["is_sdxl"]:
        trainer_memory.save_random_sdxl(folder / "sdxl")
        settings["model_base"] = str(folder / "sdxl")
    rounds = Rounds(loop._Training.step, task["rounds"])
    settings |= {
        "max_train_steps": rounds.count,
        "learning_rate": 1e-6,
        "num_validation_samples": 0,
        "num_validation_pictures": 0,
        "num_threads": None if task["is_sdxl"] else 1,
    }
    run = TrainingRun(
        parameters=TrainParameters(**settings),
        dataset_folder=folder / "sheets",
        folder=folder / "run",
        cache_folder=folder / "encodings",
    )

    def nothing(*_: object) -> None:
        """Leave out what comes between steps."""

    kept: dict[str, Any] = dict.fromkeys(("validate", "report", "save", "publish"), nothing)
    with patch.multiple(loop._Training, step=rounds.method(), _checked_loss=mean_loss, **kept):
        loop.train(run)
    return {"benchmark": "text_loss_cost", **rounds.figures()}


def mean_loss(_training: Any, _step: int, losses: Any, *_: object) -> float:
    """Return the mean loss, finite or not: random weights sample random numbers."""
    return float(losses.mean())


def write_sheets(folder: Path, side_px: int) -> None:
    """Draw sheets of keys with legends, in the published form; at 256 px legends are 16 to 32 high."""
    import numpy as np

    from skin_pipeline.prep.edges import trace_edges
    from skin_pipeline.prep.publish import join_legends
    from skin_pipeline.skins.drawn.legend_sheets import draw_legend_sheet

    for part in ("images", "conditioning_images"):
        (folder / part).mkdir(parents=True)
    grid, heights_px = ((3, 4), (side_px / 16, side_px / 8)) if side_px <= 256 else ((6, 8), (32.0, 64.0))
    rows = []
    for seed in range(NUM_SHEETS):
        sheet = draw_legend_sheet(seed, (side_px, side_px), grid, heights_px)
        name = f"{seed}.png"
        Image.fromarray(sheet.picture).save(folder / "images" / name)
        Image.fromarray(np.repeat(trace_edges(sheet.picture)[..., None], 3, axis=2)).save(
            folder / "conditioning_images" / name
        )
        row = {"image": f"images/{name}", "conditioning_image": f"conditioning_images/{name}"}
        caption = join_legends("a keyboard skin", list(sheet.texts))
        rows.append({**row, "text": caption, "box": sheet.quads.round(2).tolist()})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(lines, encoding="utf-8")


# --- the trainer's step, in every mode ----------------------------------------------------------------------


class Rounds:
    """Makes each of the trainer's steps once in every mode, in turns: at last weighed, and timed before."""

    def __init__(self, step: Callable[..., Any], num_timed: int) -> None:
        """Keep the trainer's own step.

        Args:
            step: As the loop has it.
            num_timed: Rounds that are timed.
        """
        self._step = step
        self.count = num_timed + 2
        self._timed = range(1, num_timed + 1)
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._peaks: dict[str, int] = {}
        self._errors: dict[str, str] = {}
        self._calls: dict[bool, list[float]] = {False: [], True: []}
        self._training: Any = None

    def method(self) -> Callable[..., Any]:
        """Return what takes the place of the trainer's step."""

        def step(training: Any, *arguments: Any) -> None:
            self._make_round(training, *arguments)

        return step

    def _make_round(self, training: Any, number: int, batches: Iterator[Any], pace: Any) -> None:
        p, own_loss = training.p, training.text_loss
        passes = [next(batches) for _ in range(p.gradient_accumulation_steps)]
        turn = number % len(MODES)
        for mode in MODES[turn:] + MODES[:turn]:
            if mode in self._errors:
                continue
            self._prepare(training, mode, p, own_loss)
            some = passes if mode != "none" else [without_legends(batch) for batch in passes]
            step = partial(self._step, training, number, iter(some), pace)
            if number == self.count - 1:
                step = partial(self._weigh, mode, training, own_loss._recognizer, step)
            seconds = self._time(mode, training, step)
            if number in self._timed and mode not in self._errors:
                self._seconds[mode].append(seconds)
        training.p, training.text_loss = p, own_loss
        if number in self._timed:
            for has_gradient in (False, True):
                calls = partial(call_model, training, passes, has_gradient)
                self._calls[has_gradient].append(timed(calls, training.accelerator.device))
        self._training = training

    def _prepare(self, training: Any, mode: str, p: TrainParameters, own_loss: Any) -> None:
        """Have the trainer make its next step in a mode."""
        from skin_pipeline.training.text_loss import TextLoss

        training.p = p.model_copy(update={"text": p.text.model_copy(update={"mode": mode})})
        loss = TextLoss(training.backend, training.p, own_loss._recognizer, own_loss._no_text)
        training.text_loss = None if mode == "none" else loss
        training.accelerator.step = 0  # of its passes; a mode without room has left it in the middle

    def _time(self, mode: str, training: Any, step: Callable[[], Any]) -> float:
        """Return what a step takes; note it if there is no room for it."""
        import torch

        try:
            return timed(step, training.accelerator.device)
        except torch.OutOfMemoryError as exc:
            self._errors[mode] = f"out of memory: {str(exc).splitlines()[0]}"
            training.backend.controlnet.zero_grad()
            torch.cuda.empty_cache()
            return 0.0

    def _weigh(self, mode: str, training: Any, recognizer: Any, step: Callable[[], Any]) -> None:
        """Make a step and note the most bytes held: by what stays, and by the step."""
        import torch

        parts = training.backend.frozen_parts
        readers = [recognizer, *(part for name, part in parts.items() if name == "vae")]
        state = [v for values in training.optimizer.state.values() for v in values.values()]
        kept = [t for part in (*parts.values(), training.backend.controlnet) for t in tensors_of(part)]
        kept += [*tensors_of(recognizer), *(v for v in state if isinstance(v, torch.Tensor))]
        if training.accelerator.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            step()
            peak = int(torch.cuda.max_memory_allocated())
        else:
            peak = size_of(kept) + trainer_memory.allocated_peak(step)
        unused = readers if mode == "none" else []
        self._peaks[mode] = peak - sum(size_of(tensors_of(part)) for part in unused)

    def figures(self) -> Figures:
        """Return ratios to the steps without the text loss, and what was measured."""
        training = self._training
        p, device = training.p, training.accelerator.device
        plain = self._seconds["none"]
        share = {kind: sum(self._calls[kind]) / sum(plain) for kind in self._calls}
        modes: Figures = {}
        for mode in MODES:
            if mode in self._errors:
                modes[mode] = {"error": self._errors[mode]}
                continue
            modes[mode] = {
                "time_ratio": asdict(bootstrap_ratio(self._seconds[mode], plain)),
                "limit_time_ratio": limit(p.text.model_copy(update={"mode": mode}), share),
                "memory_ratio": self._peaks[mode] / self._peaks["none"],
                "peak_bytes": self._peaks[mode],
            }
        return {
            "device": device_name(device),
            "mixed_precision": training.accelerator.mixed_precision,
            "resolution_px": p.resolution_px,
            "batch_size": p.train_batch_size,
            "gradient_accumulation_steps": p.gradient_accumulation_steps,
            "gradient_checkpointing": p.gradient_checkpointing,
            "text": p.text.model_dump(mode="json", exclude={"mode", "recognizer", "measure"}),
            "num_timed_steps": len(plain),
            "modes": modes,
        }


def without_legends(batch: Any) -> Any:
    """Return a pass as it is without the text loss."""
    return replace(batch, legends=(), pixel_values=None)


def call_model(training: Any, passes: Sequence[Any], has_gradient: bool) -> None:
    """Make a step's predictions, and perhaps their backward pass, and nothing else."""
    import torch

    from skin_pipeline.training.objective import predict, squared_errors

    backend, accelerator = training.backend, training.accelerator
    for batch in passes:
        placed = batch.to(accelerator.device)
        with nullcontext() if has_gradient else torch.no_grad():
            prediction, target = predict(backend, backend.controlnet, placed, accelerator.autocast())
        if has_gradient:
            squared_errors(prediction, target).mean().backward()
    backend.controlnet.zero_grad()


def timed(work: Callable[[], Any], device: Any) -> float:
    """Return the processor seconds that work takes, or on a GPU the seconds until it is done there."""
    if device.type != "cuda":
        began = time.process_time()
        work()
        return time.process_time() - began
    import torch

    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def limit(text: TextParameters, share: dict[bool, float]) -> float:
    """Return the least time of a step in a mode, in steps without the text loss: that, and its calls.

    Args:
        text: The mode, and how it samples.
        share: Time of the calls for all pictures of a step, without and with gradient, in such steps.
    """
    if not text.is_sampling:
        return 1.0
    if text.mode == "sampled":
        calls = text.sampler_steps * share[True]
    else:
        steps = [text.sampler_steps - 1 - last for last in range(min(text.last_steps, text.sampler_steps))]
        begin = round((1 - text.sampler_start) * text.sampler_steps)
        before = sum(step - min(step, begin) for step in steps) / len(steps)
        calls = before * share[False] + share[True]
    return 1 + text.sampled_share * (2 if text.guidance_scale > 1 else 1) * calls


def tensors_of(part: Any) -> list[Any]:
    """Return a module's weights and buffers."""
    return [*part.parameters(), *part.buffers()]


def size_of(tensors: Sequence[Any]) -> int:
    """Return the bytes of tensors, each counted once."""
    return sum(t.numel() * t.element_size() for t in {id(t): t for t in tensors}.values())


def device_name(device: Any) -> str:
    """Return what a GPU is called, or ``cpu``."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


# --- figures ------------------------------------------------------------------------------------------------


def report(figures: Figures) -> None:
    """Print the table, and all figures as one line of JSON."""
    print(f"{'mode':<12}{'time':>28}{'limit':>8}{'memory':>9}{'MiB':>9}")
    for mode, some in figures["modes"].items():
        if "error" in some:
            print(f"{mode:<12}{some['error']}")
            continue
        ratio = str(Interval(**some["time_ratio"]))
        print(
            f"{mode:<12}{ratio:>28}{some['limit_time_ratio']:>8.2f}{some['memory_ratio']:>9.2f}"
            f"{some['peak_bytes'] / MIB:>9.0f}"
        )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
