"""Is the trainer right and fast, beside diffusers' own train_controlnet_sdxl.py?

    python benchmarks/trainer_vs_diffusers.py PATH/train_controlnet_sdxl.py            # minutes
    python benchmarks/trainer_vs_diffusers.py PATH/train_controlnet_sdxl.py --quick    # a sign of life

The script is examples/controlnet/train_controlnet_sdxl.py of https://github.com/huggingface/diffusers; it
runs as it is. Both programs train the embedded model on the same drawn skins, from the same weights, with the
same batch and resolution, each in a process of its own with one thread. They take turns step by step: while
one makes an optimizer step the other waits, so whatever else the machine does hits both alike. A step is all
from one ``optimizer.step()`` to the next: data, losses, logging and all.

    like_for_like   fp32 in both, the same memory allocator, and the same batch, noise and timesteps, so that
                    the losses must be equal: the script is handed the draws that the trainer made
    as_shipped      each with its own defaults: the script in fp32 with the system's allocator, the trainer as
                    its launcher starts it, in bf16 where the processor computes in it
    share           of the trainer's step that is the ControlNet's and UNet's own forward and backward, which
                    no trainer can do without; measured in the same process, beside each step

Prints a table, and all figures as one line of JSON at the end. Processor seconds are what counts; wall
seconds are of a machine that may be shared.
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
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skin_pipeline.base_models import WEIGHTS_FOLDER, resolve_base_model
from skin_pipeline.evaluation.bootstrap import Interval, bootstrap_ratio
from skin_pipeline.training.config import TrainingRun, TrainParameters, load_run, save_run
from skin_pipeline.training.launcher import Machine, environment
from skin_pipeline.training.sampling import SampleOrder

NUM_PICTURES = 32
LOSS_TOLERANCE = 1e-5
SCRIPT_SEED = "0"
LEARNING_RATE = 5e-6
"""The script's default. At higher ones rounding grows into the losses within some tens of steps."""
START_SECONDS = 300.0


@dataclass(frozen=True)
class Task:
    """What both programs are to do.

    Attributes:
        script: diffusers' train_controlnet_sdxl.py.
        folder: Where they work.
        resolution_px: Side of the pictures.
        batch_size: Pictures in a step.
        num_steps: Steps, of which the first are not timed.
        num_warmup_steps: Steps that are not timed.
    """

    script: Path
    folder: Path
    resolution_px: int
    batch_size: int
    num_steps: int
    num_warmup_steps: int


@dataclass(frozen=True)
class Cost:
    """What a piece of work took, in seconds."""

    cpu: float
    wall: float


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="trainer_vs_diffusers_") as folder:
        task = Task(
            script=options.script.resolve(),
            folder=Path(folder),
            resolution_px=options.resolution,
            batch_size=options.batch_size,
            num_steps=options.steps + options.warmup_steps,
            num_warmup_steps=options.warmup_steps,
        )
        prepare(task)
        figures: dict[str, Any] = {
            "benchmark": "trainer_vs_diffusers",
            "resolution_px": task.resolution_px,
            "batch_size": task.batch_size,
            "num_timed_steps": options.steps,
        }
        for name in ("like_for_like", "as_shipped")[: 1 if options.quick else 2]:
            figures[name] = compare(task, name)
    report(figures)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("script", type=Path, help="diffusers' examples/controlnet/train_controlnet_sdxl.py")
    parser.add_argument(
        "--quick", action="store_true", help="like for like only, 4 steps of 4 pictures at 128"
    )
    parser.add_argument("--resolution", type=int, default=256, help="side of the pictures in pixels")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="timed steps")
    parser.add_argument("--warmup-steps", type=int, default=3, help="steps before the timed ones")
    options = parser.parse_args(arguments)
    if options.quick:
        options.resolution, options.batch_size, options.steps, options.warmup_steps = 128, 4, 4, 1
    if not options.script.is_file():
        parser.error(f"'{options.script}' is no file; get it from the diffusers repository.")
    return options


# --- the same data and weights for both ---------------------------------------------------------------------


def prepare(task: Task) -> None:
    """Write the data in both programs' forms, and the ControlNet that both start from, in fp32."""
    from diffusers import ControlNetModel

    controlnet = ControlNetModel.from_pretrained(WEIGHTS_FOLDER / "controlnet_canny").float()
    controlnet.save_pretrained(task.folder / "controlnet")
    rows = draw_pictures(task.folder / "data", task.resolution_px)
    order = SampleOrder(len(rows), task.batch_size, seed=0)
    turns = [rows[draw.index] for step in range(task.num_steps) for draw in order.batch(step)]
    write_for_script(task.folder / "data", turns, task.folder / "script_data")


