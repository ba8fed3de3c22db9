"""Stages about sheets: packages become sheets, and every sheet says where its keys lie."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from skin_pipeline.errors import InputError
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.drawn import draw_skin
from skin_pipeline.skins.model import Atlas, Theme, ThemeName
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.sheets.alignment import AlignmentParameters, measure_alignment
from skin_pipeline.skins.sheets.compose import Sheet, compose_sheet, keyboard_of
from skin_pipeline.skins.sheets.drawn import lay_out_drawn
from skin_pipeline.skins.sheets.layout import SheetLayout, load_layout
from skin_pipeline.skins.sheets.previews import SHOWS_A_KEYBOARD, find_in_preview

VAE_FACTOR = 8


class SheetParameters(Parameters):
    """How packages become sheets."""

    layout: str = "four_parts"
    """``whole_keyboard``, ``four_parts``, ``key_elements``, or the path of a layout of your own."""

    size_px: int = Field(default=512, ge=64, le=4096)
    """Side of the sheets in pixels; a multiple of 8."""

    theme: ThemeName | None = None
    """Which theme of a package; null: its first."""

    alignment: AlignmentParameters = AlignmentParameters()
    """From where on a package counts as misaligned and is left out."""

    min_preview_ssim: float | None = Field(default=None, ge=-1, le=1)
    """Least similarity of a package's keyboard to its own preview, where that shows one (most are title
    cards); a package below it was drawn for another protocol. Null: not judged."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that compose at the same time."""

    @field_validator("size_px")
    @classmethod
    def _fits_the_vae(cls, size_px: int) -> int:
        if size_px % VAE_FACTOR:
            raise ValueError(f"sheets.size_px must be a multiple of {VAE_FACTOR}, got {size_px}.")
        return size_px

    def preflight(self) -> None:
        """Raise where the layout is not there or makes no sense.

        Raises:
            ConfigurationError: See :func:`skin_pipeline.skins.sheets.layout.load_layout`.
        """
        load_layout(self.layout)

    def item_parameters(self) -> dict[str, Any]:
        """Return what decides a sheet, as JSON: the layout itself, wherever its file lies."""
        chosen = self.model_dump(mode="json", exclude={"num_workers"})
        return {**chosen, "layout": load_layout(self.layout).model_dump(mode="json")}


def make_composer(parameters: SheetParameters) -> Worker:
    """Build the worker that composes packages, the source ``raw_packages``, onto sheets.

    Its records hold nothing but the package's name; see :func:`make_sheet_recorder`.
    """
    return _worker(parameters, lambda sheet: Output({"layout": parameters.layout}, sheet.picture))


def make_sheet_recorder(parameters: SheetParameters) -> Worker:
    """Build the worker that records where the keys of composed sheets lie."""
    return _worker(parameters, lambda sheet: Output(sheet.record.model_dump(mode="json")))


def _worker(parameters: SheetParameters, output_of: Callable[[Sheet], Output]) -> Worker:
    layout = load_layout(parameters.layout)

    def compose(tasks: Sequence[Task]) -> list[Output | Rejection]:
        results: list[Output | Rejection] = []
        for task in tasks:
            try:
                sheet = _compose(task.inputs["raw_packages"].path, layout, parameters)
                results.append(output_of(sheet))
            except InputError as exc:
                results.append(Rejection(str(exc)))
        return results

    return compose


def _compose(path: Path | None, layout: SheetLayout, parameters: SheetParameters) -> Sheet:
    if path is None:
        raise InputError("The package must not or cannot be read.")
    skin = read_skin(path)
    theme = skin.theme(parameters.theme)
    complaints = _complaints(theme, layout, parameters.alignment)
    if parameters.min_preview_ssim is not None:
        complaints += _preview_complaints(theme, skin.preview, parameters.min_preview_ssim)
    if complaints:
        raise InputError("The package is misaligned: " + "; ".join(complaints) + ".")
    return compose_sheet(theme, layout, parameters.size_px, name=parameters.layout)


def _complaints(theme: Theme, layout: SheetLayout, parameters: AlignmentParameters) -> list[str]:
    return [
        f"of its keyboard '{kind}', {complaint}"
        for kind in layout.keyboards
        for complaint in measure_alignment(keyboard_of(theme, kind)).complaints(parameters)
    ]


def _preview_complaints(theme: Theme, preview: Atlas | None, min_ssim: float) -> list[str]:
    match = find_in_preview(theme, preview)
    if match is None or match.correlation < SHOWS_A_KEYBOARD or match.ssim >= min_ssim:
        return []
    return [
        f"its keyboard '{match.kind}' has a similarity of {match.ssim:.2f} to its preview, expected at least"
        f" {min_ssim:.2f}"
    ]


def make_drawn_recorder(width_px: int, height_px: int) -> Worker:
    """Build the worker that records where the keys of drawn skins lie, from their source ``design``."""
    return partial(_record_drawn, width_px, height_px)


def _record_drawn(width_px: int, height_px: int, tasks: Sequence[Task]) -> list[Output | Rejection]:
    skins = (
        draw_skin(**task.inputs["design"].record, width_px=width_px, height_px=height_px) for task in tasks
    )
    return [Output(lay_out_drawn(skin).model_dump(mode="json")) for skin in skins]
