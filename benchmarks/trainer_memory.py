"""How much memory does the trainer need, and is its own estimate right?

    python benchmarks/trainer_memory.py             # without a GPU: minutes
    python benchmarks/trainer_memory.py --quick     # a sign of life
    python benchmarks/trainer_memory.py --sdxl      # also estimates for SDXL: a quarter of an hour
    python benchmarks/trainer_memory.py --sd3       # also estimates for SD3 medium: minutes
    python benchmarks/trainer_memory.py --gpu [--script PATH/train_controlnet_sdxl.py]

Without a GPU: the embedded model makes two optimizer steps for each of several settings, each in a process
of its own. What the second step allocates and frees is read from the record of torch's allocator
(torch.profiler), and weights, optimizer and moving average are added at their sizes. That is compared with
what ``skin_pipeline.training.estimate`` says without running anything.

With a GPU: an SDXL of true size with random weights is written to a temporary folder (nothing is downloaded;
the folder grows to 40 GB), and the trainer is run on it at 512 and 1024, at batch 1 and at the largest power
of two that fits, each in a process of its own: as fast as it can (``trainer``) and as small (``trainer,
small``: gradient checkpointing and 8-bit AdamW). Given diffusers' train_controlnet_sdxl.py (in its
examples/controlnet), so is that, in bf16 and otherwise by its own defaults. Peak memory is
torch.cuda.max_memory_allocated of the whole program, encoding included; steps per second leave out the first
ones.

Prints a table, and all figures as one line of JSON at the end.
"""

import argparse
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from skin_pipeline.geometry import quads_of
from skin_pipeline.training.config import TrainingRun, TrainParameters, load_run, save_run
from skin_pipeline.training.text_legends import PictureLegends, is_sampled_slot

GIB, MIB = 2**30, 2**20
SMALL = {"train_batch_size": 4, "resolution_px": 256, "mixed_precision": "bf16"}
SMALL_CASES: dict[str, dict[str, Any]] = {
    "bf16": {},
    "fp32": {"mixed_precision": "no"},
    "checkpointing": {"gradient_checkpointing": True},
    "accumulation 4": {"gradient_accumulation_steps": 4},
    "moving average": {"ema_decay": 0.99},
    "8-bit AdamW": {"optimizer": "adamw_8bit"},
    "lora 16": {"controlnet_kind": "lora", "controlnet_lora_rank": 16},
    "crop 128": {"crop_px": 128},
    "512 px, batch 1": {"resolution_px": 512, "train_batch_size": 1},
    **{
        f"text {mode}": {"train_batch_size": 8, "text": {"mode": mode, "sampler_steps": 4}}
        for mode in ("one_step", "last_steps", "both")
    },
    "text sampled": {"text": {"mode": "sampled", "sampler_steps": 4}},
    "text sampled, checkpointing": {
        "gradient_checkpointing": True,
        "text": {"mode": "sampled", "sampler_steps": 5},
    },
}
LEGEND_PX = (40, 24)
"""Width and height of each legend of the cases that read text."""
SDXL = {
    "model_base": "sdxl",
    "conditioning_embedding_out_channels": (16, 32, 96, 256),
    "mixed_precision": "bf16",
    "resolution_px": 1024,
    "train_batch_size": 1,
    "adam_beta2": 0.999,
    "loss_weighting": "none",
}
SDXL_CASES: dict[str, dict[str, Any]] = {
    "fp32": {"mixed_precision": "no"},
    "bf16": {},
    "checkpointing": {"gradient_checkpointing": True},
    "checkpointing, moving average": {"gradient_checkpointing": True, "ema_decay": 0.999},
    "checkpointing, 8-bit AdamW": {"gradient_checkpointing": True, "optimizer": "adamw_8bit"},
    "checkpointing, 8-bit AdamW, accumulation 2": {
        "gradient_checkpointing": True,
        "optimizer": "adamw_8bit",
        "train_batch_size": 2,
        "gradient_accumulation_steps": 2,
    },
    "checkpointing, 8-bit AdamW, crop 512": {
        "gradient_checkpointing": True,
        "optimizer": "adamw_8bit",
        "crop_px": 512,
    },
    "lora 64": {"controlnet_kind": "lora"},
    "lora 64, checkpointing": {"controlnet_kind": "lora", "gradient_checkpointing": True},
}
SDXL_UNET: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "attention_head_dim": [5, 10, 20],
    "block_out_channels": [320, 640, 1280],
    "cross_attention_dim": 2048,
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
    "transformer_layers_per_block": [1, 2, 10],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "use_linear_projection": True,
}
VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "layers_per_block": 2,
    "sample_size": 1024,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
