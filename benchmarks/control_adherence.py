"""Do generated skins follow their conditioning images and the colours of their prompts?

    python benchmarks/control_adherence.py            # minutes on a processor
    python benchmarks/control_adherence.py --quick    # a sign of life

Pictures are generated from held-out skins (conditioning image and caption) of the published training set:

    trained     the trained ControlNet
    shuffled    the trained ControlNet, given another skin's conditioning image but measured against its own
    untrained   a ControlNet fresh from the UNet; its output convolutions are zero, so it must equal ``none``
    none        no control
    real        the real skins: the ceiling

Each picture's edges are compared with its conditioning image (precision, recall and F1 at 2 px tolerance; see
``skin_pipeline.evaluation.edges``; filled glyphs count with their outlines), its dominant colour with the
colours of its caption. Figures are means over skins (seeds are averaged first) with 95 % bootstrap intervals.
Where all skins share one conditioning image, ``shuffled`` equals ``trained``.

Prints a table, and all figures as one line of JSON at the end; saves a contact sheet to --out.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from diffusers import ControlNetModel, StableDiffusionXLControlNetPipeline
from PIL import Image, ImageDraw

from skin_pipeline.base_models import resolve_controlnet
from skin_pipeline.datasets import FolderDataset
from skin_pipeline.evaluation.bootstrap import Interval, bootstrap_mean, bootstrap_ratio
from skin_pipeline.evaluation.colour import colour_agrees, part_colours_agree
from skin_pipeline.evaluation.edges import controlnet_plus_plus_f1, edge_agreement, outlines
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.pipeline import load_pipeline
from skin_pipeline.generation.plan import read_rows
from skin_pipeline.generation.weights import folder_digest, locate_base_model
from skin_pipeline.generation.worker import Generator
from skin_pipeline.items import Folder
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.publish import Row

TOLERANCE_PX = 2
GENERATED = ("trained", "shuffled", "untrained", "none")
METRICS = ("precision", "recall", "f1", "f1_exact", "f1_controlnet_plus_plus", "colour", "panel", "keys")
SHEET_ROWS = 8
LABEL_PX = 22


@dataclass(frozen=True)
class Skin:
    """A held-out skin."""

    id: str
    text: str
    real: np.ndarray
    """(H, W, 3) uint8"""
    control: np.ndarray
    """Its conditioning image, (H, W, 3) uint8"""


def main(arguments: Sequence[str] | None = None) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    dataset: Folder = FolderDataset(filepath=str(options.dataset)).load()
    skins = [load_skin(dataset, row) for row in read_rows(dataset, options.split)[: options.num]]
    if len(skins) < 2:
        raise SystemExit(f"'{options.split}' of {options.dataset} has {len(skins)} skins; shuffling needs 2.")
    parameters = InferenceParameters(
        base_model=options.base,
        num_inference_steps=options.steps,
        guidance_scale=options.guidance,
        batch_size=options.batch_size,
        num_threads=options.threads,
    )
    weights = Path(resolve_controlnet(options.weights, "--weights"))
    pictures = generate_all(skins, parameters, weights, options.seeds)
    pictures["real"] = [[skin.real] for skin in skins]
    scores = {
        name: score(skins, made, (options.low, options.high), options.channels)
        for name, made in pictures.items()
    }
    save_sheet(skins, pictures, options.out)
    figures = {
        "benchmark": "control_adherence",
        "tolerance_px": TOLERANCE_PX,
        "num_skins": len(skins),
        "num_seeds": len(options.seeds),
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance,
        "weights_digest": folder_digest(weights),
        "base_model_digest": locate_base_model(options.base, "--base").digest,
        "dataset_digest": dataset.digest,
        "systems": {name: summarise(made) for name, made in scores.items()},
        "f1_trained_over": {name: f1_ratio(scores, name) for name in GENERATED[1:]},
        "colour_chance": colour_chance(skins, pictures["trained"]),
    }
    report(figures, scores)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="4 skins, 1 seed, 8 steps")
    parser.add_argument("--dataset", type=Path, default=Path("data/05_model_input/train_dataset"))
    parser.add_argument("--split", choices=["validation", "train"], default="validation")
    parser.add_argument("--weights", default="data/06_models/controlnet", help="folder or 'embedded-canny'")
    parser.add_argument("--base", default="embedded", help="folder, hub id or 'embedded'")
    parser.add_argument("--num", type=int, default=24, help="skins, if there are as many")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--low", type=float, default=50, help="Canny's thresholds, as in data_prep")
    parser.add_argument("--high", type=float, default=80)
    parser.add_argument("--channels", choices=["gray", "any"], default="gray")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("data/08_reporting/control_adherence.png"))
    options = parser.parse_args(arguments)
    if options.quick:
        options.num, options.seeds, options.steps = min(options.num, 4), options.seeds[:1], 8
    return options


def load_skin(dataset: Folder, row: Row) -> Skin:
    """Read both pictures of a row."""
    return Skin(
        row.skin, row.text, read(dataset.path / row.image), read(dataset.path / row.conditioning_image)
    )


def read(path: Path) -> np.ndarray:
    """Read a picture as (H, W, 3) uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def generate_all(
    skins: Sequence[Skin], parameters: InferenceParameters, weights: Path, seeds: Sequence[int]
) -> dict[str, list[list[np.ndarray]]]:
    """Generate the pictures of every system; by system, skin and seed."""
    pipeline = load_pipeline(parameters, locate_base_model(parameters.base_model, "--base"), weights)
    own = [skin.control for skin in skins]
    another = own[1:] + own[:1]  # everyone gets their neighbour's
    without = parameters.model_copy(update={"controlnet_conditioning_scale": 0.0})
    made = {
        "trained": generate(pipeline, parameters, skins, own, seeds),
        "shuffled": generate(pipeline, parameters, skins, another, seeds),
        "none": generate(pipeline, without, skins, own, seeds),
    }
    pipeline.controlnet = untrained(pipeline)
    made["untrained"] = generate(pipeline, parameters, skins, own, seeds)
    return {name: made[name] for name in GENERATED}


