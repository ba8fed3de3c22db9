"""Which pictures to generate: one task for each conditioning image, prompt and seed.

Everything that decides what a picture looks like is part of its task (conditioning image, prompt, negative
prompt, seed) or of the plan (digests of both models' weights and of given embeddings, settings), so that a
run resumes and makes anew only what changed. Loads no deep-learning library.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, MissingWeightsError
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.generation.weights import locate_base_model
from skin_pipeline.generation.worker import make_generator
from skin_pipeline.items import Folder, Item, Plan, Task, json_digest
from skin_pipeline.prep.publish import Row

MODULES = ("skin_pipeline.generation.pipeline", "skin_pipeline.generation.worker")


def plan_generation(weights: Folder, dataset: Folder, parameters: InferenceParameters) -> Plan:
    """Plan a picture for every chosen conditioning image, prompt and seed.

    Args:
        weights: A ControlNet as ``save_pretrained`` writes it.
        dataset: The published training set.
        parameters: What to generate, and how.

    Returns:
        The plan; its items are called ``<skin>/<prompt digest>-<seed>``.

    Raises:
        MissingWeightsError: The ControlNet or the base model is not there.
        ConfigurationError: A skin that ``inference.conditioning`` names is not in the split.
        IncompleteDatasetError: The training set lacks a file.
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
    rows = choose_rows(read_rows(dataset, parameters.split), parameters)
    return Plan.from_tasks(
        "inference",
        tasks=_tasks(rows, dataset, parameters),
        make_worker=partial(make_generator, parameters, weights.path, base, provenance),
        parameters=parameters.settings(),
        shared={"controlnet": weights.digest, "base_model": base.digest, **_embeds_digest(parameters)},
        modules=MODULES,
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


def _tasks(rows: Sequence[Row], dataset: Folder, parameters: InferenceParameters) -> Iterator[Task]:
    for row in rows:
        conditioning = Item(
            id=row.skin,
            record={} if row.outlines_of is None else {"outlines_of": row.outlines_of},
            sha256=dataset.files[row.conditioning_image],
            path=dataset.path / row.conditioning_image,
        )
        prompts = (row.text,) if parameters.prompts == "captions" else parameters.prompts
        for index, prompt in enumerate(prompts):
            for seed in parameters.seeds:
                request = {"prompt": prompt, "negative_prompt": parameters.negative_prompt, "seed": seed}
                if parameters.prompt_embeds is not None:
                    request["embeds_row"] = index
                yield Task(
                    _task_id(row.skin, prompt, seed),
                    {"conditioning": conditioning, "request": _item(request)},
                )


def _task_id(skin: str, prompt: str, seed: int) -> str:
    """Name a picture so that the name outlives changes to the lists of prompts and seeds."""
    return f"{skin}/{hashlib.sha256(prompt.encode()).hexdigest()[:8]}-{seed}"


def _item(request: Mapping[str, Any]) -> Item:
    return Item(id="request", record=request, sha256=json_digest(request))


def _embeds_digest(parameters: InferenceParameters) -> dict[str, str]:
    if parameters.prompt_embeds is None:
        return {}
    with parameters.prompt_embeds.open("rb") as file:
        return {"prompt_embeds": hashlib.file_digest(file, "sha256").hexdigest()}