SDXL_VAE: dict[str, Any] = {**VAE, "latent_channels": 4, "scaling_factor": 0.13025}
SD3 = {
    "model_base": "sd3",
    "mixed_precision": "bf16",
    "resolution_px": 1024,
    "train_batch_size": 1,
    "adam_beta2": 0.999,
    "loss_weighting": "none",
}
SD3_CASES: dict[str, dict[str, Any]] = {
    "bf16": {},
    "checkpointing": {"gradient_checkpointing": True},
    "checkpointing, 8-bit AdamW": {"gradient_checkpointing": True, "optimizer": "adamw_8bit"},
    "512 px": {"resolution_px": 512},
    "512 px, checkpointing": {"resolution_px": 512, "gradient_checkpointing": True},
    "lora 64": {"controlnet_kind": "lora"},
    "lora 64, checkpointing": {"controlnet_kind": "lora", "gradient_checkpointing": True},
}
SD3_TRANSFORMER: dict[str, Any] = {
    "attention_head_dim": 64,
    "caption_projection_dim": 1536,
    "in_channels": 16,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 24,
    "out_channels": 16,
    "patch_size": 2,
    "pooled_projection_dim": 2048,
    "pos_embed_max_size": 192,
    "sample_size": 128,
}
"""As diffusers' convert_sd3_to_diffusers.py writes it for SD3 medium."""
SD3_VAE: dict[str, Any] = {
    **VAE,
    "latent_channels": 16,
    "scaling_factor": 1.5305,
    "shift_factor": 0.0609,
    "use_post_quant_conv": False,
    "use_quant_conv": False,
}
SDXL_SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
NUM_STEPS, NUM_WARMUP_STEPS = 12, 4
LARGEST_BATCH = 64
TRAINERS: dict[str, dict[str, Any]] = {
    "trainer": {},
    "trainer, small": {"gradient_checkpointing": True, "optimizer": "adamw_8bit"},
}


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    figures: dict[str, Any] = {"benchmark": "trainer_memory"}
    if options.gpu:
        figures["gpu"] = measure_on_gpu(options.script, options.quick)
    else:
        figures["small"] = compare_small(options.quick)
        if options.sdxl:
            figures["sdxl_1024_estimated"] = estimate_cases(SDXL, SDXL_CASES)
        if options.sd3:
            figures["sd3_1024_estimated"] = estimate_cases(SD3, SD3_CASES)
    report(figures)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two cases; on a GPU: 512 px, batch 1")
    parser.add_argument("--sdxl", action="store_true", help="also estimate SDXL at 1024")
    parser.add_argument("--sd3", action="store_true", help="also estimate SD3 medium at 1024 and 512")
    parser.add_argument("--gpu", action="store_true", help="measure an SDXL of true size on a GPU")
    parser.add_argument("--script", type=Path, help="diffusers' train_controlnet_sdxl.py, to compare with")
    options = parser.parse_args(arguments)
    if options.script is not None and not options.script.is_file():
        parser.error(f"'{options.script}' is no file; get it from the diffusers repository.")
    return options


Figures = dict[str, Any]


