"""Where a model's weights are: shipped in the package, in a folder, or on a hub.

``embedded`` is the small SDXL-architecture model that this project trained on its own drawn skins, and
``embedded-canny`` the ControlNet that was trained together with it. Every other name is a folder written by
``save_pretrained`` or a hub id such as ``stabilityai/stable-diffusion-xl-base-1.0``.
"""

import os
import re
from pathlib import Path

from skin_pipeline.errors import MissingWeightsError

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
