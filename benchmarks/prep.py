"""What does preparing skins cost, beside the plain loop that a user would write and beside what is possible?

    python benchmarks/prep.py            # about 15 minutes on two cores
    python benchmarks/prep.py --quick    # a sign of life, under a minute

engine   Resizing and edges at 512 px. ``loop``: imread, resize (area), Canny 50/80, imwrite of both, nothing
         else. ``functions``: the same with this project's functions. ``engine``: both stages with workers,
         digests, journal, flushed and renamed files. ``steps``: the fastest way known for each step, timed
         apart, summed. ``floor``: no such program can go below (inflate with libdeflate, no unfiltering).
whole    The command ``kedro run --pipeline=data_prep`` on drawn skins, beside the forerunner's scripts:
         everything resized, cv2.Canny, a caption, PaddleOCR and rendered glyphs, one picture at a time.
many     Peak memory of preparing many small skins, and the command again when there is nothing to do.

CPU is user and system time of a process and all its children. Variants run in turns, in processes of their
own, and ratios are those within a turn. Prints all figures as one line of JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SIZE_PX = 512
LOW, HIGH = 50, 80
PROJECT = Path(__file__).resolve().parents[1]
SMALL_PARAMETERS = "screen.min_side_px=64,resize.size_px=64"
"""Of the command, for skins of 96 px."""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    if options.part:
        name, *values = options.part
        print(json.dumps(PARTS[name](*values)))
        return {}
    figures: dict[str, Any] = {"benchmark": "prep", "num_cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for name in options.only:
            figures[name] = QUESTIONS[name](Path(folder) / name, options)
            print(f"{name}: {json.dumps(figures[name], indent=1)}")
    print(json.dumps(figures))
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few pictures, one turn")
    parser.add_argument("--only", nargs="+", choices=list(QUESTIONS), default=list(QUESTIONS))
    parser.add_argument("--pictures", type=Path, default=None, help="folder of your own, for 'engine'")
    parser.add_argument("--num", type=int, default=400, help="pictures of 'engine'")
    parser.add_argument("--turns", type=int, default=5, help="of 'engine'")
    parser.add_argument("--drawn", type=int, default=16, help="skins of 'whole'")
    parser.add_argument("--many", type=int, nargs=2, default=[2_000, 20_000], help="skins of 'many'")
    parser.add_argument("--work", type=Path, default=None, help="folder for some GB of pictures")
    parser.add_argument("--part", nargs="+", default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.quick:
        options.num, options.turns, options.drawn, options.many = 12, 1, 2, [30, 60]
    return options


# --- processes and their cost ------------------------------------------------------------------------------


def measure(*command: str, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """Run a command to its end.

    Returns:
        ``cpu_s`` of it and its children, ``wall_s``, ``peak_mib`` of its largest process, and its ``output``.
    """
    threads = {"OMP_NUM_THREADS": "1", "VIPS_CONCURRENCY": "1"}
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603
            command, stdout=output, stderr=subprocess.STDOUT, cwd=PROJECT,
            env={**os.environ, **threads, **(environment or {})},
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-3000:]}")
    return {
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "wall_s": round(time.perf_counter() - begun, 2),
        "peak_mib": round(usage.ru_maxrss / 1024),
        "output": text,
    }


def measure_part(name: str, *values: object) -> dict[str, Any]:
    """Run a part of this file in a process of its own; return what it printed last, and its cost."""
    measured = measure(sys.executable, __file__, "--part", name, *map(str, values))
    return {**measured, **json.loads(measured.pop("output").splitlines()[-1])}


def used_seconds() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Return CPU and wall seconds of some work, without the imports before it."""
    cpu, wall = used_seconds(), time.perf_counter()
    work()
    return {"work_cpu_s": used_seconds() - cpu, "work_wall_s": time.perf_counter() - wall}


def _median(values: Sequence[float], digits: int = 3) -> float:
    return round(statistics.median(values), digits)


