"""Stages that make generated pictures into packages, and into pages to try them on."""

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from skin_pipeline.errors import InputError
from skin_pipeline.items import (
    Folder,
    Item,
    Items,
    Output,
    Plan,
    Rejection,
    Task,
    Worker,
    canonical_json,
    json_digest,
)
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.export import (
    Provenance,
    in_short,
    write_baidu,
    write_fcitx5,
    write_hamster,
    write_trime,
)
from skin_pipeline.skins.legends import COMPOSITING_MODULES, composite_legends, refuse_missing_characters
from skin_pipeline.skins.legibility import make_legible
from skin_pipeline.skins.model import Skin
from skin_pipeline.skins.sheets.compose import SheetRecord
from skin_pipeline.skins.sheets.conditioning import lay_out, layout_of_outlines
from skin_pipeline.skins.sheets.layout import SheetLayout, load_layout
from skin_pipeline.skins.sheets.slicing import LegendForm, slice_sheet
from skin_pipeline.skins.trial.page import render_trial_page
from skin_pipeline.skins.validators import validate_package
from skin_pipeline.typefaces import load_font

Product = Literal["baidu", "hamster", "trime", "fcitx5", "trial_page"]
SUFFIXES: Mapping[Product, str] = {
    "baidu": ".bds",
    "hamster": ".cskin",
    "trime": ".zip",
    "fcitx5": ".zip",
    "trial_page": ".html",
}
"""Suffixes of the products' files."""

RecordedLegends = Mapping[tuple[str, str], Item]
"""What is written in pictures, by the conditioning image's id and sha256: the item's record has ``legends``,
each with ``text`` and ``quad``, and ``margin``, what the quads leave around the ink in units of their shorter
side."""

_WRITERS = {"baidu": write_baidu, "hamster": write_hamster, "trime": write_trime, "fcitx5": write_fcitx5}
_SKINS_KEPT = 8
MODULES = (
    "skin_pipeline.pages",
    "skin_pipeline.skins.export",
    "skin_pipeline.skins.sheets",
    "skin_pipeline.skins.trial",
    "skin_pipeline.skins.rendering",
    "skin_pipeline.skins.contrast",
    "skin_pipeline.skins.legibility",
    "skin_pipeline.skins.validators",
)


class ExportParameters(Parameters):
    """How generated pictures become skins."""

    layout: str | None = None
    """The sheet layout of pictures whose conditioning image neither a sheet nor a layout is known for; null:
    such pictures are left out."""

    legends: Literal["pictures", "composited", "text"] = "pictures"
    """``pictures``: legends as they are in the pictures. ``composited``: those on record are set anew in the
    pictures, in their own style, as ``inference.legends`` does it, without generating anything again.
    ``text``: every legend written by the keyboard, in the generated colour, readable whatever the model made
    of it."""

    legend_font: Path | None = None
    """A .ttf or .otf file to composite in; null: the shipped typeface most like what a picture shows."""

    max_skins: int | None = Field(default=None, ge=0)
    """At most so many, the first by id; null: all."""

    outputs_folder: str = "../07_model_output"
    """The folder of packages and trial pages, as seen from the page that links them."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that export at the same time."""

    def preflight(self) -> None:
        """Raise where the layout is not there or makes no sense, or the font is none.

        Raises:
            ConfigurationError: See :func:`skin_pipeline.skins.sheets.layout.load_layout`.
        """
        if self.layout is not None:
            load_layout(self.layout)
        if self.legend_font is not None:
            load_font(self.legend_font, 16)

    @property
    def is_compositing(self) -> bool:
        """Whether legends are set anew."""
        return self.legends == "composited"


