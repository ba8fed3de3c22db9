"""Does the text loss make legends that can be read? ControlNets trained alike but for it.

    python benchmarks/legends.py --work FOLDER      # hours on a processor; run again, it goes on where it was
    python benchmarks/legends.py --quick            # a sign of life
    python benchmarks/legends.py --work FOLDER --report   # only the figures of what has been made
    python benchmarks/legends.py --work OTHER --conditioning edges       # by outlines instead
    python benchmarks/legends.py --work OTHER --conditioning positions   # glyphs, and AnyText's position map

Sheets of 3 x 4 keys are drawn with legends of 16 to 32 px, Latin and Chinese. Half of the held-out sheets
have strings that never occur in training, their Chinese ones of characters that never do, neither here nor
in the base model's own training. Conditioning images are data_prep's glyph conditioning: the skin's edges,
and in place of its own legends clean filled ones. The embedded ControlNet knows edges and has never seen
filled glyphs (``start``). It is trained on:

    none          without the text loss, as many steps as the others
    one_step      reading the estimate of the trained timestep
    last_steps    reading the estimate in the model's own sampling
    both
    longer        without the text loss, for the processor time that last_steps takes
    weighted      without the text loss, legends weighing three times as much in the denoising loss
    feature_only  last_steps, by the recogniser's features alone
    ctc_only      last_steps, by CTC alone
    latent_only   last_steps, by the latents under legends alone, which asks no recogniser
    sampled       whole pictures sampled with the gradient through every call, CTC only, for comparison

Held-out sheets are then drawn with the sampler of the training, 8 steps, and with the 20 that are inference's
default, and read by Tesseract, which took no part
in training, and by PP-OCR, which did. Sen.ACC and NED are AnyText's (``skin_pipeline.evaluation.legends``).
``real`` and ``autoencoder`` are the sheets themselves, and what is left of them by the VAE; ``start`` is the
ControlNet before any of the trainings, and ``composited`` the pictures of last_steps with legends set anew.

Prints tables: each system; how much more each arm has read than ``none`` (the same sheets, with an interval
over sheets) and than ``longer``; by script and height; the text loss of held-out sheets by timestep. Then all
figures as one line of JSON. Leaves a contact sheet of each arm, and ``text_loss.png``, in FOLDER.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from matplotlib.figure import Figure
from PIL import Image

from skin_pipeline.base_models import resolve_base_model, resolve_controlnet
from skin_pipeline.evaluation.bootstrap import bootstrap_mean
from skin_pipeline.evaluation.diversity import mean_distance
from skin_pipeline.evaluation.edges import edge_agreement
from skin_pipeline.evaluation.legends import LegendReading, normalise, read_legends, score_readings
from skin_pipeline.evaluation.readers import load_reader, present_readers
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.pipeline import load_pipeline
from skin_pipeline.generation.weights import locate_base_model
from skin_pipeline.generation.worker import Generator
from skin_pipeline.geometry import boxes_of, quads_of
from skin_pipeline.prep.edges import trace_edges
from skin_pipeline.prep.glyphs import GlyphParameters, Legend, is_bold, render_legends
from skin_pipeline.prep.positions import show_positions
from skin_pipeline.prep.publish import join_legends
from skin_pipeline.skins.drawn import describe_style
from skin_pipeline.skins.drawn.legend_sheets import draw_legend_sheet
from skin_pipeline.skins.drawn.legends import QUAD_MARGIN
from skin_pipeline.skins.legends import composite_legends
from skin_pipeline.training.config import TrainingRun, TrainParameters
from skin_pipeline.training.metrics import read_metrics

SIDE_PX, COLUMNS, ROWS = 256, 3, 4
HEIGHTS_PX = (16.0, 32.0)
"""Heights of capitals and ideographs."""
CANNY = (50, 80)
Conditioning = Literal["glyph", "edges", "positions"]
START = "embedded-canny"
CHARACTERS = (
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去"
    "能对小多然于心学么之都好看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手"
    "又行意动方期它头经长儿回位分爱老因很给名法间斯知世什两次使身者被高已亲其进此话常与活正感见明问力"
    "理尔点文几定本公特做外孩相西果走将月十实向声车全信重三机工物气每并别真打太新比才便夫再书部水像眼"
    "等体却加电主界门利海受听表德少克代员许先口由死安写性马光白或住难望教命花结乐色更拉东神记处让母父"
    "应直字场平报友关放至张认接告入笑内英军候民岁往何度山觉路带万男边风解叫任金快原吃妈变通师立象数四"
    "失满战远格士音轻目条呢病始达深完今提求清王化空业思切怎非找片罗钱紧复件红服"
)
"""Common ones, as Tesseract reads pairs of rare ones badly on any picture."""
HELD_OUT_FROM = 2_000_000
"""Seeds of held-out sheets. The base model learned from other sheets, and from no held-out string either."""
PIXELS = 16
"""Side of the thumbnails that diversity is measured on."""
TEXT: Mapping[str, Any] = {
    "feature_weight": 2.0,
    "ctc_weight": 0.2,
    "latent_weight": 1.0,
    "timestep_weighting": "none",
    "timestep_limit": 1000,
    "max_boxes": 3,
    "sampled_share": 0.5,
    "sampler_start": 1.0,
    "sampler_steps": 8,
    "last_steps": 8,
    "guidance_scale": 1.0,
}
"""What the edges show, an estimate from much noise can show too, and there the strokes are decided: so all
timesteps are read alike, and states from all along the sampler's way. It samples without guidance, which
halves the price."""
LAST_STEPS: Mapping[str, Any] = {"mode": "last_steps", **TEXT}
MEASURED: Mapping[str, Any] = {"mode": "none", "measure": True, **TEXT}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "none": {"text": MEASURED},
    "last_steps": {"text": LAST_STEPS},
    "longer": {"text": MEASURED},
    "both": {"text": {**LAST_STEPS, "mode": "both"}},
    "one_step": {"text": {**LAST_STEPS, "mode": "one_step"}},
    "weighted": {"text": MEASURED, "legend_weight": 3.0},
    "feature_only": {"text": {**LAST_STEPS, "ctc_weight": 0.0, "latent_weight": 0.0}},
    "ctc_only": {"text": {**LAST_STEPS, "feature_weight": 0.0, "latent_weight": 0.0}},
    "latent_only": {"text": {**LAST_STEPS, "feature_weight": 0.0, "ctc_weight": 0.0}},
    "sampled": {"text": {**LAST_STEPS, "mode": "sampled", "sampled_share": 0.125}},
}
TEXT_LOSS = "loss_text/"
FEATURES = "loss_text/feature_t"
COMPOSITED_OVER = "last_steps"
AT_DEFAULT = ("start", "none", "longer", "last_steps")
GAINS = ("tesseract", "ppocr", "edge_f1", "diversity")
LEAST_LEGENDS = 12
"""Groups of fewer legends are not in the table."""
LONGER_FACTOR = 4.2
"""Steps of ``longer``, in those of the other arms."""


@dataclass(frozen=True)
class Sheet:
    """A drawn sheet of keys."""

    seed: int
    picture: np.ndarray
    """(H, W, 3) uint8"""
    edges: np.ndarray
    """(H, W) uint8"""
    control: np.ndarray
    """The conditioning image, (H, W, 3) uint8"""
    caption: str
    texts: tuple[str, ...]
    quads: np.ndarray
    """(N, 4, 2)"""

    @property
    def has_new_strings(self) -> bool:
        """Whether its strings never occur in training."""
        return self.seed >= HELD_OUT_FROM and self.seed % 2 == 1


@dataclass(frozen=True)
class Sizes:
    """What is trained and measured, and how much of it."""

    conditioning: Conditioning = "glyph"

    num_train: int = 600
    num_held_out: int = 24
    num_repeated: int = 6
    """Held-out sheets that are drawn twice, for diversity."""
    arm_steps: int = 120
    longer_factor: float = LONGER_FACTOR
    batch_size: int = 8
    inference_steps: int = 8
    """As in training. The embedded model's pictures are no worse than with 20."""
    default_steps: int = 20
    """Inference's default; some arms are measured there, too."""
    guidance: float = 1.5


