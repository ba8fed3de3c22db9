"""The node of the demo_packages pipeline."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from skin_pipeline.items import Item, Output, Plan, Task, Worker, json_digest
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.drawn import draw_skin
from skin_pipeline.skins.export import write_baidu
from skin_pipeline.skins.sheets.drawn import lay_out_drawn
from skin_pipeline.skins.sheets.slicing import slice_sheet

WIDTH_PX, HEIGHT_PX = 720, 540
"""Size of the drawn keyboards: the panel width of most real packages."""


class DemoPackagesParameters(Parameters):
    """Which packages to draw."""

    num_packages: int = Field(ge=1)
    """How many."""
    seed: int = 0
    """Seed of the first; the others follow."""
    num_workers: int = Field(1, ge=1)
    """Processes that draw."""


def draw_demo_packages(parameters: DemoPackagesParameters) -> Plan:
    """Plan to draw skins and to pack each as a ``.bds`` package, with both keyboards.

    Args:
        parameters: How many, from what seed.

    Returns:
        The plan of the packages ``skin_0000``, ``skin_0001`` ... among the raw ones.
    """
    return Plan.from_tasks(
        "demo",
        tasks=(_task(number, parameters) for number in range(parameters.num_packages)),
        make_worker=_make_packer,
        parameters={"width_px": WIDTH_PX, "height_px": HEIGHT_PX},
        modules=("skin_pipeline.skins",),
        num_workers=parameters.num_workers,
    )


def _task(number: int, parameters: DemoPackagesParameters) -> Task:
    design = {"seed": parameters.seed + number}
    skin = f"skin_{number:04}"
    return Task(skin, {"design": Item(skin, design, json_digest(design))})


def _make_packer() -> Worker:
    """Return the worker that draws and packs designs."""

    def pack(tasks: Sequence[Task]) -> list[Output]:
        return [_pack(task.id, task.inputs["design"].record["seed"]) for task in tasks]

    return pack


def _pack(name: str, seed: int) -> Output:
    drawn = draw_skin(seed, width_px=WIDTH_PX, height_px=HEIGHT_PX, layout="26_key")
    skin = slice_sheet(drawn.image, lay_out_drawn(drawn), name=name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.bds"
        write_baidu(skin, path)
        return Output({"seed": seed}, content=path.read_bytes())