def plan_export(
    product: Product,
    generated_skins: Items,
    sheet_records: Items,
    resized_skins: Items,
    controlnet_weights: Folder,
    parameters: ExportParameters,
    legends: RecordedLegends,
) -> Plan:
    """Plan one product of every generated skin.

    The run that trained the weights is written into what is made, but is in no key: the same picture is not
    packed again because another run trained the same weights.

    Args:
        product: What to make.
        generated_skins: Pictures, whose records name what they were conditioned on.
        sheet_records: Where keys lie, by skin.
        resized_skins: How those skins came to the pictures' size.
        controlnet_weights: For the run that trained them.
        parameters: How.
        legends: What is composited.

    Returns:
        The plan; its items have the ids of the pictures.

    Raises:
        ConfigurationError: A legend that is to be composited cannot be written.
    """
    chosen = list(generated_skins.values())[: parameters.max_skins]
    tasks = [Task(item.id, dict(_inputs(item, sheet_records, resized_skins))) for item in chosen]
    shared = {}
    if parameters.is_compositing:
        tasks = [_with_legends(task, legends, parameters) for task in tasks]
        if parameters.legend_font is not None:
            shared["legend_font"] = hashlib.sha256(parameters.legend_font.read_bytes()).hexdigest()
    shown = parameters.model_dump(mode="json", include={"legends"})
    layout = None if parameters.layout is None else load_layout(parameters.layout).model_dump(mode="json")
    return Plan.from_tasks(
        f"export_{product}",
        tasks=tasks,
        make_worker=partial(make_exporter, product, parameters, controlnet_weights),
        parameters={**shown, "layout": layout},
        shared=shared,
        modules=MODULES + (COMPOSITING_MODULES if parameters.is_compositing else ()),
        num_workers=parameters.num_workers,
    )


def _with_legends(task: Task, legends: RecordedLegends, parameters: ExportParameters) -> Task:
    """Return a task with the legends that are composited, if they are on record and not yet composited."""
    record = task.inputs["generated_skins"].record
    found = legends.get((record["conditioning"], record.get("conditioning_sha256", "")))
    if found is None or _is_composited(record):
        return task
    texts = [legend["text"] for legend in found.record["legends"]]
    refuse_missing_characters(texts, parameters.legend_font, "packages.legend_font")
    return Task(task.id, {**task.inputs, "legends": found})


def _is_composited(record: Mapping[str, Any]) -> bool:
    """Return whether a picture's legends were composited when it was generated."""
    return bool(record["settings"].get("legends") == "composited")


def _inputs(item: Item, sheet_records: Items, resized_skins: Items) -> list[tuple[str, Item]]:
    """Return what says where keys lie: on the layout that a picture was conditioned on, or on a skin."""
    inputs = [("generated_skins", item)]
    skin = item.record.get("outlines_of", item.record["conditioning"])
    layout = layout_of_outlines(skin)
    if layout is not None:
        document = {"name": layout, "layout": load_layout(layout).model_dump(mode="json")}
        inputs.append(("layout", Item(layout, document, json_digest(document))))
    elif skin in sheet_records and skin in resized_skins:
        resized = {name: resized_skins[skin].record[name] for name in ("matrix", "size_px")}
        inputs.append(("sheet_records", sheet_records[skin]))
        inputs.append(("resized_skins", Item(skin, resized, json_digest(resized))))
    return inputs


def make_exporter(product: Product, parameters: ExportParameters, weights: Folder) -> Worker:
    """Build the worker that makes a product of generated pictures."""
    return partial(_export_batch, product, parameters, weights)


def _export_batch(
    product: Product, parameters: ExportParameters, weights: Folder, tasks: Sequence[Task]
) -> list[Output | Rejection]:
    results: list[Output | Rejection] = []
    for task in tasks:
        try:
            results.append(_export(product, parameters, weights, task))
        except InputError as exc:
            results.append(Rejection(str(exc)))
    return results