def in_a_process(
    function: Callable[[dict[str, Any]], Figures], task: dict[str, Any], **variables: str
) -> Figures:
    """Run a benchmark's function in a fresh process and return what it returns; ``error`` if it fails."""
    here = Path(function.__code__.co_filename)
    code = (
        f"import json, sys; import {here.stem} as m;"
        f" print('\\n' + json.dumps(m.{function.__name__}(json.loads(sys.argv[1]))))"
    )
    paths = os.pathsep.join([str(here.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    done = subprocess.run(  # noqa: S603 - this file
        [sys.executable, "-c", code, json.dumps(task, default=str)],
        env={**os.environ, **variables, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line and not line.startswith(" ")]
        return {"error": told[-1] if told else "killed"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


# --- the estimate, against the allocator's record -----------------------------------------------------------


def compare_small(quick: bool) -> dict[str, dict[str, Any]]:
    """Return estimated and measured bytes of each case of the embedded model."""
    figures = {}
    for name, changes in list(SMALL_CASES.items())[: 2 if quick else None]:
        settings = {**SMALL, **changes}
        if quick:
            settings["resolution_px"] = 128
        measured = in_a_process(measure_step, settings)
        if "error" in measured:
            figures[name] = measured
            continue
        estimated = in_a_process(estimate_step, {"settings": settings, "device_type": "cpu"})
        figures[name] = {**measured, **estimated, "ratio": estimated["peak"] / measured["measured_peak"]}
    return figures


def estimate_step(task: dict[str, Any]) -> dict[str, Any]:
    """Return the trainer's own estimate for some settings; ``sdxl`` and ``sd3`` are built from this file."""
    from skin_pipeline.training.estimate import build_empty, estimate_memory

    settings = dict(task["settings"])
    with tempfile.TemporaryDirectory() as folder:
        if settings.get("model_base") in {"sdxl", "sd3"}:
            write_base(Path(folder), settings["model_base"])
            settings["model_base"] = folder
        parameters = TrainParameters(**settings)
        model = build_empty(parameters)
    images = parameters.train_batch_size // parameters.gradient_accumulation_steps
    began = time.process_time()
    memory = estimate_memory(
        *(model, parameters, parameters.mixed_precision, task["device_type"], images),
        legends=some_legends(parameters, images),
    )
    return {"parts": dict(memory.parts), "peak": memory.peak, "cpu_seconds": time.process_time() - began}


def write_base(folder: Path, kind: str) -> None:
    """Write an SDXL's or an SD3's configuration files, without weights."""
    from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

    if kind == "sdxl":
        index = "StableDiffusionXLPipeline"
        write_config(folder / "unet", "UNet2DConditionModel", SDXL_UNET)
        write_config(folder / "vae", "AutoencoderKL", SDXL_VAE)
        DDPMScheduler(**SDXL_SCHEDULE).save_pretrained(folder / "scheduler")
    else:
        index = "StableDiffusion3Pipeline"
        write_config(folder / "transformer", "SD3Transformer2DModel", SD3_TRANSFORMER)
        write_config(folder / "vae", "AutoencoderKL", SD3_VAE)
        FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": index}), encoding="utf-8")


def write_config(folder: Path, class_name: str, values: dict[str, Any]) -> None:
    """Write a model's configuration as ``save_pretrained`` does, without weights."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"_class_name": class_name, **values}), encoding="utf-8")


def measure_step(settings: dict[str, Any]) -> dict[str, Any]:
    """Make two optimizer steps with the embedded model; return the second one's peak, and this process's."""
    import resource

    import torch

    from skin_pipeline.recognition.torch_recognizer import load_recognizer
    from skin_pipeline.training.backend import TextEmbeddings
    from skin_pipeline.training.estimate import _DTYPES
    from skin_pipeline.training.objective import predict, squared_errors
    from skin_pipeline.training.optimizers import make_optimizer
    from skin_pipeline.training.sdxl import SDXLFamily
    from skin_pipeline.training.text_loss import TextLoss

    p, device = TrainParameters(**settings), torch.device("cpu")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    family, dtype = SDXLFamily(p), _DTYPES[p.mixed_precision]
    family.to(device, dtype)
    groups = family.parameter_groups()
    optimizer = make_optimizer(groups, p, device)
    trained = [parameter for group in groups for parameter in group["params"]]
    averages = [parameter.detach().clone() for parameter in trained] if p.ema_decay else []
    recognizer = load_recognizer() if p.text.is_on else None

    def step() -> None:
        for _ in range(p.gradient_accumulation_steps):
            batch = random_batch(family, p)
            autocast = partial(torch.autocast, "cpu", dtype, enabled=dtype != torch.float32)
            prediction, target = predict(family, family.controlnet, batch, autocast())
            loss = squared_errors(prediction, target)
            if recognizer is not None:
                no_text = TextEmbeddings(batch.prompt_embeds[:1], batch.pooled_prompt_embeds[:1])
                text_loss = TextLoss(family, p, recognizer, no_text)
                loss = loss + text_loss(family.controlnet, batch, prediction, autocast, 0)
            loss.mean().backward()
            del batch, prediction, target, loss
        optimizer.step()
        optimizer.zero_grad()

    step()
    parts = [*family.frozen_parts.values(), family.controlnet, *filter(None, [recognizer])]
    weights = {p for part in parts for p in (*part.parameters(), *part.buffers())}
    state = [value for values in optimizer.state.values() for value in values.values()]
    kept = [*weights, *averages, *(value for value in state if isinstance(value, torch.Tensor))]
    return {
        "measured_peak": sum(t.numel() * t.element_size() for t in kept) + allocated_peak(step),
        "process_growth": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024,
    }


def random_batch(family: Any, p: TrainParameters) -> Any:
    """Return a batch of noise that fits the model, with legends where they are read."""
    import torch

    count = p.train_batch_size // p.gradient_accumulation_steps
    batch = family.empty_batch(count, p.crop_px or p.resolution_px)
    if p.text.is_on:
        pixel_values = torch.empty_like(batch.conditioning_pixel_values)
        batch = replace(batch, legends=some_legends(p, count), pixel_values=pixel_values)
    return batch._with_each(
        lambda t: torch.randn(t.shape) if t.is_floating_point() else torch.randint(0, 599, t.shape)
    )


def some_legends(p: TrainParameters, count: int) -> tuple[PictureLegends, ...]:
    """Return the legends of so many pictures, as many of each as are read; a share of them is sampled."""
    width, height = LEGEND_PX
    boxes = [[20, 20 + 50 * row, 20 + width, 20 + 50 * row + height] for row in range(p.text.max_boxes)]
    return tuple(
        PictureLegends(
            ("ok",) * len(boxes), quads_of(boxes), slot, is_sampled_slot(slot, p.text.sampled_share)
        )
        for slot in range(count)
    )


def allocated_peak(work: Callable[[], None]) -> int:
    """Return the most bytes that work had from torch's allocator at once."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return peak


def estimate_cases(common: Figures, cases: dict[str, Figures]) -> dict[str, Figures]:
    """Return the estimates for a base model of true size on a GPU."""
    return {
        name: in_a_process(estimate_step, {"settings": {**common, **changes}, "device_type": "cuda"})
        for name, changes in cases.items()
    }


# --- SDXL of true size on a GPU -----------------------------------------------------------------------------


def measure_on_gpu(script: Path | None, quick: bool) -> dict[str, Any]:
    """Return peaks and steps per second of both programs at 512 and 1024, batch 1 and the largest."""
    with tempfile.TemporaryDirectory(prefix="trainer_memory_") as folder:
        built = in_a_process(build_sdxl, {"folder": folder})
        if "error" in built:
            raise SystemExit(f"The random SDXL could not be built: {built['error']}")
        programs: dict[str, tuple[Callable[[dict[str, Any]], Figures], dict[str, Any]]] = {
            name: (run_trainer, {"settings": settings}) for name, settings in TRAINERS.items()
        }
        if script is not None:
            programs["script"] = (run_script, {"script": script.resolve()})
        figures: dict[str, Any] = {"device": built["device"]}
        for side_px in (512,) if quick else (512, 1024):
            for name, (function, settings) in programs.items():
                task = {"folder": folder, "side_px": side_px, **settings}
                figures[f"{name}, {side_px} px, batch 1"] = in_a_process(function, {**task, "batch_size": 1})
                if not quick:
                    figures[f"{name}, {side_px} px, largest batch"] = largest_batch(function, task)
    return figures


def largest_batch(function: Callable[[dict[str, Any]], Figures], task: dict[str, Any]) -> Figures:
    """Return the figures of the largest batch, a power of two, that ends without an error."""
    best: dict[str, Any] = {"error": "not even a batch of 2"}
    batch_size = 2
    while batch_size <= LARGEST_BATCH:
        figures = in_a_process(function, {**task, "batch_size": batch_size})
        if "error" in figures:
            break
        best = figures
        batch_size *= 2
    return best


def build_sdxl(task: dict[str, Any]) -> dict[str, Any]:
    """Write an SDXL of true size with random weights, and pictures at 512 and 1024."""
    import torch
    from trainer_vs_diffusers import draw_pictures, write_for_script

    folder = Path(task["folder"])
    save_random_sdxl(folder / "sdxl")
    for side_px in (512, 1024):
        rows = draw_pictures(folder / f"data_{side_px}", side_px)
        write_for_script(folder / f"data_{side_px}", rows, folder / f"script_data_{side_px}")
    return {"device": torch.cuda.get_device_name()}


def save_random_sdxl(folder: Path) -> None:
    """Write an SDXL of true size with random weights in fp16, made on the GPU."""
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from skin_pipeline.embedded.architecture import build_tokenizer

    tokenizer = build_tokenizer(["a keyboard skin"] * 4, 600)
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1, "vocab_size": 49408}
    large = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32}
    base = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    with torch.device("cuda"):
        pipeline = StableDiffusionXLPipeline(
            vae=AutoencoderKL(**SDXL_VAE),
            text_encoder=CLIPTextModel(CLIPTextConfig(**ids, **base, num_attention_heads=12)),
            text_encoder_2=CLIPTextModelWithProjection(
                CLIPTextConfig(**ids, **large, num_attention_heads=20, projection_dim=1280, hidden_act="gelu")
            ),
            tokenizer=tokenizer,
            tokenizer_2=tokenizer,
            unet=UNet2DConditionModel(**SDXL_UNET),
            scheduler=DDPMScheduler(**SDXL_SCHEDULE, steps_offset=1, clip_sample=False),
            add_watermarker=False,
        )
    pipeline.to(dtype=torch.float16).save_pretrained(folder)


def run_trainer(task: dict[str, Any]) -> dict[str, Any]:
    """Run the trainer's own loop; return peak and pace."""
    from skin_pipeline.training.loop import train

    folder, batch_size, side_px = Path(task["folder"]), task["batch_size"], task["side_px"]
    parameters = TrainParameters(
        **{
            **SDXL,
            "model_base": str(folder / "sdxl"),
            "resolution_px": side_px,
            "train_batch_size": batch_size,
            **task["settings"],
            "max_train_steps": NUM_STEPS,
            "learning_rate": 1e-5,
            "num_validation_samples": 0,
            "num_validation_pictures": 0,
            "dataloader_num_workers": 2,
            "accelerate_config": "gpu_1",
        }
    )
    run = TrainingRun(
        parameters=parameters,
        dataset_folder=folder / f"data_{side_px}",
        folder=folder / f"run_{side_px}_{batch_size}",
        cache_folder=folder / "encodings",
    )
    run.folder.mkdir()
    save_run(run, run.folder / "config.json")
    try:
        return timed(lambda: train(load_run(run.folder / "config.json")), batch_size)
    finally:
        shutil.rmtree(run.folder)


def run_script(task: dict[str, Any]) -> dict[str, Any]:
    """Run diffusers' script in bf16, else by its defaults; return peak and pace."""
    from trainer_vs_diffusers import provide_transforms

    folder, side_px = Path(task["folder"]), task["side_px"]
    provide_transforms()
    values = {
        "pretrained_model_name_or_path": folder / "sdxl",
        "train_data_dir": folder / f"script_data_{side_px}",
        "image_column": "image",
        "conditioning_image_column": "conditioning_image",
        "caption_column": "text",
        "cache_dir": folder / "script_cache",
        "output_dir": folder / f"script_{side_px}_{task['batch_size']}",
        "resolution": side_px,
        "train_batch_size": task["batch_size"],
        "max_train_steps": NUM_STEPS,
        "mixed_precision": "bf16",
        "learning_rate": 1e-5,
        "checkpointing_steps": 100_000,
        "dataloader_num_workers": 2,
        "seed": 0,
    }
    sys.argv = [task["script"], *(f"--{name}={value}" for name, value in values.items())]
    try:
        return timed(lambda: runpy.run_path(task["script"], run_name="__main__"), task["batch_size"])
    finally:
        shutil.rmtree(values["output_dir"], ignore_errors=True)


def timed(work: Callable[[], Any], batch_size: int) -> dict[str, Any]:
    """Run a training on a GPU; return its peak memory and, from its optimizer steps, its pace."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    ends: list[float] = []

    def step_made(*_: object) -> None:
        torch.cuda.synchronize()
        ends.append(time.perf_counter())

    register_optimizer_step_post_hook(step_made)
    work()
    seconds = (ends[-1] - ends[NUM_WARMUP_STEPS - 1]) / (len(ends) - NUM_WARMUP_STEPS)
    return {
        "batch_size": batch_size,
        "peak": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
        "steps_per_second": 1 / seconds,
        "samples_per_second": batch_size / seconds,
    }


# --- figures ------------------------------------------------------------------------------------------------


def report(figures: dict[str, Any]) -> None:
    """Print the tables, and all figures as one line of JSON."""
    for name, some in figures.get("small", {}).items():
        print(f"{name:<20}" + (some.get("error") or small_row(some)))
    for base in ("sdxl", "sd3"):
        for name, some in figures.get(f"{base}_1024_estimated", {}).items():
            parts = {part: round(size / GIB, 2) for part, size in some.get("parts", {}).items()}
            peak = f"{some['peak'] / GIB:.2f} GiB" if parts else some["error"]
            print(f"{base} 1024, {name}: {peak} {parts}")
    for name, some in figures.get("gpu", {}).items():
        print(f"{name}: {some}")
    print(json.dumps(figures))


def small_row(some: Figures) -> str:
    """Return what was measured and estimated of a small case."""
    measured, estimated, growth = (some[name] / MIB for name in ("measured_peak", "peak", "process_growth"))
    return (
        f"measured {measured:7.1f} MiB, estimated {estimated:7.1f} ({some['ratio']:.3f});"
        f" the process grew by {growth:.0f}"
    )


if __name__ == "__main__":
    main()