def draw_pictures(folder: Path, side_px: int) -> list[dict[str, str]]:
    """Draw skins with their edges as conditioning images, in the published form; return the rows."""
    from skin_pipeline.prep.edges import trace_edges
    from skin_pipeline.skins.drawn import describe_style, draw_skin

    for part in ("images", "conditioning_images"):
        (folder / part).mkdir(parents=True)
    rows = []
    for seed in range(NUM_PICTURES):
        skin = draw_skin(seed, width_px=768, height_px=576)
        picture = Image.fromarray(skin.image).resize((side_px, side_px), Image.Resampling.BOX)
        name = f"skin_{seed:04d}.png"
        picture.save(folder / "images" / name)
        edges = Image.fromarray(trace_edges(np.asarray(picture))).convert("RGB")
        edges.save(folder / "conditioning_images" / name)
        row = {"image": f"images/{name}", "conditioning_image": f"conditioning_images/{name}"}
        rows.append({**row, "text": describe_style(skin.style, "en", 0)})
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def write_for_script(data: Path, turns: Sequence[dict[str, str]], folder: Path) -> None:
    """Write the rows as an image folder of Hugging Face datasets, each turn a row, in the trainer's order."""
    lines = []
    for number, row in enumerate(turns):
        named = {"text": row["text"]}
        for part in ("image", "conditioning_image"):
            name = f"{part}s/{number:05d}.png"
            (folder / f"{part}s").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data / row[part], folder / name)
            named[f"{part}_file_name"] = name
        lines.append(json.dumps(named) + "\n")
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


# --- both programs, in turns --------------------------------------------------------------------------------


def compare(task: Task, name: str) -> dict[str, Any]:
    """Run both programs step by step in turns and return figures."""
    is_like_for_like = name == "like_for_like"
    trainer_environment = environment(_run(task, is_like_for_like), Machine({}, 1, is_cpu=True))
    script_environment = trainer_environment if is_like_for_like else _without_allocator(trainer_environment)
    with (
        started("trainer", task, name, trainer_environment) as trainer,
        started("script", task, name, script_environment) as script,
    ):
        costs: dict[str, list[Cost]] = {"trainer": [], "script": [], "bare": []}
        for _ in range(task.num_steps):
            trainer.send(None)
            made = trainer.recv()
            script.send(made["draws"])
            costs["trainer"].append(Cost(*made["step"]))
            costs["bare"].append(Cost(*made["bare"]))
            costs["script"].append(Cost(*script.recv()["step"]))
        for child in (trainer, script):
            child.send(None)
        ends = {"trainer": trainer.recv(), "script": script.recv()}
    timed = {program: some[task.num_warmup_steps :] for program, some in costs.items()}
    figures = summarise(timed, task.batch_size)
    figures["trainer"]["precision"] = ends["trainer"]["precision"]
    if is_like_for_like:  # it comes first, so that it is the one that encodes
        encoding = ends["trainer"]["encode_cpu"] / NUM_PICTURES
        figures["trainer"]["encode_once_cpu_seconds_per_picture"] = encoding
        figures["losses"] = compare_losses(ends["trainer"]["losses"], ends["script"]["losses"])
    return figures


def _without_allocator(variables: dict[str, str]) -> dict[str, str]:
    """Return an environment without the launcher's settings for glibc's allocator."""
    return {name: value for name, value in variables.items() if not name.startswith("MALLOC_")}


@contextmanager
def started(program: str, task: Task, name: str, variables: dict[str, str]) -> Iterator[Connection]:
    """Start a program and hand out the line to it; it waits for leave before each step."""
    address = str(task.folder / f"{name}_{program}.socket")
    log = task.folder / f"{name}_{program}.log"
    own = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(task.folder / "datasets"), "OMP_NUM_THREADS": "1"}
    code = f"from {Path(__file__).stem} import run_{program}; run_{program}()"
    described = json.dumps({**asdict(task), "name": name, "address": address}, default=str)
    paths = os.pathsep.join([str(Path(__file__).parent), variables["PYTHONPATH"]])
    with Listener(address, "AF_UNIX") as listener, log.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 - this file
            [sys.executable, "-c", code, described],
            env={**variables, **own, "PYTHONPATH": paths},
            stdout=output,
            stderr=output,
        )
        try:
            listener._listener._socket.settimeout(START_SECONDS)
            with listener.accept() as connection:
                yield connection
                child.wait()
        except (EOFError, ConnectionError, TimeoutError) as exc:
            raise SystemExit(
                f"The {program} ended early:\n{log.read_text(encoding='utf-8')[-3000:]}"
            ) from exc
        finally:
            child.kill()
            child.wait()


