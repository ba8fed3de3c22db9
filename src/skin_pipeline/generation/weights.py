"""Which weights exactly a name stands for, so that pictures can be traced to them.

Loads no deep-learning library.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from skin_pipeline.base_models import resolve_base_model
from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.items import json_digest

_SUFFIXES = {".json", ".safetensors", ".txt", ".model"}


@dataclass(frozen=True)
class WeightsSource:
    """Where to load weights from, pinned."""

    location: str
    """A folder or a hub id, as ``from_pretrained`` takes it."""
    revision: str | None
    """The hub's commit; none for a folder."""
    digest: str
    """sha256 of a folder's configurations and weights, or of the hub id and its commit."""


def locate_base_model(name: str, option: str = "inference.base_model") -> WeightsSource:
    """Find a base model and take its digest.

    Args:
        name: ``embedded``, a folder or a hub id.
        option: The full path of the parameter it came from, for messages.

    Raises:
        MissingWeightsError: There is nothing under that name.
    """
    location = resolve_base_model(name, option)
    if Path(location).is_dir():
        return WeightsSource(location, None, folder_digest(Path(location)))
    commit = _hub_commit(location, option)
    return WeightsSource(location, commit, json_digest({"hub_id": location, "commit": commit}))


def folder_digest(folder: Path) -> str:
    """Return the sha256 of the names and contents of a folder's configurations, tokenizers and weights.

    Read once per run: about two seconds a gigabyte.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES and path.is_file())
    return json_digest({path.relative_to(folder).as_posix(): _file_digest(path) for path in files})


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hub_commit(hub_id: str, option: str) -> str:
    """Return the commit in the local cache, or else the hub's newest one."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    marker = "model_index.json"
    cached = try_to_load_from_cache(hub_id, marker)
    try:
        path = cached if isinstance(cached, str) else hf_hub_download(hub_id, marker)
    except (HfHubHTTPError, EntryNotFoundError, OSError) as exc:
        raise MissingWeightsError(
            f"{option} is the hub id '{hub_id}', which is not in the local cache, and the hub does not give"
            f" it: {exc}. Check the id and the network, or download it elsewhere and give the folder."
        ) from exc
    return Path(path).parent.name  # …/snapshots/<commit>/model_index.json