QUICK = Sizes(
    num_train=8,
    num_held_out=2,
    num_repeated=1,
    arm_steps=2,
    longer_factor=1.5,
    batch_size=4,
    inference_steps=4,
    default_steps=5,
)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    sizes = QUICK if options.quick else Sizes(options.conditioning, arm_steps=options.steps)
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        keep_sizes(work, sizes)
        if not options.report:
            write_set(work / "sheets", sizes)
            measure_bounds(work, sizes)
            measure_start(work, sizes)
            for arm in options.arms:
                for seed in options.seeds:
                    run_arm(work, sizes, arm, seed)
            for seed in options.seeds:
                measure_composited(work, sizes, seed)
        figures = summarise(work, sizes)
        draw_curves(figures, work / "text_loss.png")
    report(figures)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="two arms of two steps")
    parser.add_argument("--report", action="store_true", help="train nothing more")
    parser.add_argument("--work", type=Path, default=None, help="where runs are kept; default: nowhere")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--conditioning", choices=get_args(Conditioning), default="glyph")
    parser.add_argument("--steps", type=int, default=Sizes.arm_steps, help="of each arm")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seeds, options.arms = [0], ["none", "last_steps"]
    return options


# --- sheets ------------------------------------------------------------------------------------------------


def draw_sheet(seed: int, conditioning: Conditioning = "glyph") -> Sheet:
    """Draw a sheet; odd seeds from :data:`HELD_OUT_FROM` on have strings that no training sheet has."""
    is_new = seed >= HELD_OUT_FROM and seed % 2 == 1
    size, grid = (SIDE_PX, SIDE_PX), (COLUMNS, ROWS)
    drawn = draw_legend_sheet(seed, size, grid, HEIGHTS_PX, held_out=is_new, among=CHARACTERS)
    edges = trace_edges(drawn.picture, *CANNY, "gray")
    shown = edges if conditioning == "edges" else show_glyphs(drawn.picture, edges, drawn.texts, drawn.quads)
    caption = f"a keyboard skin of {describe_style(drawn.style, 'en', seed)},iflyskin"
    control = np.repeat(shown[:, :, None], 3, axis=2)
    if conditioning == "positions":
        control = show_positions(shown, drawn.quads)
    return Sheet(seed, drawn.picture, edges, control, caption, drawn.texts, drawn.quads)