class Turns:
    """A program's side of taking turns: after each optimizer step it says what that cost, and waits."""

    def __init__(self, connection: Connection) -> None:
        """Wait for leave to make the first step."""
        self._connection = connection
        self.leave: Any = None
        self.losses: list[float] = []

    def wait(self) -> None:
        """Wait for leave; the clock of the next step starts with it."""
        self.leave = self._connection.recv()
        self._began = clock()

    def step_made(self, more: Callable[[], dict[str, Any]]) -> None:
        """Say what the step cost and what else there is to say, and wait for leave."""
        cost = since(self._began)
        self._connection.send({"step": astuple(cost), **more()})
        self.wait()


def clock() -> Cost:
    """Return this process's clocks."""
    return Cost(time.process_time(), time.perf_counter())


def since(began: Cost) -> Cost:
    """Return what went by on both clocks."""
    now = clock()
    return Cost(now.cpu - began.cpu, now.wall - began.wall)


def _task_of_child() -> tuple[dict[str, Any], Turns, Connection]:
    described = json.loads(sys.argv[1])
    connection = Client(described["address"], "AF_UNIX")
    return described, Turns(connection), connection


# --- the trainer's side -------------------------------------------------------------------------------------


def _run(task: Task, is_like_for_like: bool) -> TrainingRun:
    """Return the trainer's run; like for like, with the script's choices."""
    same = {
        "model_base": "embedded",
        "controlnet_init": str(task.folder / "controlnet"),
        "resolution_px": task.resolution_px,
        "train_batch_size": task.batch_size,
        "max_train_steps": task.num_steps,
        "learning_rate": LEARNING_RATE,
        "checkpointing_steps": 100_000,
        "num_validation_samples": 0,
        "num_validation_pictures": 0,
        "num_threads": 1,
    }
    scripts = {
        "mixed_precision": "no",
        "timestep_sampling": "uniform",
        "loss_weighting": "none",
        "caption_dropout": 0.0,
        "lr_scheduler": "constant",
        "lr_warmup_steps": 0,
        "adam_beta2": 0.999,
        "log_steps": 1,
    }
    return TrainingRun(
        parameters=TrainParameters.model_validate({**same, **(scripts if is_like_for_like else {})}),
        dataset_folder=task.folder / "data",
        folder=task.folder / ("like_for_like" if is_like_for_like else "as_shipped"),
        cache_folder=task.folder / "encodings",
    )


def run_trainer() -> None:
    """Train with the trainer, in turns; called in a process of its own."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    from skin_pipeline.training import loop
    from skin_pipeline.training.metrics import read_metrics

    described, turns, connection = _task_of_child()
    names = ("resolution_px", "batch_size", "num_steps", "num_warmup_steps")
    task = Task(
        Path(described["script"]), Path(described["folder"]), **{name: described[name] for name in names}
    )
    run = _run(task, described["name"] == "like_for_like")
    run.folder.mkdir()
    save_run(run, run.folder / "config.json")
    work = BareWork(loop)
    posterior = PosteriorNoise()
    encode_cost = _timed(loop, "fill_cache")

    def after_step(*_: object) -> None:
        turns.step_made(
            lambda: {"bare": astuple(work.cost()), "draws": {**work.draws(), **posterior.draws()}}
        )

    turns.wait()
    register_optimizer_step_post_hook(after_step)
    loop.train(load_run(run.folder / "config.json"))
    rows = read_metrics(run.folder)
    connection.send(
        {
            "losses": [row["loss"] for row in rows if row["kind"] == "train"],
            "precision": rows[0]["mixed_precision"],
            "encode_cpu": sum(cost.cpu for cost in encode_cost),
        }
    )


def _timed(module: types.ModuleType, name: str) -> list[Cost]:
    """Have a module's function note what each call costs."""
    function, costs = getattr(module, name), []

    def timed(*args: Any, **kwargs: Any) -> Any:
        began = clock()
        result = function(*args, **kwargs)
        costs.append(since(began))
        return result

    setattr(module, name, timed)
    return costs