# --- engine: resizing and edges ----------------------------------------------------------------------------


def ask_engine(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare the engine with the loop, in turns."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = options.pictures or folder / "pictures"
    if options.pictures is None:
        draw_pictures(pictures, options.num)
    num = len(list(pictures.iterdir()))
    variants = {
        "loop": ("loop",),
        "functions": ("functions",),
        "engine_1": ("engine", 1),
        "engine_2": ("engine", 2),
    }
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in (*variants, "steps")}
    for turn in range(options.turns):
        for name, (part, *workers) in variants.items():
            out = folder / f"out_{turn}_{name}"
            turns[name].append(measure_part(part, pictures, out, *workers))
            subprocess.run(["rm", "-rf", out], check=True)  # noqa: S603, S607
        turns["steps"].append(measure_part("steps", pictures))
    sums = [turn["steps_ms"] for turn in turns["steps"]]
    floors = [turn["floor_ms"] for turn in turns["steps"]]

    def ms(name: str) -> list[float]:
        return [turn["work_cpu_s"] * 1000 / num for turn in turns[name]]

    def over(first: Sequence[float], second: Sequence[float]) -> float:
        return _median([one / other for one, other in zip(first, second, strict=True)])

    busy = [turn["work_cpu_s"] for turn in turns["engine_2"]]
    walls = {name: [turn["work_wall_s"] for turn in turns[name]] for name in variants}
    return {
        "num_pictures": num,
        "num_turns": options.turns,
        "cpu_ms_a_picture": {name: _median(ms(name), 2) for name in variants},
        "steps_ms": {
            step: _median([turn["steps"][step] for turn in turns["steps"]], 2)
            for step in turns["steps"][0]["steps"]
        },
        "sum_of_steps_ms": _median(sums, 2),
        "floor_ms": _median(floors, 2),
        "engine_1_cpu_over_loop": over(ms("engine_1"), ms("loop")),
        "engine_2_cpu_over_loop": over(ms("engine_2"), ms("loop")),
        "sum_of_steps_over_functions": over(sums, [turn["functions_ms"] for turn in turns["steps"]]),
        "floor_over_functions": over(floors, [turn["functions_ms"] for turn in turns["steps"]]),
        "engine_2_throughput_over_loop": over(walls["loop"], walls["engine_2"]),
        "cores_that_engine_2_got": over(busy, walls["engine_2"]),
    }  # fmt: skip