def show_glyphs(
    picture: np.ndarray, edges: np.ndarray, texts: Sequence[str], quads: np.ndarray
) -> np.ndarray:
    """Return edges (H, W) with legends as data_prep's glyph conditioning shows them."""
    legends = [Legend(text, np.asarray(quad)) for text, quad in zip(texts, quads, strict=True)]
    regular, bold = GlyphParameters().font_files
    font = bold if is_bold(picture, legends, regular, bold, margin=0.0) else regular
    return render_legends(edges, legends, font=font, min_height_px=0.0, margin=0.0).image


def keep_sizes(work: Path, sizes: Sizes) -> None:
    """Keep what a folder's results were made with, and refuse to add others to them."""
    path, asked = work / "sizes.json", vars(sizes)
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else asked
    if different := [
        f"{name} {kept.get(name)}, not {asked[name]}" for name in asked if kept.get(name) != asked[name]
    ]:
        raise SystemExit(
            f"The results in '{work}' are of {'; '.join(different)}. Give --work another folder."
        )
    write_json(path, asked)


def held_out_sheets(sizes: Sizes) -> list[Sheet]:
    """Draw the held-out sheets."""
    numbers = range(HELD_OUT_FROM, HELD_OUT_FROM + sizes.num_held_out)
    return [draw_sheet(number, sizes.conditioning) for number in numbers]


