"""Pictures to compare generated ones with: from the same prompts, controls and seeds, by something else.

Loads no deep-learning library until a generator is made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from skin_pipeline.base_models import family_of, resolve_controlnet
from skin_pipeline.errors import InputError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.plan import (
    conditioning_of_drawing,
    conditioning_of_row,
    file_digests,
    modules_of,
    read_rows,
)
from skin_pipeline.generation.weights import WeightsSource, folder_digest, locate_base_model
from skin_pipeline.generation.worker import make_generator
from skin_pipeline.items import Folder, Item, Items, Output, Plan, Rejection, Task, Worker, json_digest
from skin_pipeline.prep.publish import Row
from skin_pipeline.schemas import Parameters

SystemName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
RESERVED = frozenset({"generated", "real", "reference", "skipped"})
"""Names with a meaning of their own among scores."""
_FROM_RECORD = (
    "variant",
    "num_inference_steps",
    "scheduler",
    "guidance_scale",
    "controlnet_conditioning_scale",
)


class BaselineParameters(Parameters):
    """One thing to compare with."""

    kind: Literal["no_control", "untrained", "checkpoint"]
    """``no_control``: the base model alone. ``untrained``: a ControlNet fresh from the UNet, whose output
    convolutions are zero, so it must equal ``no_control``: a check of the machinery. ``checkpoint``: other
    weights."""
    weights: str | None = None
    """Of a checkpoint: ``embedded-canny``, a folder or a hub id."""

    @model_validator(mode="after")
    def _has_weights(self) -> Self:
        if (self.kind == "checkpoint") != (self.weights is not None):
            raise ValueError(
                f"weights: expected for 'checkpoint' only, got {self.weights} for '{self.kind}'."
            )
        return self


class BaselinesParameters(Parameters):
    """What generated pictures are compared with; real pictures always are among it."""

    systems: dict[SystemName, BaselineParameters | None] = Field(default_factory=dict)
    """Baselines by the name that tables show; null: not this one."""
    num_seeds: Annotated[int, Field(ge=1)] | None = None
    """For how many of the seeds of each conditioning image and prompt they are made, the lowest first; null:
    for all."""

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        taken = sorted(RESERVED & self.systems.keys())
        if taken:
            raise ValueError(f"systems: '{taken[0]}' has a meaning of its own; choose another name.")
        return self

    def preflight(self) -> None:
        """Check that the weights named here are to be had.

        Raises:
            MissingWeightsError: They are not.
        """
        for name, system in self.systems.items():
            if system is not None and system.weights is not None:
                resolve_controlnet(system.weights, f"baselines.systems.{name}.weights")


@dataclass(frozen=True)
class System:
    """A baseline, ready to be made in any process."""

    name: str
    parameters: InferenceParameters
    weights: Path | None
    """Folder of the ControlNet; none for one fresh from the UNet."""
    base: WeightsSource
    weights_digest: str | None

    @property
    def provenance(self) -> dict[str, Any]:
        """What goes into each picture's record."""
        return {
            "system": self.name,
            "weights_digest": self.weights_digest,
            "base_model": self.parameters.base_model,
            "base_model_digest": self.base.digest,
        }

    @property
    def item(self) -> Item:
        """Everything of it that decides what a picture looks like, as an input of a task."""
        record = {"settings": self.parameters.settings(), **self.provenance}
        return Item("system", record, json_digest(record))


def plan_baselines(
    generated: Items,
    dataset: Folder,
    control_images: Items,
    inference: InferenceParameters,
    parameters: BaselinesParameters,
) -> Plan:
    """Plan a picture of every baseline for each generated one.

    Prompt, negative prompt, seed, conditioning image, base model and the sampler's settings are those of the
    generated pictures' records.

    Args:
        generated: Pictures with the records of :mod:`skin_pipeline.generation.worker`.
        dataset: The training set they were conditioned on.
        control_images: What they were conditioned on instead, if on drawn layouts.
        inference: The machine: device, number format, batch size; and given embeddings.
        parameters: What to compare with.

    Returns:
        The plan; its items are called ``<system>/<id of the generated picture>``.

    Raises:
        InputError: The pictures were made with different settings, or a conditioning image or the base model
            is no longer what it was.
        MissingWeightsError: The base model or a checkpoint is not there.
    """
    chosen = first_seeds(generated, parameters.num_seeds)
    systems = _systems(chosen, inference, parameters)
    return Plan.from_tasks(
        "baselines",
        tasks=_tasks(systems, chosen, dataset, control_images, inference),
        make_worker=partial(BaselineGenerator, systems),
        shared=file_digests(inference),
        modules=(*modules_of(systems[0].parameters if systems else inference), __name__),
        batch_size=inference.batch_size,
        num_workers=inference.num_workers,
    )


def first_seeds(generated: Items, num_seeds: int | None) -> Items:
    """Return the pictures with the lowest seeds of each conditioning image and prompt."""
    if num_seeds is None:
        return generated
    seeds: dict[tuple[str, str], list[int]] = {}
    for item in generated.values():
        seeds.setdefault(_subject(item), []).append(int(item.record["seed"]))
    return Items(
        item
        for item in generated.values()
        if item.record["seed"] in sorted(seeds[_subject(item)])[:num_seeds]
    )


def _subject(item: Item) -> tuple[str, str]:
    return str(item.record["conditioning"]), str(item.record["prompt"])