def draw_pictures(folder: Path, num: int) -> None:
    """Write PNGs of 1080 x 1080: half of them flat with rectangles, half of them noisy as photos are."""
    folder.mkdir(parents=True)
    for number in range(num):
        generator = np.random.default_rng(number)
        if number % 2:
            picture = np.full((1080, 1080, 3), generator.integers(0, 256, 3), np.uint8)
            for x, y, width, height, *colour in generator.integers(0, 256, (60, 7)).tolist():
                corner = (4 * x, 4 * y)
                cv2.rectangle(picture, corner, (4 * x + width, 4 * y + height), tuple(colour), -1)
        else:
            waves = generator.integers(0, 256, (40, 40, 3)).astype(np.float32)
            noise = generator.normal(0, 1, (1080, 1080, 3))
            smooth = cv2.resize(waves, (1080, 1080), interpolation=cv2.INTER_CUBIC)
            picture = np.clip(smooth + noise, 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number:05}.png"), picture, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def run_loop(pictures: str, out: str) -> dict[str, float]:
    """Do what a user would write."""
    cv2.setNumThreads(1)
    target = Path(out)
    target.mkdir()

    def work() -> None:
        for path in sorted(Path(pictures).iterdir()):
            picture = cv2.imread(str(path))
            resized = cv2.resize(picture, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
            edges = cv2.Canny(resized, LOW, HIGH)
            cv2.imwrite(str(target / f"{path.stem}.png"), resized)
            cv2.imwrite(str(target / f"{path.stem}_edges.png"), edges)

    return timed(work)


def run_functions(pictures: str, out: str) -> dict[str, float]:
    """Do the same with this project's functions, and no engine around them."""
    import skin_pipeline.prep.resize  # noqa: F401 - not in the time

    cv2.setNumThreads(1)
    target = Path(out)
    target.mkdir()

    def work() -> None:
        for path in sorted(Path(pictures).iterdir()):
            _use_functions(target / path.stem, path)

    return timed(work)


def _use_functions(target: Path, path: Path) -> None:
    """Prepare one picture."""
    from skin_pipeline.items import encode_png
    from skin_pipeline.prep.edges import trace_edges
    from skin_pipeline.prep.pictures import read_picture
    from skin_pipeline.prep.resize import resize_skin

    resized, _ = resize_skin(read_picture(path), (SIZE_PX, SIZE_PX), "stretch")
    edges = trace_edges(resized, LOW, HIGH)
    target.with_suffix(".png").write_bytes(encode_png(resized))
    target.with_suffix(".edges.png").write_bytes(encode_png(edges))


def run_engine(pictures: str, out: str, num_workers: str) -> dict[str, float]:
    """Do both stages as the pipeline does: listed and digested files, workers, journals, manifests."""
    from skin_pipeline.datasets import ItemsDataset, RawSkinsDataset
    from skin_pipeline.pipelines.data_prep.nodes import resize_skins, trace_edges
    from skin_pipeline.prep.edges import EdgeParameters
    from skin_pipeline.prep.resize import ResizeParameters

    cv2.setNumThreads(1)
    workers = int(num_workers)
    resized = ItemsDataset(filepath=f"{out}/resized_skins", suffix=".png")
    edges = ItemsDataset(filepath=f"{out}/edge_maps", suffix=".png")

    def work() -> None:
        skins = RawSkinsDataset(filepath=pictures).load()
        resized.save(resize_skins(skins, ResizeParameters(size_px=SIZE_PX, num_workers=workers)))
        edges.save(trace_edges(resized.load(), EdgeParameters(low=LOW, high=HIGH, num_workers=workers)))

    return timed(work)


def run_steps(pictures: str) -> dict[str, Any]:
    """Time each step apart, in the fastest of the ways that are to be had, on up to 64 of the pictures."""
    import pyvips

    from skin_pipeline.prep.pictures import read_picture

    cv2.setNumThreads(1)
    paths = sorted(Path(pictures).iterdir())
    paths = [paths[number * len(paths) // min(64, len(paths))] for number in range(min(64, len(paths)))]

    def cost(work: Callable[[Any], object], values: Sequence[Any]) -> float:
        rounds = []
        for _ in range(3):
            begun = time.process_time()
            for value in values:
                work(value)
            rounds.append((time.process_time() - begun) * 1000 / len(values))
        return statistics.median(rounds)

    def vips(path: Path) -> object:
        return pyvips.Image.new_from_file(str(path), access="sequential", fail_on="truncated").numpy()

    def trace(picture: Any) -> object:
        return cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), LOW, HIGH)

    decoded = [read_picture(path) for path in paths]
    resize = partial(cv2.resize, dsize=(SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    resized = [resize(picture) for picture in decoded]
    edges = [trace(picture) for picture in resized]
    bilevel = [cv2.IMWRITE_PNG_BILEVEL, 1]
    files = [cv2.imencode(".png", picture)[1].tobytes() for picture in resized]
    with tempfile.TemporaryDirectory(dir=Path(pictures).parent) as folder:
        target = Path(folder) / "file"
        steps = {
            "read_and_decode": min(cost(vips, paths), cost(lambda path: cv2.imread(str(path)), paths)),
            "resize": cost(resize, decoded),
            "edges": cost(trace, resized),
            "encode_skin": cost(lambda picture: cv2.imencode(".png", picture), resized),
            "encode_edges": cost(lambda picture: cv2.imencode(".png", picture, bilevel), edges),
            "write_both": 2 * cost(target.write_bytes, files),
        }  # fmt: skip
        functions = cost(partial(_use_functions, target), paths)
    floor = sum(value for step, value in steps.items() if step != "read_and_decode")
    floor += cost(Path.read_bytes, paths)
    if all(path.suffix == ".png" for path in paths):
        floor += cost(*_inflation(paths))
    return {"steps": steps, "steps_ms": sum(steps.values()), "floor_ms": floor, "functions_ms": functions}


def _inflation(paths: Sequence[Path]) -> tuple[Callable[[Any], object], list[tuple[bytes, int]]]:
    """Return the fastest way to unpack a PNG's pixel data, and each file's data with its unpacked size."""
    streams = []
    for path in paths:
        content, start, parts = path.read_bytes(), 8, []
        while start < len(content):
            length = int.from_bytes(content[start : start + 4])
            if content[start + 4 : start + 8] == b"IDAT":
                parts.append(content[start + 8 : start + 8 + length])
            start += 12 + length
        stream = b"".join(parts)
        streams.append((stream, len(zlib.decompress(stream))))
    try:
        import deflate
    except ImportError:
        return lambda stream: zlib.decompress(stream[0]), streams
    return lambda stream: deflate.zlib_decompress(*stream), streams


# --- whole: the command beside the forerunner's scripts ------------------------------------------------


def ask_whole(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare the whole of data_prep with the forerunner's scripts on the same drawn skins."""
    data = folder / "data"
    measure_part("draw", data / "01_raw", options.drawn)
    forerunner = measure_part("forerunner", data / "01_raw", folder / "forerunner")
    command = kedro_run(data)
    again = kedro_run(data)
    num = options.drawn
    return {
        "num_skins": num,
        "forerunner_cpu_s": forerunner["cpu_s"],
        "data_prep_cpu_s": command["cpu_s"],
        "data_prep_over_forerunner_cpu": round(command["cpu_s"] / forerunner["cpu_s"], 3),
        "forerunner_wall_s": forerunner["wall_s"],
        "data_prep_wall_s": command["wall_s"],
        "data_prep_throughput_over_forerunner": round(forerunner["wall_s"] / command["wall_s"], 3),
        "forerunner_cpu_s_by_step": forerunner["steps"],
        "again_cpu_s": again["cpu_s"],
        "again_over_forerunner_cpu": round(again["cpu_s"] / forerunner["cpu_s"], 3),
    }


def kedro_run(data: Path, *arguments: str) -> dict[str, Any]:
    """Run data_prep as a user does."""
    places = {"SKIN_PIPELINE_DATA": str(data), "SKIN_PIPELINE_MLFLOW": str(data)}
    command = ("-m", "kedro", "run", "--pipeline=data_prep", *arguments)
    return measure(sys.executable, *command, environment=places)


def run_draw(out: str, num: str) -> dict[str, float]:
    """Draw skins as demo_data does."""
    from skin_pipeline.datasets import RawSkinsDataset
    from skin_pipeline.pipelines.demo_data.nodes import DemoDataParameters, draw_demo_skins

    Path(out).mkdir(parents=True)
    dataset = RawSkinsDataset(filepath=out)
    parameters = DemoDataParameters(num_skins=int(num), width_px=1080, height_px=810)
    return timed(lambda: dataset.save(draw_demo_skins(parameters)))


def run_forerunner(pictures: str, out: str) -> dict[str, Any]:
    """Do what the forerunner's scripts did, one script after the other, one picture at a time.

    BLIP-large, whose weights do not ship, gives way to this project's captioner, called once a picture.
    PaddleOCR runs as its quick start says, on this project's weights and onnxruntime.
    """
    from PIL import Image, ImageDraw, ImageFont

    from skin_pipeline.items import Item, Task
    from skin_pipeline.prep.captions import CaptionParameters, make_captioner
    from skin_pipeline.typefaces import font_path

    target = Path(out)
    paths = sorted(Path(pictures).rglob("*.png"))
    for name in ("images", "edges", "glyphs"):
        (target / name).mkdir(parents=True)
    steps: dict[str, float] = {}

    def script(name: str, work: Callable[[], object]) -> None:
        steps[name] = round(timed(work)["work_cpu_s"], 2)

    def resize() -> None:
        for path in paths:
            Image.open(path).convert("RGB").resize((SIZE_PX, SIZE_PX)).save(target / "images" / path.name)

    def canny() -> None:
        for path in paths:
            image = cv2.imread(str(target / "images" / path.name))
            cv2.imwrite(str(target / "edges" / path.name), cv2.Canny(image, LOW, HIGH))

    def caption() -> None:
        captioner = make_captioner(CaptionParameters())
        with (target / "train.jsonl").open("w") as lines:
            for path in paths:
                with Image.open(path) as raw:
                    stretch = [[SIZE_PX / raw.width, 0, 0], [0, SIZE_PX / raw.height, 0]]
                item = Item(path.stem, {"matrix": stretch}, "", target / "images" / path.name)
                (output,) = captioner([Task(path.stem, {"resized_skins": item})])
                lines.write(json.dumps({"text": output.record["caption"], "image": path.name}) + "\n")

    found: dict[str, list[tuple[str, Any]]] = {}

    def read() -> None:
        reader = _paddle_ocr()
        for path in paths:
            (page,) = reader.predict(str(target / "images" / path.name))
            texts = zip(page["rec_texts"], page["rec_scores"], page["rec_polys"], strict=True)
            found[path.name] = [(text, polygon) for text, score, polygon in texts if score > 0.98]

    def render() -> None:
        for path in paths:
            glyphs = Image.open(target / "edges" / path.name)
            pen = ImageDraw.Draw(glyphs)
            for text, polygon in found[path.name]:
                (left, top), (right, bottom) = np.min(polygon, axis=0), np.max(polygon, axis=0)
                pen.rectangle((left, top, right, bottom), 0)
                font = ImageFont.truetype(str(font_path("sans_sc_regular")), max(8, int(bottom - top)))
                pen.text((left, top), text, 255, font)
            glyphs.save(target / "glyphs" / path.name)

    for name, work in (
        ("resize", resize),
        ("canny", canny),
        ("caption", caption),
        ("read", read),
        ("glyphs", render),
    ):
        script(name, work)
    return {"steps": steps}


def _paddle_ocr() -> Any:
    """Return PaddleOCR's own pipeline on the weights that ship."""
    from skin_pipeline.recognition.weights import embedded_weights

    weights = embedded_weights(None)
    os.environ.setdefault("PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK", "True")
    from paddleocr import PaddleOCR

    return PaddleOCR(
        text_detection_model_name=weights.detection.name,
        text_detection_model_dir=str(weights.detection.path),
        text_recognition_model_name=weights.recognition.name,
        text_recognition_model_dir=str(weights.recognition.path),
        use_doc_orientation_classify=False,
        use_doc_unwarping=False,
        use_textline_orientation=False,
        engine="onnxruntime",
        device="cpu",
        engine_config={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    )


# --- many: memory, and nothing to do -------------------------------------------------------------


def ask_many(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare few and many small skins, then run the command again."""
    few, many = options.many
    sizes: dict[int, dict[str, Any]] = {}
    for num in (few, many):
        data = folder / str(num)
        draw_small_skins(data / "01_raw", num)
        prepared = measure_part("prepare", data)
        again = kedro_run(data, "--params", SMALL_PARAMETERS)
        made = [line for line in again["output"].splitlines() if " items, " in line]
        if not made or not all(" 0 made" in line for line in made):
            raise SystemExit(f"The command made something again:\n{again['output'][-3000:]}")
        sizes[num] = {
            "cpu_ms_a_skin": round(prepared["cpu_s"] * 1000 / num, 2),
            "peak_mib": prepared["peak_mib"],
            "again_cpu_s": again["cpu_s"],
            "again_wall_s": again["wall_s"],
            "again_peak_mib": again["peak_mib"],
        }
    return {
        "skins": sizes,
        "peak_ratio": round(sizes[many]["peak_mib"] / sizes[few]["peak_mib"], 3),
        "again_peak_ratio": round(sizes[many]["again_peak_mib"] / sizes[few]["again_peak_mib"], 3),
        "again_cpu_s": sizes[many]["again_cpu_s"],
    }


def draw_small_skins(folder: Path, num: int) -> None:
    """Write distinct pictures of 96 x 96 in folders of a thousand."""
    for number in range(num):
        if number % 1000 == 0:
            (folder / f"{number // 1000:03}").mkdir(parents=True)
        waves = np.random.default_rng(number).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        path = folder / f"{number // 1000:03}" / f"skin_{number:06}.png"
        cv2.imwrite(str(path), cv2.resize(waves, (96, 96), interpolation=cv2.INTER_NEAREST))


def run_prepare(data: str) -> dict[str, Any]:
    """Run data_prep as the command does, with stand-ins for what reads, describes and renders legends.

    The stand-ins' records are as long as real ones, and keys do not depend on who makes an item; so the
    command finds everything done.
    """
    from kedro.framework.session import KedroSession
    from kedro.framework.startup import bootstrap_project

    from skin_pipeline.pipelines.data_prep import nodes

    os.environ["SKIN_PIPELINE_DATA"] = os.environ["SKIN_PIPELINE_MLFLOW"] = data
    nodes.make_captioner = lambda _: _say
    nodes.make_text_reader = lambda _: _read
    nodes.make_glyph_renderer = lambda _: _render
    bootstrap_project(PROJECT)
    parameters = {
        "screen": {"min_side_px": 64},
        "resize": {"size_px": 64},
        "text_boxes": {"num_workers": 1},
    }
    with KedroSession.create(PROJECT, runtime_params=parameters) as session:
        session.run(pipeline_names=["data_prep"])
    return {}


def _say(tasks: Sequence[Any]) -> list[Any]:
    from skin_pipeline.items import Output

    many = "in many colours, " * 8
    fixed = {"prefix": "a keyboard skin of", "suffix": ",iflyskin"}
    return [Output({"caption": f"a keyboard skin of {task.id}, {many}iflyskin", **fixed}) for task in tasks]


def _read(tasks: Sequence[Any]) -> list[Any]:
    from skin_pipeline.items import Output

    quad = [[8.25, 8.25], [24.5, 8.25], [24.5, 24.5], [8.25, 24.5]]
    boxes = [{"text": "前往", "confidence": 0.991234, "quad": quad, "source_quad": quad}] * 30
    return [Output({"engine": "none", "model": "none", "boxes": boxes}) for _ in tasks]


def _render(tasks: Sequence[Any]) -> list[Any]:
    from skin_pipeline.items import Output

    edges = [task.inputs["edge_maps"].load_image() for task in tasks]
    record = {"rendered": [{"text": "前往", "quad": [[8.25, 8.25]] * 4}] * 30, "skipped": []}
    return [Output(record, image) for image in edges]


QUESTIONS: dict[str, Callable[[Path, argparse.Namespace], dict[str, Any]]] = {
    "engine": ask_engine,
    "whole": ask_whole,
    "many": ask_many,
}
PARTS: dict[str, Callable[..., dict[str, Any]]] = {
    "loop": run_loop,
    "functions": run_functions,
    "engine": run_engine,
    "steps": run_steps,
    "draw": run_draw,
    "forerunner": run_forerunner,
    "prepare": run_prepare,
}

if __name__ == "__main__":
    main()