def write_set(folder: Path, sizes: Sizes) -> None:
    """Write the sheets as a published training set, unless it is there."""
    if (folder / "validation.jsonl").is_file():
        return
    for part in ("images", "conditioning_images"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    starts = {"train": (0, sizes.num_train), "validation": (HELD_OUT_FROM, sizes.num_held_out)}
    for split, (start, count) in starts.items():
        lines = []
        for number in range(start, start + count):
            sheet = draw_sheet(number, sizes.conditioning)
            row = {
                "text": join_legends(sheet.caption, list(sheet.texts)),
                "image": f"images/{sheet.seed}.png",
                "conditioning_image": f"conditioning_images/{sheet.seed}.png",
                "box": sheet.quads.round(2).tolist(),
                "skin": f"sheet/{sheet.seed}",
                "conditioning": "per_skin",
            }
            Image.fromarray(sheet.picture).save(folder / row["image"])
            Image.fromarray(sheet.control).save(folder / row["conditioning_image"])
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


# --- training ----------------------------------------------------------------------------------------------


def run_arm(work: Path, sizes: Sizes, arm: str, seed: int) -> None:
    """Train an arm and measure it, unless that is done."""
    result = work / "results" / f"{arm}_{seed}.json"
    if result.is_file():
        return
    steps = round(sizes.arm_steps * (sizes.longer_factor if arm == "longer" else 1))
    folder = work / "runs" / f"{arm}_{seed}"
    arm_settings = {
        "max_train_steps": steps,
        "validation_steps": max(1, steps // 3),
        "num_validation_samples": min(8, sizes.num_held_out),
        **ARMS[arm],
    }
    cost = train(work, folder, {**common_settings(sizes, seed), **arm_settings})
    figures = measure(folder / "weights", sizes, work / f"{arm}_{seed}.png")
    figures |= measure_default(folder / "weights", sizes, arm)
    curves = [row for row in read_metrics(folder) if row["kind"] == "validation"]
    write_json(result, {"arm": arm, "seed": seed, "steps": steps, **cost, **figures, "validation": curves})


def common_settings(sizes: Sizes, seed: int) -> dict[str, Any]:
    """Return what all trainings have in common."""
    return {
        "model_base": "embedded",
        "controlnet_init": START,
        "resolution_px": SIDE_PX,
        "bucket_step_px": None,
        "train_batch_size": sizes.batch_size,
        "learning_rate": 1e-3,
        "lr_warmup_steps": min(10, sizes.arm_steps),
        "loss_weighting": "none",
        "num_validation_samples": 0,
        "num_validation_pictures": 0,
        "checkpointing_steps": 20,
        "checkpoints_total_limit": 1,
        "num_threads": 1,
        "seed": seed,
    }


def train(work: Path, folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train in a process of its own, or go on; return its processor time and memory, if it was one start."""
    cost_file = folder / "cost.json"
    if not cost_file.is_file():
        is_fresh = not (folder / "checkpoints").is_dir()
        run = TrainingRun(
            parameters=TrainParameters(**settings),
            dataset_folder=work / "sheets",
            folder=folder,
            cache_folder=work / "encodings",
        )
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "config.json"
        config.write_text(run.model_dump_json(), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "skin_pipeline.training", "--config", str(config)]
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        peak = max(row["peak_memory_gib"] for row in read_metrics(folder) if row["kind"] == "train")
        write_json(cost_file, {"cpu_seconds": seconds if is_fresh else None, "peak_memory_gib": peak})
    cost: dict[str, Any] = json.loads(cost_file.read_text(encoding="utf-8"))
    return cost


# --- measuring ---------------------------------------------------------------------------------------------


def measure(weights: Path, sizes: Sizes, contact_sheet: Path) -> dict[str, Any]:
    """Draw the held-out sheets with a ControlNet, as inference does, and judge them."""
    sheets = held_out_sheets(sizes)
    return judge_and_show(sheets, generate(sheets, weights, sizes), contact_sheet)


def measure_default(weights: Path, sizes: Sizes, arm: str) -> dict[str, Any]:
    """Judge some arms' pictures at inference's default number of steps, too."""
    if arm not in AT_DEFAULT:
        return {}
    sheets = held_out_sheets(sizes)
    more = replace(sizes, inference_steps=sizes.default_steps, num_repeated=0)
    return {"at_default": judge(sheets, generate(sheets, weights, more))}


def judge_and_show(
    sheets: Sequence[Sheet], drawn: Sequence[Sequence[np.ndarray]], contact_sheet: Path
) -> dict[str, Any]:
    """Judge pictures of the held-out sheets, and put some beside the real ones."""
    rows = [np.hstack([sheet.picture for sheet in sheets[:6]]), np.hstack([made[0] for made in drawn[:6]])]
    Image.fromarray(np.vstack(rows)).save(contact_sheet)
    return judge(sheets, drawn)


def generate(sheets: Sequence[Sheet], weights: Path, sizes: Sizes) -> list[list[np.ndarray]]:
    """Return the pictures of each sheet: one, and a second one of the first few."""
    parameters = InferenceParameters(
        num_inference_steps=sizes.inference_steps, guidance_scale=sizes.guidance, num_threads=1
    )
    torch.set_num_threads(1)
    base = locate_base_model(parameters.base_model, "base_model")
    generator = Generator(load_pipeline(parameters, base, weights), parameters, {})
    drawn: list[list[np.ndarray]] = []
    for number, sheet in enumerate(sheets):
        requests = [
            {"prompt": sheet.caption, "negative_prompt": "", "seed": seed}
            for seed in range(sheet.seed, sheet.seed + (2 if number < sizes.num_repeated else 1))
        ]
        drawn.append(generator.sample([sheet.control] * len(requests), requests))
    return drawn


def judge(sheets: Sequence[Sheet], drawn: Sequence[Sequence[np.ndarray]]) -> dict[str, Any]:
    """Return readings by each reader and edges, of the first picture of each sheet, and diversity."""
    readings = {
        name: [
            as_row(sheet, reading)
            for sheet, pictures in zip(sheets, drawn, strict=True)
            for reading in read_legends(
                pictures[0], sheet.quads, sheet.texts, load_reader(name), str(sheet.seed)
            )
        ]
        for name in present_readers(("tesseract", "ppocr"))
    }
    f1 = [
        edge_agreement(trace_edges(pictures[0], *CANNY, "gray"), sheet.edges, 2).f1
        for sheet, pictures in zip(sheets, drawn, strict=True)
    ]
    diversity = [mean_distance(thumbnails(pictures)) for pictures in drawn if len(pictures) > 1]
    return {"readings": readings, "edge_f1": f1, "diversity": diversity}


def as_row(sheet: Sheet, reading: LegendReading) -> dict[str, Any]:
    """Return a reading as JSON."""
    return {**vars(reading), "is_new": sheet.has_new_strings}


def thumbnails(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Return pictures as small vectors around their mean colour, (N, D)."""
    size = (PIXELS, PIXELS)
    small = [
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA).ravel() / 255 - 0.5 for picture in pictures
    ]
    return np.stack(small)


@torch.no_grad()
def measure_bounds(work: Path, sizes: Sizes) -> None:
    """Judge the sheets themselves, and what the VAE leaves of them."""
    vae = AutoencoderKL.from_pretrained(resolve_base_model("embedded"), subfolder="vae").eval()
    sheets = held_out_sheets(sizes)

    def decoded(picture: np.ndarray) -> np.ndarray:
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
        made = vae.decode(vae.encode(pixels).latent_dist.mean).sample[0].permute(1, 2, 0)
        return ((made + 1) * 127.5).clamp(0, 255).round().byte().numpy()

    makers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "real": lambda picture: picture,
        "autoencoder": decoded,
    }
    for name, make in makers.items():
        result = work / "results" / f"{name}_0.json"
        if not result.is_file():
            drawn = [[make(sheet.picture)] for sheet in sheets]
            write_json(result, {"arm": name, "seed": 0, **judge(sheets, drawn)})


def measure_start(work: Path, sizes: Sizes) -> None:
    """Judge the ControlNet that all arms start from."""
    result = work / "results" / "start_0.json"
    if result.is_file():
        return
    weights = Path(resolve_controlnet(START, "start"))
    figures = {**measure(weights, sizes, work / "start_0.png"), **measure_default(weights, sizes, "start")}
    write_json(result, {"arm": "start", "seed": 0, **figures})


def measure_composited(work: Path, sizes: Sizes, seed: int) -> None:
    """Judge the pictures of an arm once more, with their legends set anew."""
    result = work / "results" / f"composited_{seed}.json"
    weights = work / "runs" / f"{COMPOSITED_OVER}_{seed}" / "weights"
    if result.is_file() or not weights.is_dir():
        return
    sheets = held_out_sheets(sizes)
    as_set, pictures = [], []
    for sheet, drawn in zip(sheets, generate(sheets, weights, sizes), strict=True):
        composited = [composite_legends(picture, sheet.quads, sheet.texts) for picture in drawn]
        as_set.append(
            replace(sheet, quads=quads_around([legend.line.quad for legend in composited[0].legends]))
        )
        pictures.append([one.picture for one in composited])
    figures = judge_and_show(as_set, pictures, work / f"composited_{seed}.png")
    write_json(result, {"arm": "composited", "seed": seed, **figures})


def quads_around(ink: Sequence[np.ndarray]) -> np.ndarray:
    """Return quads (N, 4, 2) of legends where they were set, with the room that those of sheets have.

    A row's legends share size and baseline, so their ink lies up to a pixel off what was asked for. In whole
    pixels, as Tesseract reads worse where half a pixel of the rim is lost; sheets read the same either way.
    """
    boxes = boxes_of(np.stack(ink))
    room = QUAD_MARGIN * (boxes[:, 3:] - boxes[:, 1:2])
    return quads_of(np.concatenate([np.floor(boxes[:, :2] - room), np.ceil(boxes[:, 2:] + room)], axis=1))


# --- figures -----------------------------------------------------------------------------------------------


def summarise(work: Path, sizes: Sizes) -> dict[str, Any]:
    """Return the figures of all results that are there."""
    results = [
        json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / "results").glob("*.json"))
    ]
    arms: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        arms.setdefault(result["arm"], []).append(result)
    for arm in list(arms):
        at_default = [{"seed": one["seed"], **one["at_default"]} for one in arms[arm] if "at_default" in one]
        if at_default:
            arms[f"{arm}, {sizes.default_steps} steps"] = at_default
    systems = {arm: summarise_arm(some) for arm, some in arms.items()}
    plain = systems.get("none", {}).get("cpu_seconds")
    for figures in systems.values():
        if plain and figures["cpu_seconds"]:
            figures["cost"] = figures["cpu_seconds"] / plain
    for arm, some in arms.items():
        at = ", ".join(["", *arm.split(", ")[1:]])
        systems[arm]["gain"] = {
            other + at: gain(some, arms[other + at])
            for other in ("none", "longer")
            if other + at in arms and arm.split(", ")[0] in ARMS
        }
    return {
        "benchmark": "legends",
        "controlnet": START,
        "sizes": vars(sizes),
        "systems": systems,
    }