class BareWork:
    """The ControlNet's and UNet's forward and backward on the last step's batch, done again and timed."""

    def __init__(self, loop: types.ModuleType) -> None:
        """Listen to the loop's predictions."""
        self._predict = loop.predict
        self._heard: tuple[Any, ...] = ()

        def heard(backend: Any, controlnet: Any, batch: Any, autocast: Any) -> Any:
            self._heard = (backend, controlnet, batch)
            return self._predict(backend, controlnet, batch, autocast)

        loop.predict = heard

    def cost(self) -> Cost:
        """Return what the models' own work costs; gradients are dropped before and after, as in training."""
        import torch
        from accelerate.state import AcceleratorState

        backend, controlnet, batch = self._heard
        is_mixed = AcceleratorState().mixed_precision == "bf16"
        noisy_latents, target = backend.add_noise(batch), backend.target(batch)
        controlnet.zero_grad()
        began = clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=is_mixed):
            control = backend.control_forward(controlnet, noisy_latents, batch)
            prediction = backend.denoise_forward(noisy_latents, batch, control)
        (prediction.float() - target).square().mean().backward()
        return since(began)

    def draws(self) -> dict[str, Any]:
        """Return the last step's noise and timesteps."""
        batch = self._heard[2]
        return {"noise": batch.noise.numpy(), "timesteps": batch.timesteps.numpy()}


class PosteriorNoise:
    """The noise of the latents' own draw, which a batch no longer tells from its latents."""

    def __init__(self) -> None:
        """Listen to samples being made; their generator draws this noise first."""
        import torch

        from skin_pipeline.training import data

        self._noise: list[np.ndarray] = []
        make = data.encoded_sample

        def heard(*args: Any, **kwargs: Any) -> Any:
            before = torch.Generator()
            before.set_state(
                next(a for a in [*args, *kwargs.values()] if isinstance(a, torch.Generator)).get_state()
            )
            made = make(*args, **kwargs)
            self._noise.append(torch.randn(made.latents.shape, generator=before).numpy())
            return made

        data.encoded_sample = heard

    def draws(self) -> dict[str, Any]:
        """Return the noise since the last call."""
        noise, self._noise = np.concatenate(self._noise), []
        return {"posterior_noise": noise}


# --- the script's side --------------------------------------------------------------------------------------


def run_script() -> None:
    """Run diffusers' script, in turns; called in a process of its own."""
    from accelerate import Accelerator
    from torch.optim.optimizer import register_optimizer_step_post_hook

    described, turns, connection = _task_of_child()
    provide_transforms()
    losses: list[float] = []
    backward = Accelerator.backward

    def heard(self: Any, loss: Any, **kwargs: Any) -> None:
        losses.append(loss.item())
        backward(self, loss, **kwargs)

    Accelerator.backward = heard
    if described["name"] == "like_for_like":
        draw_as_handed(turns)
    turns.wait()
    register_optimizer_step_post_hook(lambda *_: turns.step_made(dict))
    sys.argv = [described["script"], *script_arguments(described)]
    runpy.run_path(described["script"], run_name="__main__")
    connection.send({"losses": losses})


def script_arguments(described: dict[str, Any]) -> list[str]:
    """Return the script's command line."""
    folder = Path(described["folder"])
    values = {
        "pretrained_model_name_or_path": resolve_base_model("embedded", "the base model"),
        "controlnet_model_name_or_path": folder / "controlnet",
        "train_data_dir": folder / "script_data",
        "image_column": "image",
        "conditioning_image_column": "conditioning_image",
        "caption_column": "text",
        "output_dir": folder / f"{described['name']}_script",
        "resolution": described["resolution_px"],
        "train_batch_size": described["batch_size"],
        "max_train_steps": described["num_steps"],
        "learning_rate": LEARNING_RATE,
        "lr_warmup_steps": 0,
        "checkpointing_steps": 100_000,
        "seed": SCRIPT_SEED,
    }
    return [f"--{name}={value}" for name, value in values.items()]


def draw_as_handed(turns: Turns) -> None:
    """Have the script take rows in their order, and noise and timesteps from the trainer."""
    import datasets
    import torch
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    def sample(self: Any, generator: Any = None) -> Any:  # noqa: ARG001 - the method's own signature
        return self.mean + self.std * torch.from_numpy(turns.leave["posterior_noise"])

    class InOrder(torch.utils.data.DataLoader):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "shuffle": False})

    DiagonalGaussianDistribution.sample = sample
    torch.randn_like = lambda *_: torch.from_numpy(turns.leave["noise"])
    torch.randint = lambda *_, **__: torch.from_numpy(turns.leave["timesteps"])
    datasets.Dataset.shuffle = lambda self, **_: self
    torch.utils.data.DataLoader = InOrder