def rows_of(dataset: Folder, generated: Items, control_images: Items) -> dict[str, Row]:
    """Return the training set's row of every skin that pictures were conditioned on.

    Args:
        dataset: The training set.
        generated: Pictures with their records.
        control_images: Drawn layouts; pictures that were conditioned on these have no row.

    Raises:
        InputError: A conditioning image is in neither, or not the one that was used.
    """
    rows = {row.skin: row for split in ("train", "validation") for row in read_rows(dataset, split)}
    for item in generated.values():
        skin = item.record["conditioning"]
        if skin in control_images and control_images[skin].sha256 == item.record["conditioning_sha256"]:
            continue
        stored = dataset.files[rows[skin].conditioning_image] if skin in rows else None
        if stored != item.record["conditioning_sha256"]:
            state = "is not in" if stored is None else "is another one in"
            raise InputError(
                f"Picture '{item.id}' was conditioned on skin '{skin}', whose conditioning image {state} the"
                f" training set '{dataset.path}'. Run `kedro run --pipeline=inference` again."
            )
    used = {str(item.record["conditioning"]) for item in generated.values()}
    return {skin: rows[skin] for skin in sorted(used - set(control_images))}


def _systems(
    generated: Items, inference: InferenceParameters, parameters: BaselinesParameters
) -> tuple[System, ...]:
    chosen = {name: one for name, one in parameters.systems.items() if one is not None}
    if not generated or not chosen:
        return ()
    first = next(iter(generated.values())).record
    settings = _settings_of(first)
    for item in generated.values():
        record = item.record
        if _settings_of(record) != settings or record["base_model_digest"] != first["base_model_digest"]:
            raise InputError(
                f"Picture '{item.id}' was made with other settings or another base model than the first one;"
                " baselines are made with those of all pictures. Run `kedro run --pipeline=inference` again."
            )
    base = locate_base_model(first["base_model"])
    if base.digest != first["base_model_digest"]:
        raise InputError(
            f"The base model '{first['base_model']}' is no longer the one that the pictures were made with."
            " Run `kedro run --pipeline=inference` again."
        )
    common = inference.model_copy(update={**settings, "base_model": first["base_model"]})
    return tuple(_system(name, one, common, base) for name, one in chosen.items())


def _settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that baselines take over; older records do not say whose the legends are."""
    settings = record["settings"]
    taken = {name: settings[name] for name in _FROM_RECORD}
    return {**taken, "legends": settings.get("legends", "generated")}


def _system(
    name: str, baseline: BaselineParameters, common: InferenceParameters, base: WeightsSource
) -> System:
    if baseline.weights is not None:
        folder = Path(resolve_controlnet(baseline.weights, f"baselines.systems.{name}.weights"))
        digest = folder_digest(folder) if folder.is_dir() else json_digest(baseline.weights)
        return System(name, common, folder, base, digest)
    if baseline.kind == "no_control":
        common = common.model_copy(update={"controlnet_conditioning_scale": 0.0})
    return System(name, common, None, base, None)


def _tasks(
    systems: Sequence[System],
    generated: Items,
    dataset: Folder,
    control_images: Items,
    inference: InferenceParameters,
) -> Iterator[Task]:
    rows = rows_of(dataset, generated, control_images)
    for system in systems:
        for item in generated.values():
            skin = item.record["conditioning"]
            inputs = (
                conditioning_of_row(rows[skin], dataset, system.parameters)
                if skin in rows
                else conditioning_of_drawing(control_images[skin], system.parameters)
            )
            request = {name: item.record[name] for name in ("prompt", "negative_prompt", "seed")}
            if inference.prompt_embeds is not None:
                request["embeds_row"] = inference.prompts.index(request["prompt"])
            yield Task(
                f"{system.name}/{item.id}",
                {
                    **inputs,
                    "request": Item("request", request, json_digest(request)),
                    "system": system.item,
                },
            )


class BaselineGenerator:
    """A worker that holds the models of one baseline at a time; tasks come sorted by baseline."""

    def __init__(self, systems: Sequence[System]) -> None:
        """Remember the baselines; their models are loaded when the first task of each comes.

        Args:
            systems: All that tasks may name.
        """
        self._systems = {system.name: system for system in systems}
        self._name: str | None = None
        self._generator: Worker | None = None

    def __call__(self, tasks: Sequence[Task]) -> list[Output | Rejection]:
        """Generate one picture for each task."""
        outputs: list[Output | Rejection] = []
        for name, some in groupby(tasks, key=lambda task: str(task.inputs["system"].record["system"])):
            outputs += self._of(name)(list(some))
        return outputs

    def _of(self, name: str) -> Worker:
        if name != self._name or self._generator is None:
            self._generator = None  # frees the models of the one before
            self._generator = _load(self._systems[name])
            self._name = name
        return self._generator


def _load(system: System) -> Worker:
    if system.weights is not None:
        return make_generator(system.parameters, system.weights, system.base, system.provenance)
    with tempfile.TemporaryDirectory() as folder:
        _save_untrained(system, Path(folder))
        return make_generator(system.parameters, Path(folder), system.base, system.provenance)


def _save_untrained(system: System, folder: Path) -> None:
    """Save a ControlNet fresh from the base model's denoiser."""
    import diffusers

    options = {
        "revision": system.base.revision,
        "variant": system.parameters.variant,
        "use_safetensors": True,
    }
    if family_of(system.base.location, "inference.base_model").name == "sd3":
        transformer = diffusers.SD3Transformer2DModel.from_pretrained(
            system.base.location, subfolder="transformer", **options
        )
        # its default is one channel beside the latents, which the inference pipeline does not give
        fresh = diffusers.SD3ControlNetModel.from_transformer(transformer, num_extra_conditioning_channels=0)
    else:
        unet = diffusers.UNet2DConditionModel.from_pretrained(
            system.base.location, subfolder="unet", **options
        )
        fresh = diffusers.ControlNetModel.from_unet(unet)
    fresh.save_pretrained(folder)
