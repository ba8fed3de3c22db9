"""Where a model's weights are (shipped in the package, in a folder, on a hub), and of which family they are.

``embedded`` is the small SDXL-architecture model that this project trained on its own drawn skins, and
``embedded-canny`` the ControlNet that was trained together with it. Every other name is a folder written by
``save_pretrained`` or a hub id such as ``stabilityai/stable-diffusion-xl-base-1.0``.

Nobody states a family: a base model's own ``model_index.json`` and a ControlNet's ``config.json`` do.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skin_pipeline.errors import ConfigurationError, MissingWeightsError

WEIGHTS_FOLDER = Path(__file__).parent / "weights"
EMBEDDED = {"embedded": WEIGHTS_FOLDER / "sdxl_micro", "embedded-canny": WEIGHTS_FOLDER / "controlnet_canny"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def resolve_weights(name: str, option: str, marker: str = "model_index.json") -> str:
    """Return the folder or hub id to give to ``from_pretrained``.

    Args:
        name: ``embedded``, ``embedded-canny``, a folder or a hub id.
        option: The full path of the parameter it came from, for the message.
        marker: The file that every such folder has: ``model_index.json`` for a pipeline, ``config.json``
            for one model.

    Returns:
        An absolute folder for shipped and local weights, the unchanged id for a hub's.

    Raises:
        MissingWeightsError: The folder lacks ``marker``; or the id is not in the local cache while the hub is
            switched off (``HF_HUB_OFFLINE``); or the name is neither a folder nor a hub id.
    """
    folder = EMBEDDED.get(name, Path(name).expanduser())
    if folder.is_dir():
        if not (folder / marker).is_file():
            raise MissingWeightsError(
                f"{option} is the folder '{name}', which has no {marker}. Expected a folder written by"
                " save_pretrained; check the path."
            )
        return str(folder.resolve())
    if name in EMBEDDED:
        raise MissingWeightsError(
            f"{option} is '{name}', but the package lacks its weights. Reinstall skin_pipeline, or make them"
            " with `kedro run --pipeline=base_model`."
        )
    if not _HUB_ID.fullmatch(name) or name.startswith((".", "/", "~")):
        raise MissingWeightsError(
            f"{option} is '{name}', which is no folder here and no hub id (owner/name). Expected 'embedded',"
            " an existing folder or a hub id."
        )
    _check_hub(name, option, marker)
    return name


def _check_hub(name: str, option: str, marker: str) -> None:
    """Raise where a hub id cannot be had: offline and not in the cache."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() not in {"1", "ON", "YES", "TRUE"}:
        return
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(name, marker), str):
        raise MissingWeightsError(
            f"{option} is the hub id '{name}', which is not in the local cache, and HF_HUB_OFFLINE is set."
            f" Download it once (`hf download {name}`), give a local folder, or unset HF_HUB_OFFLINE."
        )


def resolve_base_model(name: str, option: str = "base_model") -> str:
    """Return the folder or hub id of a whole diffusers pipeline; see :func:`resolve_weights`."""
    return resolve_weights(name, option, "model_index.json")


def resolve_controlnet(name: str, option: str = "controlnet") -> str:
    """Return the folder or hub id of one ControlNet; see :func:`resolve_weights`."""
    return resolve_weights(name, option, "config.json")


@dataclass(frozen=True)
class Family:
    """What base models and ControlNets of one kind have in common.

    Attributes:
        name: As people know it, and the module of :mod:`skin_pipeline.training` that trains it.
        pipelines: How the names of diffusers' pipelines for it begin.
        controlnet: The class of its ControlNets.
    """

    name: str
    pipelines: str
    controlnet: str


FAMILIES = (
    Family("sdxl", "StableDiffusionXL", "ControlNetModel"),
    Family("sd3", "StableDiffusion3", "SD3ControlNetModel"),
)


def family_of(location: str, option: str) -> Family:
    """Return the family of a base model, by the pipeline that its ``model_index.json`` names.

    Args:
        location: A folder, or a hub id whose index is then downloaded if it is not there yet.
        option: The full path of the parameter it came from, for the message.

    Raises:
        ConfigurationError: It is of no family that is known here.
        MissingWeightsError: The hub does not give it.
    """
    pipeline = str(_read_json(location, "model_index.json", option).get("_class_name"))
    for family in FAMILIES:
        if pipeline.startswith(family.pipelines):
            return family
    known = ", ".join(f"{family.pipelines}..." for family in FAMILIES)
    raise ConfigurationError(
        f"{option} is '{location}', whose model_index.json names the pipeline {pipeline}. Expected one of"
        f" {known}."
    )


def absent_parts(location: str, option: str) -> tuple[str, ...]:
    """Return the parts that a base model's ``model_index.json`` names and lacks, as SD3 without T5."""
    index = _read_json(location, "model_index.json", option)
    return tuple(
        sorted(name for name, value in index.items() if isinstance(value, list) and set(value) == {None})
    )


def check_controlnet_fits(controlnet: str, controlnet_option: str, base: str, base_option: str) -> None:
    """Refuse a ControlNet of another family than its base model's.

    Args:
        controlnet: A folder or a hub id.
        controlnet_option: What names it, for the message.
        base: A folder or a hub id.
        base_option: The full path of the parameter it came from.

    Raises:
        ConfigurationError: Their classes do not go together.
        MissingWeightsError: The hub does not give one of them.
    """
    family = family_of(base, base_option)
    found = _read_json(controlnet, "config.json", controlnet_option).get("_class_name")
    if found == family.controlnet:
        return
    kind = next(
        (f"a ControlNet for {f.name}" for f in FAMILIES if f.controlnet == found), "no ControlNet here"
    )
    raise ConfigurationError(
        f"{controlnet_option} '{controlnet}' is of class {found}, {kind}, but {base_option} '{base}' is an"
        f" {family.name} model, which takes class {family.controlnet}. Give a ControlNet that was trained for"
        " this base model, or the base model that it was trained for."
    )


def _read_json(location: str, file: str, option: str) -> dict[str, Any]:
    """Read a configuration file of a folder, or of a hub id, downloaded if it is not in the cache."""
    path = Path(location) / file
    if not Path(location).is_dir():
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(location, file))
        except OSError as exc:  # the hub's errors are such, and those of the network
            raise MissingWeightsError(
                f"{option} is the hub id '{location}', whose {file} the hub does not give: {exc}. Check the"
                " id and the network, or download it elsewhere and give the folder."
            ) from exc
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise MissingWeightsError(
            f"{option} is '{location}', whose {file} cannot be read: {exc}. Expected a folder written by"
            " save_pretrained."
        ) from exc
    return content
