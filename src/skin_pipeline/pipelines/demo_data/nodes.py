"""The nodes of the demo_data pipeline."""

import hashlib
from collections.abc import Sequence
from functools import partial

from pydantic import Field

from skin_pipeline.items import Item, Output, Plan, Task, Worker, json_digest
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.drawn import draw_skin
from skin_pipeline.skins.sheets.stages import make_drawn_recorder
from skin_pipeline.typefaces import TYPEFACES, font_path


class DemoDataParameters(Parameters):
    """Which skins to draw."""

    num_skins: int = Field(ge=1)
    """How many skins."""
    seed: int = 0
    """Seed of the first skin; the others follow."""
    width_px: int = Field(1080, ge=64)
    """Width of a skin, pixels."""
    height_px: int = Field(810, ge=64)
    """Height of a skin, pixels."""
    nine_key_share: float = Field(0.4, ge=0, le=1)
    """Share of 9-key layouts among the skins, the rest has 26 keys."""
    num_workers: int = Field(1, ge=1)
    """Processes that draw."""


def draw_demo_skins(parameters: DemoDataParameters) -> Plan:
    """Plan to draw keyboard skins.

    Args:
        parameters: How many, of what size, from what seed.

    Returns:
        The plan of ``raw_skins``: RGB pictures ``skin_0000``, ``skin_0001`` ...
    """
    return Plan.from_tasks(
        "demo",
        tasks=(_task(number, parameters) for number in range(parameters.num_skins)),
        make_worker=partial(_make_drawer, parameters.width_px, parameters.height_px),
        parameters=parameters.model_dump(include={"width_px", "height_px"}),
        shared={name: hashlib.sha256(font_path(name).read_bytes()).hexdigest() for name in TYPEFACES},
        modules=("skin_pipeline.skins.drawn", "skin_pipeline.colours", "skin_pipeline.typefaces"),
        batch_size=4,
        num_workers=parameters.num_workers,
    )


def record_drawn_keys(parameters: DemoDataParameters) -> Plan:
    """Plan to record where the keys of the drawn skins lie.

    Args:
        parameters: As for the skins.

    Returns:
        The plan of ``sheet_records``, whose ids are those of the skins among the raw ones.
    """
    return Plan.from_tasks(
        "record_drawn_keys",
        tasks=(_task(number, parameters, folder="demo/") for number in range(parameters.num_skins)),
        make_worker=partial(make_drawn_recorder, parameters.width_px, parameters.height_px),
        parameters=parameters.model_dump(include={"width_px", "height_px"}),
        modules=("skin_pipeline.skins.drawn", "skin_pipeline.skins.sheets.drawn"),
        num_workers=parameters.num_workers,
    )


def _task(number: int, parameters: DemoDataParameters, folder: str = "") -> Task:
    """Return the task of a skin; 9-key layouts are spread evenly over the numbers."""
    share = parameters.nine_key_share
    is_nine_key = int((number + 1) * share) > int(number * share)
    design = {"seed": parameters.seed + number, "layout": "9_key" if is_nine_key else "26_key"}
    skin = f"{folder}skin_{number:04}"
    return Task(skin, {"design": Item(skin, design, json_digest(design))})


def _make_drawer(width_px: int, height_px: int) -> Worker:
    """Return the worker that draws designs."""

    def draw(tasks: Sequence[Task]) -> list[Output]:
        designs = [task.inputs["design"].record for task in tasks]
        skins = (draw_skin(**design, width_px=width_px, height_px=height_px) for design in designs)
        return [Output(design, skin.image) for design, skin in zip(designs, skins, strict=True)]

    return draw
