"""Which pictures to generate: one task for each conditioning image, prompt and seed.

Everything that decides what a picture looks like is part of its task (conditioning image, prompt, negative
prompt, seed) or of the plan (digests of both models' weights and of given embeddings, settings), so that a
run resumes and makes anew only what changed. Loads no deep-learning library.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, MissingWeightsError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.recorded_legends import legends_of_drawing, legends_of_row
from skin_pipeline.generation.weights import locate_base_model
from skin_pipeline.generation.worker import make_generator
from skin_pipeline.items import Folder, Item, Items, Plan, Task, json_digest
from skin_pipeline.prep.publish import Row
from skin_pipeline.skins.legends import COMPOSITING_MODULES, refuse_missing_characters

MODULES = ("skin_pipeline.generation.pipeline", "skin_pipeline.generation.worker")


def plan_generation(
    weights: Folder, dataset: Folder, parameters: InferenceParameters, control_images: Items | None = None
) -> Plan:
    """Plan a picture for every chosen conditioning image, prompt and seed.

    Args:
        weights: A ControlNet as ``save_pretrained`` writes it.
        dataset: The published training set.
        parameters: What to generate, and how.
        control_images: Used in place of the training set's conditioning images, if there are any.

    Returns:
        The plan; its items are called ``<skin>/<prompt digest>-<seed>``.

    Raises:
        MissingWeightsError: The ControlNet or the base model is not there.
        ConfigurationError: A skin that ``inference.conditioning`` names is not in the split, or there are
            control images, which have no captions, and no prompts; or legends are to be composited, and a
            conditioning image has none, or one that cannot be written.
        IncompleteDatasetError: The training set lacks a file, or the quad of a legend.
    """
    if not (weights.path / "config.json").is_file():
        raise MissingWeightsError(
            f"'{weights.path}' holds no ControlNet: config.json is missing. Run `kedro run --pipeline=train`."
        )
    base = locate_base_model(parameters.base_model)
    provenance = {
        "weights_digest": weights.digest,
        "base_model": parameters.base_model,
        "base_model_digest": base.digest,
    }
    conditioning = _conditioning(dataset, parameters, control_images or Items())
    return Plan.from_tasks(
        "inference",
        tasks=_tasks(conditioning, parameters),
        make_worker=partial(make_generator, parameters, weights.path, base, provenance),
        parameters=parameters.settings(),
        shared={"controlnet": weights.digest, "base_model": base.digest, **file_digests(parameters)},
        modules=modules_of(parameters),
        batch_size=parameters.batch_size,
        num_workers=parameters.num_workers,
    )


def read_rows(dataset: Folder, split: str) -> list[Row]:
    """Read one split of a published training set, sorted by skin.

    Raises:
        IncompleteDatasetError: The split is not there, or names pictures that are not.
    """
    path = dataset.path / f"{split}.jsonl"
    if not path.is_file():
        raise IncompleteDatasetError(
            f"The training set '{dataset.path}' has no {path.name}. Run `kedro run --pipeline=data_prep`"
            " again."
        )
    with path.open(encoding="utf-8") as lines:
        rows = [Row(**json.loads(line)) for line in lines]
    for row in rows:
        for name in (row.image, row.conditioning_image):
            if name not in dataset.files:
                raise IncompleteDatasetError(
                    f"{path.name} names '{name}' for skin '{row.skin}', which '{dataset.path}' does not hold."
                    " Run `kedro run --pipeline=data_prep` again."
                )
    return sorted(rows, key=lambda row: row.skin)


def choose_rows(rows: Sequence[Row], parameters: InferenceParameters) -> list[Row]:
    """Return the rows whose conditioning images are used.

    Raises:
        ConfigurationError: A skin that was asked for is not among them, or there are none at all.
    """
    if not rows:
        raise ConfigurationError(
            f"inference.split is '{parameters.split}', which holds no skins. Choose the other split, or raise"
            " dataset.validation_share."
        )
    if not parameters.conditioning:
        return list(rows[: parameters.num_conditioning])
    by_skin = {row.skin: row for row in rows}
    missing = [skin for skin in parameters.conditioning if skin not in by_skin]
    if missing:
        known = ", ".join(list(by_skin)[:4])
        raise ConfigurationError(
            f"inference.conditioning names {', '.join(missing)}, not among the {len(rows)} skins of"
            f" inference.split '{parameters.split}' ({known} …)."
        )
    return [by_skin[skin] for skin in parameters.conditioning]


def _conditioning(
    dataset: Folder, parameters: InferenceParameters, control_images: Items
) -> list[tuple[dict[str, Item], str | None]]:
    """Return the inputs of tasks that come from conditioning images, each with its caption, if it has one."""
    if not control_images:
        rows = choose_rows(read_rows(dataset, parameters.split), parameters)
        return [(conditioning_of_row(row, dataset, parameters), row.text) for row in rows]
    if parameters.prompts == "captions":
        raise ConfigurationError(
            "control_images.layouts asks for skins on drawn control images, which have no captions, but"
            " inference.prompts is 'captions'. Give a list of prompts."
        )
    return [(conditioning_of_drawing(item, parameters), None) for item in control_images.values()]


def conditioning_of_drawing(control_image: Item, parameters: InferenceParameters) -> dict[str, Item]:
    """Return what a picture on a control image is made of, as inputs of a task.

    Args:
        control_image: Drawn from a layout.
        parameters: Whether its legends are composited.

    Returns:
        ``conditioning``, and ``legends`` if they are.

    Raises:
        ConfigurationError: It has no legends to composite, or one that cannot be written.
    """
    shown = {"outlines_of": control_image.record["outlines_of"]}
    conditioning = Item(control_image.id, shown, control_image.sha256, control_image.path)
    if parameters.legends == "generated":
        return {"conditioning": conditioning}
    return {"conditioning": conditioning, "legends": _checked(legends_of_drawing(control_image), parameters)}


def conditioning_of_row(row: Row, dataset: Folder, parameters: InferenceParameters) -> dict[str, Item]:
    """Return what a picture on a row's conditioning image is made of, as inputs of a task.

    Args:
        row: Of the training set.
        dataset: The training set.
        parameters: Whether the row's legends are composited.

    Returns:
        ``conditioning``, and ``legends`` if they are.

    Raises:
        ConfigurationError: It has no legends to composite, or one that cannot be written.
        IncompleteDatasetError: It has more or fewer of them than quads.
    """
    conditioning = Item(
        id=row.skin,
        record={} if row.outlines_of is None else {"outlines_of": row.outlines_of},
        sha256=dataset.files[row.conditioning_image],
        path=dataset.path / row.conditioning_image,
    )
    if parameters.legends == "generated":
        return {"conditioning": conditioning}
    return {"conditioning": conditioning, "legends": _checked(legends_of_row(row), parameters)}


def _checked(legends: Item, parameters: InferenceParameters) -> Item:
    """Return the legends of a conditioning image, if there are some and they can be written."""
    if not legends.record["legends"]:
        raise ConfigurationError(
            f"inference.legends is 'composited', but '{legends.id}' has no legends on record. Choose"
            " other conditioning images, let control_images.legends name some, or set inference.legends:"
            " generated."
        )
    texts = [legend["text"] for legend in legends.record["legends"]]
    refuse_missing_characters(texts, parameters.legend_font)
    return legends


def _tasks(
    conditioning: Sequence[tuple[dict[str, Item], str | None]], parameters: InferenceParameters
) -> Iterator[Task]:
    for inputs, caption in conditioning:
        prompts = (caption or "",) if parameters.prompts == "captions" else parameters.prompts
        for index, prompt in enumerate(prompts):
            for seed in parameters.seeds:
                request = {"prompt": prompt, "negative_prompt": parameters.negative_prompt, "seed": seed}
                if parameters.prompt_embeds is not None:
                    request["embeds_row"] = index
                yield Task(
                    _task_id(inputs["conditioning"].id, prompt, seed),
                    {**inputs, "request": _item(request)},
                )


def _task_id(skin: str, prompt: str, seed: int) -> str:
    """Name a picture so that the name outlives changes to the lists of prompts and seeds."""
    return f"{skin}/{hashlib.sha256(prompt.encode()).hexdigest()[:8]}-{seed}"


def _item(request: Mapping[str, Any]) -> Item:
    return Item(id="request", record=request, sha256=json_digest(request))


def modules_of(parameters: InferenceParameters) -> tuple[str, ...]:
    """Return the modules whose source makes pictures."""
    return MODULES + (COMPOSITING_MODULES if parameters.legends == "composited" else ())


def file_digests(parameters: InferenceParameters) -> dict[str, str]:
    """Return the sha256 of each file that parameters name, by the parameter's name."""
    named = {"prompt_embeds": parameters.prompt_embeds, "legend_font": parameters.legend_font}
    return {name: _file_digest(path) for name, path in named.items() if path is not None}


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
