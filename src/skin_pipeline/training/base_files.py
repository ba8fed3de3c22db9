"""A base model's files: brought to this machine, and their digests."""

import hashlib
from pathlib import Path

from diffusers import DiffusionPipeline

from skin_pipeline.base_models import resolve_base_model
from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.items import json_digest
from skin_pipeline.training.config import TrainParameters

_DIGESTED = {".json", ".safetensors", ".txt", ".bin", ".model"}


def local_folder(parameters: TrainParameters) -> Path:
    """Return the folder of the base model, downloaded if it is a hub's.

    Raises:
        MissingWeightsError: There is nothing under its name, or the hub does not give it.
    """
    location = resolve_base_model(parameters.model_base, "train.model_base")
    if Path(location).is_dir():
        return Path(location)
    try:
        return Path(DiffusionPipeline.download(location, **variant_of(parameters)))
    except OSError as exc:
        raise MissingWeightsError(
            f"train.model_base '{parameters.model_base}' could not be downloaded: {exc}. Check the id and the"
            " network, or download it elsewhere and give the folder."
        ) from exc


def variant_of(parameters: TrainParameters) -> dict[str, str]:
    """Return what ``from_pretrained`` is told of the files to take."""
    return {"variant": parameters.model_variant} if parameters.model_variant else {}


def digest(folder: Path, *parts: str) -> str:
    """Return the sha256 of the names and contents of a model's files, or of some of its parts."""
    roots = [folder / part for part in parts] if parts else [folder]
    files: dict[str, str] = {}
    for root in roots:
        for path in [root] if root.is_file() else sorted(root.rglob("*")):
            if path.is_file() and path.suffix in _DIGESTED:
                with path.open("rb") as file:
                    name = path.relative_to(folder).as_posix()
                    files[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return json_digest(files)