def provide_transforms() -> None:
    """Stand in for torchvision.transforms, of which the script uses five; pictures are of the right size.

    diffusers and transformers are loaded first, else they believe that torchvision is there.
    """
    import accelerate  # noqa: F401
    import datasets  # noqa: F401
    import torch
    from diffusers import (  # noqa: F401
        AutoencoderKL,
        ControlNetModel,
        DDPMScheduler,
        StableDiffusionXLControlNetPipeline,
        UNet2DConditionModel,
        UniPCMultistepScheduler,
    )
    from transformers import (  # noqa: F401
        AutoTokenizer,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        PretrainedConfig,
    )

    def compose(steps: Sequence[Callable[[Any], Any]]) -> Callable[[Any], Any]:
        def apply(value: Any) -> Any:
            for step in steps:
                value = step(value)
            return value

        return apply

    def of_size(size: int, **_: object) -> Callable[[Image.Image], Image.Image]:
        def check(picture: Image.Image) -> Image.Image:
            assert picture.size == (size, size)
            return picture

        return check

    def to_tensor(picture: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float().div(255)

    def normalize(mean: list[float], std: list[float]) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda pixels: pixels.clone().sub_(mean[0]).div_(std[0])

    transforms = types.ModuleType("torchvision.transforms")
    modes = {name: name.lower() for name in ("BILINEAR", "LANCZOS", "NEAREST", "BICUBIC")}
    members = {
        "InterpolationMode": types.SimpleNamespace(**modes),
        "Compose": compose,
        "Resize": of_size,
        "CenterCrop": of_size,
        "ToTensor": lambda: to_tensor,
        "Normalize": normalize,
    }
    for name, member in members.items():
        setattr(transforms, name, member)
    torchvision = types.ModuleType("torchvision")
    torchvision.transforms = transforms
    sys.modules.update({"torchvision": torchvision, "torchvision.transforms": transforms})


# --- figures ------------------------------------------------------------------------------------------------


def summarise(costs: dict[str, list[Cost]], batch_size: int) -> dict[str, Any]:
    """Return seconds per sample, samples per second and the ratios between programs."""
    cpu = {program: np.array([cost.cpu for cost in some]) for program, some in costs.items()}
    wall = {program: np.array([cost.wall for cost in some]) for program, some in costs.items()}
    figures: dict[str, Any] = {
        program: {
            "cpu_seconds_per_sample": float(cpu[program].mean() / batch_size),
            "samples_per_second": float(batch_size / wall[program].mean()),
            "samples_per_cpu_second": float(batch_size / cpu[program].mean()),
        }
        for program in costs
    }
    figures["times_as_fast"] = asdict(bootstrap_ratio(cpu["script"], cpu["trainer"]))
    figures["times_as_fast_wall"] = asdict(bootstrap_ratio(wall["script"], wall["trainer"]))
    figures["share_of_models"] = asdict(bootstrap_ratio(cpu["bare"], cpu["trainer"]))
    figures["limit_times_as_fast"] = float(cpu["script"].mean() / cpu["bare"].mean())
    return figures


def compare_losses(trainer: Sequence[float], script: Sequence[float]) -> dict[str, Any]:
    """Return both programs' losses and how far apart they are."""
    differences = [abs(ours - theirs) for ours, theirs in zip(trainer, script, strict=True)]
    return {
        "num_steps": len(differences),
        "largest_difference": max(differences),
        "within_tolerance": max(differences) <= LOSS_TOLERANCE,
        "trainer": list(trainer),
        "script": list(script),
    }


def report(figures: dict[str, Any]) -> None:
    """Print the table, and all figures as one line of JSON."""
    for name in ("like_for_like", "as_shipped"):
        if name not in figures:
            continue
        some = figures[name]
        ratio, share = Interval(**some["times_as_fast"]), Interval(**some["share_of_models"])
        print(f"{name}:")
        for program in ("script", "trainer", "bare"):
            print(f"  {program:<8} {some[program]['cpu_seconds_per_sample']:.4f} CPU s per sample")
        print(f"  the trainer is {ratio} times as fast (limit {some['limit_times_as_fast']:.2f})")
        print(f"  share of its step that is the models' own work: {share}")
        if "losses" in some:
            print(f"  largest difference of losses: {some['losses']['largest_difference']:.2e}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