def _export(product: Product, parameters: ExportParameters, weights: Folder, task: Task) -> Output:
    generated = task.inputs["generated_skins"]
    skin = _sliced(task, parameters)
    provenance = _provenance(generated, weights)
    if product == "trial_page":
        facts = {
            "Prompt": generated.record["prompt"],
            "Picture": generated.id,
            "Made by": provenance.sentence(),
        }
        return Output({"provenance": asdict(provenance)}, content=render_trial_page(skin, facts).encode())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"skin{SUFFIXES[product]}"
        export = _WRITERS[product](skin, path, provenance=provenance)
        violations = [str(violation) for violation in validate_package(path)]
        if violations:
            raise InputError("The package would not be valid: " + "; ".join(violations) + ".")
        record = {
            "provenance": asdict(provenance),
            "files": list(export.files),
            "losses": list(in_short(export.losses)),
        }
        return Output(record, content=path.read_bytes())


def _provenance(generated: Item, weights: Folder) -> Provenance:
    """Return where a picture came from; the run is known if these are the weights that made it."""
    digest = generated.record["weights_digest"]
    return Provenance(
        run_id=(weights.source_run or "") if weights.digest == digest else "",
        weights_sha256=digest,
        item=generated.id,
        generator=f"skin_pipeline {version('skin_pipeline')}",
    )


def _sliced(task: Task, parameters: ExportParameters) -> Skin:
    """Return the skin that a generated picture shows."""
    generated = task.inputs["generated_skins"]
    width, height = generated.record["settings"]["size_px"]
    if "layout" in task.inputs:
        name, layout = task.inputs["layout"].id, task.inputs["layout"].record["layout"]
        record = lay_out(SheetLayout.model_validate(layout), (width, height), name=name)
    elif "sheet_records" in task.inputs:
        record = SheetRecord.model_validate(task.inputs["sheet_records"].record)
        resized = task.inputs["resized_skins"].record
        record = record.mapped(resized["matrix"], tuple(resized["size_px"]))
    elif parameters.layout is not None:
        record = lay_out(load_layout(parameters.layout), (width, height), name=parameters.layout)
    else:
        shown = generated.record.get("outlines_of", generated.record["conditioning"])
        raise InputError(
            f"Where the keys of '{shown}' lie is not known, as it is neither a sheet layout, a composed sheet"
            " nor a drawn skin. If its pictures follow a sheet layout, name it in packages.layout."
        )
    legends = task.inputs.get("legends")
    if parameters.is_compositing and not (_is_composited(generated.record) or _has_some(legends)):
        raise InputError(
            "packages.legends is 'composited', but there are no legends on record for the conditioning image"
            f" '{generated.record['conditioning']}' of this picture, neither in the training set nor in"
            " control_images. Set packages.legends to pictures or text, or generate anew."
        )
    laid_out = canonical_json(record.model_dump(mode="json"))
    return _SLICER.slice(generated, laid_out, parameters, legends)


def _has_some(legends: Item | None) -> bool:
    return legends is not None and bool(legends.record["legends"])


class _Slicer:
    """Slices a picture once for all its products, as far as they are made soon after each other.

    Whatever was generated, the legends of the skin can be read.
    """

    def __init__(self) -> None:
        self._skins: OrderedDict[tuple[str, ...], Skin] = OrderedDict()

    def slice(
        self, generated: Item, laid_out: str, parameters: ExportParameters, legends: Item | None
    ) -> Skin:
        written = "" if legends is None else f"{legends.sha256} {parameters.legend_font}"
        key = (generated.id, generated.sha256, laid_out, parameters.legends, written)
        if key not in self._skins:
            picture, record = generated.load_image(), SheetRecord.model_validate_json(laid_out)
            if legends is not None:
                picture = composite_legends(
                    picture,
                    [legend["quad"] for legend in legends.record["legends"]],
                    [legend["text"] for legend in legends.record["legends"]],
                    inset=legends.record["margin"],
                    font=parameters.legend_font,
                ).picture
            name = generated.id.rpartition("/")[2]
            form: LegendForm = "text" if parameters.legends == "text" else "pictures"
            self._skins[key] = make_legible(slice_sheet(picture, record, name=name, legends=form))
            while len(self._skins) > _SKINS_KEPT:
                self._skins.popitem(last=False)
        return self._skins[key]


_SLICER = _Slicer()
"""One for each process; products are made by one node after the other."""