def summarise_arm(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return an arm's figures over its seeds."""
    seconds = [result["cpu_seconds"] for result in results if result.get("cpu_seconds")]
    peaks = [result["peak_memory_gib"] for result in results if result.get("peak_memory_gib")]
    figures: dict[str, Any] = {
        "seeds": [result["seed"] for result in results],
        "cpu_seconds": float(np.median(seconds)) if seconds else None,
        "edge_f1": float(np.mean([np.mean(result["edge_f1"]) for result in results])),
        "diversity": float(np.mean([np.mean(result["diversity"] or [0]) for result in results])),
        "peak_memory_gib": float(np.median(peaks)) if peaks else None,
        "curves": curves(results),
    }
    for reader in results[0]["readings"]:
        rows = [row for result in results for row in result["readings"][reader]]
        figures[reader] = {
            "all": accuracy(rows),
            "seen strings": accuracy([row for row in rows if not row["is_new"]]),
            "new strings": accuracy([row for row in rows if row["is_new"]]),
            "by_seed": [accuracy(result["readings"][reader])["sentence_accuracy"] for result in results],
            "groups": scores(rows).as_rows(),
        }
    return figures


def curves(results: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """Return the means over seeds of what was measured on held-out sheets: (step, value) by name."""
    points: dict[str, dict[int, list[float]]] = {}
    for result in results:
        for row in result.get("validation", []):
            for name in row:
                if name.startswith((TEXT_LOSS, "validation_loss")):
                    points.setdefault(name, {}).setdefault(row["step"], []).append(row[name])
    return {
        name: [[step, float(np.mean(values))] for step, values in sorted(by_step.items())]
        for name, by_step in sorted(points.items())
    }


def gain(some: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return by how much one arm's figures exceed another's on the same sheets, by the seeds of both.

    Intervals are over sheets, whose seeds are averaged; ``by_seed`` says how much trainings vary.
    """
    seeds = sorted({result["seed"] for result in some} & {result["seed"] for result in others})
    pairs = [
        [next(result for result in results if result["seed"] == seed) for seed in seeds]
        for results in (some, others)
    ]
    differences: dict[str, Any] = {"seeds": seeds}
    if not seeds:
        return differences
    for reader in pairs[0][0]["readings"]:
        mine, theirs = ([share_by_sheet(result["readings"][reader]) for result in side] for side in pairs)
        by_seed = np.array(mine) - np.array(theirs)  # (seeds, sheets)
        interval = bootstrap_mean(by_seed.mean(axis=0).tolist())
        differences[reader] = {
            "estimate": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "by_seed": by_seed.mean(axis=1).tolist(),
        }
    for name in ("edge_f1", "diversity"):
        if not pairs[0][0][name]:
            continue
        mine, theirs = (np.array([result[name] for result in side]).mean(axis=0) for side in pairs)
        interval = bootstrap_mean((mine - theirs).tolist())
        differences[name] = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
    return differences


def share_by_sheet(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the share of each sheet's legends that are read exactly but for case, in the order of sheets."""
    right: dict[str, list[bool]] = {}
    for row in rows:
        read, truth = (normalise(row[name], "width_and_case") for name in ("read", "truth"))
        right.setdefault(row["picture_id"], []).append(read == truth)
    return [float(np.mean(right[sheet])) for sheet in sorted(right)]


def scores(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Score readings without regard to the case of letters, which height alone does not tell (C, O, V …)."""
    names = ("picture_id", "truth", "read", "confidence", "height_px")
    readings = [LegendReading(**{name: row[name] for name in names}) for row in rows]
    return score_readings(readings, normalisation="width_and_case")


def accuracy(rows: Sequence[Mapping[str, Any]]) -> dict[str, float] | dict[str, None]:
    """Return Sen.ACC with its interval and NED of some readings."""
    if not rows:
        return {"sentence_accuracy": None}
    score = scores(rows).overall
    return {
        "sentence_accuracy": score.sentence_accuracy.estimate,
        "low": score.sentence_accuracy.low,
        "high": score.sentence_accuracy.high,
        "ned": score.ned.estimate,
    }


def draw_curves(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the feature part of the held-out text loss by timestep, a line for each arm."""
    lines = {arm: system["curves"] for arm, system in figures["systems"].items() if system.get("curves")}
    buckets = sorted({name for some in lines.values() for name in some if name.startswith(FEATURES)})
    if not buckets:
        return
    figure = Figure(figsize=(3 * len(buckets), 3), dpi=110, layout="constrained")
    panels = figure.subplots(1, len(buckets), sharey=True, squeeze=False)[0]
    for panel, bucket in zip(panels, buckets, strict=True):
        for arm, some in lines.items():
            if points := some.get(bucket):
                share = np.array([step for step, _ in points]) / points[-1][0]
                panel.plot(share, [value for _, value in points], marker=".", label=arm)
        low, high = bucket.removeprefix(FEATURES).split("_")
        panel.set_title(f"timesteps {int(low)} to {int(high)}", fontsize=9)
        panel.set_xlabel("share of the arm's steps", fontsize=8)
    panels[0].set_ylabel("distance of features, held-out sheets", fontsize=8)
    panels[-1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.savefig(path)


def report(figures: Mapping[str, Any]) -> None:
    """Print tables in Markdown, and the figures as one line of JSON."""
    systems = figures["systems"]
    rows = [
        [
            arm,
            ", ".join(map(str, system["seeds"])),
            cell(system.get("tesseract", {}).get("all")),
            *(
                number((system.get(reader, {}).get(group) or {}).get(key))
                for reader, group, key in (
                    ("tesseract", "all", "ned"),
                    ("tesseract", "new strings", "sentence_accuracy"),
                    ("ppocr", "all", "sentence_accuracy"),
                )
            ),
            number(system["edge_f1"]),
            number(system["diversity"]),
            number(system.get("cost"), 2),
            number(system.get("peak_memory_gib"), 2),
        ]
        for arm, system in systems.items()
    ]
    head = "system, seeds, Tesseract, … NED, … new strings, PP-OCR, edge F1, diversity, cost, GiB"
    print_table(head.split(", "), rows)
    rows = [
        [f"{arm} over {other}", *(cell(one.get(name)) for name in GAINS), by_seed(one.get("tesseract"))]
        for arm, system in systems.items()
        for other, one in system["gain"].items()
        if arm != other and one["seeds"]
    ]
    print_table(["gain", *GAINS, "Tesseract by seed"], rows)
    groups = [
        (row["script"], row["height_px"])
        for row in systems["real"].get("tesseract", {}).get("groups", [])
        if row["num_legends"] >= LEAST_LEGENDS
    ]
    rows = [[*group, *(of_group(system, group) for system in systems.values())] for group in groups]
    print_table(["script", "height, px", *systems], rows)
    names = sorted({name for system in systems.values() for name in system["curves"]})
    rows = [[name, *(course(system["curves"].get(name)) for system in systems.values())] for name in names]
    print_table(["held-out sheets, first → last", *systems], rows)
    print(json.dumps(figures, ensure_ascii=False))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table in Markdown, without the columns that say nothing."""
    shown = [place for place in range(len(head)) if any(row[place] != "–" for row in rows)]
    for row in [head, ["---"] * len(head), *rows] if rows else []:
        print(f"| {' | '.join(row[place] for place in shown)} |")
    print()


def of_group(system: Mapping[str, Any], group: tuple[str, str]) -> str:
    """Return Tesseract's Sen.ACC of a script and height."""
    rows = system.get("tesseract", {}).get("groups", [])
    found = (row["sentence_accuracy"] for row in rows if (row["script"], row["height_px"]) == group)
    return number(next(found, None))


def course(points: Sequence[Sequence[float]] | None) -> str:
    """Return ``0.30 → 0.21``."""
    return f"{points[0][1]:.3f} → {points[-1][1]:.3f}" if points else "–"


def by_seed(differences: Mapping[str, Any] | None) -> str:
    """Return the difference of each seed."""
    return ", ".join(f"{value:+.3f}" for value in differences["by_seed"]) if differences else "–"


def cell(score: Mapping[str, Any] | None) -> str:
    """Return ``0.512 [0.480, 0.541]``."""
    estimate = None if not score else score.get("sentence_accuracy", score.get("estimate"))
    if not score or estimate is None:
        return "–"
    return f"{estimate:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


def number(value: float | None, digits: int = 3) -> str:
    """Return a figure, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write JSON, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")
    beside.replace(path)


if __name__ == "__main__":
    main()