def untrained(pipeline: StableDiffusionXLControlNetPipeline) -> ControlNetModel:
    """Return a ControlNet as training starts with it."""
    fresh = ControlNetModel.from_unet(
        pipeline.unet,
        conditioning_embedding_out_channels=pipeline.controlnet.config.conditioning_embedding_out_channels,
    )
    return fresh.to(pipeline.unet.device, pipeline.unet.dtype)


def generate(
    pipeline: StableDiffusionXLControlNetPipeline,
    parameters: InferenceParameters,
    skins: Sequence[Skin],
    controls: Sequence[np.ndarray],
    seeds: Sequence[int],
) -> list[list[np.ndarray]]:
    """Generate a picture for each skin and seed, all of one size."""
    generator = Generator(pipeline, parameters, {})
    jobs = [(index, seed) for index in range(len(skins)) for seed in seeds]
    pictures: list[list[np.ndarray]] = [[] for _ in skins]
    for batch in batches(jobs, parameters.batch_size):
        requests = [
            {"prompt": skins[index].text, "negative_prompt": "", "seed": seed} for index, seed in batch
        ]
        sampled = generator.sample([controls[index] for index, _ in batch], requests)
        for (index, _), picture in zip(batch, sampled, strict=True):
            pictures[index].append(picture)
    return pictures


