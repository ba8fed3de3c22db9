"""What does the Ray engine cost beside the local one?

    python benchmarks/engines.py            # minutes
    python benchmarks/engines.py --quick    # a sign of life, under a minute on a free machine

Drawn skins are resized to 512 px and their edges traced, with two workers, by each engine in a process of its
own, for two numbers of skins. What is read is the processor time of that process and all that it started,
user and system: unlike the time on the clock it hardly depends on what else the machine does. The smaller
number gives the fixed cost, the difference the cost of each further skin:

    cost(n) = fixed + n * each skin

Both engines must leave the same bytes. Prints a table, and all figures as one line of JSON at the end.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from skin_pipeline.datasets import ItemsDataset, RawSkinsDataset
from skin_pipeline.items import Items
from skin_pipeline.pipelines.data_prep.nodes import resize_skins, trace_edges
from skin_pipeline.pipelines.demo_data.nodes import DemoDataParameters, draw_demo_skins
from skin_pipeline.prep.edges import EdgeParameters
from skin_pipeline.prep.resize import ResizeParameters

ENGINES = ("local", "ray")
NUM_WORKERS = 2
SAMPLE_SECONDS = 0.1


def main(arguments: Sequence[str] | None = None) -> dict[str, object]:
    """Run the benchmark and return its figures."""
    options = parse(arguments)
    if options.child is not None:
        prepare(options.child, options.raw, options.folder, options.num[0])
        return {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = options.raw or draw(folder / "raw", max(options.num))
        seconds = {
            engine: {num: measure(engine, raw, folder, num) for num in options.num}
            for engine in options.engines
        }
        same = all(
            files(folder, engine, num) == files(folder, options.engines[0], num)
            for engine in options.engines
            for num in options.num
        )
    figures = {
        "benchmark": "engines",
        "num_workers": NUM_WORKERS,
        "same_bytes": same,
        "cpu_seconds": seconds,
        "cost": {engine: cost(by_num) for engine, by_num in seconds.items()},
    }
    report(figures)
    return figures


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="4 and 12 skins")
    parser.add_argument("--num", type=int, nargs="+", help="two numbers of skins (40 200)")
    parser.add_argument("--raw", type=Path, help="a folder of at least as many pictures; else they are drawn")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--child", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.num = options.num or ([4, 12] if options.quick else [40, 200])
    return options


def draw(folder: Path, num: int) -> Path:
    """Draw the raw skins, and return where they are."""
    parameters = DemoDataParameters(num_skins=num, num_workers=NUM_WORKERS)
    RawSkinsDataset(filepath=str(folder)).save(draw_demo_skins(parameters))
    return folder


def prepare(engine: str, source: Path, folder: Path, num: int) -> None:
    """Resize the first skins and trace their edges; what is measured."""
    raw = RawSkinsDataset(filepath=str(source)).load()
    skins = Items(list(raw.values())[:num])
    resized, edges = (
        ItemsDataset(
            filepath=str(folder / f"{engine}_{num}" / name),
            suffix=".png",
            engine={"kind": engine, "ray": {"address": "local"}},
        )
        for name in ("resized", "edges")
    )
    resized.save(resize_skins(skins, ResizeParameters(num_workers=NUM_WORKERS)))
    edges.save(trace_edges(resized.load(), EdgeParameters(num_workers=NUM_WORKERS)))


def measure(engine: str, raw: Path, folder: Path, num: int) -> float:
    """Return the processor seconds of one run and all its processes."""
    command = [
        sys.executable,
        __file__,
        f"--child={engine}",
        f"--raw={raw}",
        f"--folder={folder}",
        f"--num={num}",
    ]
    seconds: dict[int, float] = {}
    with subprocess.Popen(command) as process:  # noqa: S603 - this file
        root = psutil.Process(process.pid)
        while process.poll() is None:
            seconds.update(sample(root))
            time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"The {engine} engine failed on {num} skins.")
    return round(sum(seconds.values()), 2)


def sample(root: psutil.Process) -> dict[int, float]:
    """Return the processor seconds so far of a process and all below it, by their ids."""
    seconds = {}
    try:
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    for process in processes:
        try:
            times = process.cpu_times()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        seconds[process.pid] = times.user + times.system
    return seconds


def files(folder: Path, engine: str, num: int) -> dict[str, bytes]:
    """Return all that an engine left."""
    root = folder / f"{engine}_{num}"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock") and path.name != ".summary.json"
    }


def cost(seconds: dict[int, float]) -> dict[str, float]:
    """Split processor seconds into what a run costs and what each skin does."""
    few, many = min(seconds), max(seconds)
    each = (seconds[many] - seconds[few]) / (many - few)
    return {"fixed_seconds": round(seconds[few] - few * each, 2), "each_skin_ms": round(each * 1000, 1)}


def report(figures: dict[str, object]) -> None:
    """Print the table and the line of JSON."""
    print(f"{'engine':8} {'fixed, CPU s':>14} {'each skin, CPU ms':>18}")
    for engine, parts in figures["cost"].items():  # type: ignore[attr-defined]
        print(f"{engine:8} {parts['fixed_seconds']:14.1f} {parts['each_skin_ms']:18.1f}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