def batches(jobs: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    """Cut jobs into batches."""
    for start in range(0, len(jobs), size):
        yield jobs[start : start + size]


def score(
    skins: Sequence[Skin],
    pictures: Sequence[Sequence[np.ndarray]],
    thresholds: tuple[float, float],
    channels: str,
) -> dict[str, list[float]]:
    """Return each metric's values, one a skin; colour for skins whose caption names one."""
    values: dict[str, list[float]] = {metric: [] for metric in METRICS}
    for skin, made in zip(skins, pictures, strict=True):
        wanted = outlines(skin.control)
        found = [trace_edges(picture, *thresholds, channels) for picture in made]
        tolerant = [edge_agreement(edges, wanted, TOLERANCE_PX) for edges in found]
        for metric in ("precision", "recall", "f1"):
            values[metric].append(float(np.mean([getattr(one, metric) for one in tolerant])))
        values["f1_exact"].append(float(np.mean([edge_agreement(edges, wanted, 0).f1 for edges in found])))
        values["f1_controlnet_plus_plus"].append(controlnet_plus_plus_f1(found, wanted))
        for metric, agreement in colours(skin, made).items():
            values[metric] += agreement
    return values


def colours(skin: Skin, made: Sequence[np.ndarray]) -> dict[str, list[float]]:
    """Return the shares of a skin's pictures with its caption's colours; nothing where it names none."""
    parts = [part_colours_agree(picture, skin.text) for picture in made]
    agree = {
        "colour": [colour_agrees(picture, skin.text) for picture in made],
        "panel": [part.panel for part in parts],
        "keys": [part.keys for part in parts],
    }
    return {metric: [float(np.mean(some))] if some[0] is not None else [] for metric, some in agree.items()}


def summarise(values: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """Return mean and interval of each metric that has values."""
    return {metric: asdict(bootstrap_mean(values[metric])) for metric in METRICS if values[metric]}


def f1_ratio(scores: Mapping[str, Mapping[str, Sequence[float]]], other: str) -> dict[str, float | None]:
    """Return the trained system's F1 over the other's; infinity, which JSON does not know, becomes None."""
    ratio = asdict(bootstrap_ratio(scores["trained"]["f1"], scores[other]["f1"]))
    return {name: value if np.isfinite(value) else None for name, value in ratio.items()}


def colour_chance(skins: Sequence[Skin], pictures: Sequence[Sequence[np.ndarray]]) -> float | None:
    """Return the share of pictures that agree with the colours of other skins' captions."""
    agree = [
        colour_agrees(picture, other.text)
        for skin, made in zip(skins, pictures, strict=True)
        for other in skins
        if other is not skin
        for picture in made
    ]
    known = [one for one in agree if one is not None]
    return float(np.mean(known)) if known else None


def save_sheet(skins: Sequence[Skin], pictures: Mapping[str, list[list[np.ndarray]]], path: Path) -> None:
    """Save the first skins as rows: conditioning image, real picture, then one of each system."""
    columns = {
        "conditioning": [skin.control for skin in skins],
        "real": [skin.real for skin in skins],
        **{name: [made[0] for made in pictures[name]] for name in GENERATED},
    }
    height, width = skins[0].real.shape[:2]
    rows = min(len(skins), SHEET_ROWS)
    sheet = Image.new("RGB", (width * len(columns), rows * height + LABEL_PX), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (name, images) in enumerate(columns.items()):
        draw.text((column * width + 6, 4), name, fill="black", font_size=13)
        for row in range(rows):
            sheet.paste(Image.fromarray(images[row]), (column * width, LABEL_PX + row * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def report(figures: Mapping[str, object], scores: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Print the table, and the figures as one line of JSON."""
    print(f"{'':10}" + "".join(f"{metric:^26}" for metric in ("precision", "recall", "f1", "colour")))
    for name, values in scores.items():
        cells = [
            cell(bootstrap_mean(values[metric])) if values[metric] else "-"
            for metric in ("precision", "recall", "f1", "colour")
        ]
        print(f"{name:10}" + "".join(f"{text:^26}" for text in cells))
    print(json.dumps(figures))


def cell(interval: Interval) -> str:
    """Return ``0.512 [0.480, 0.541]``."""
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


if __name__ == "__main__":
    main()
