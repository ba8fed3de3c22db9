"""Snapshots of a running training, written beside and renamed, from which the same command resumes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor


class Stateful(Protocol):
    """A module or an optimizer."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that :meth:`load_state_dict` needs."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Take back what :meth:`state_dict` returned."""


def save_snapshot(path: Path, step: int, parts: Mapping[str, Stateful], average: list[Tensor]) -> None:
    """Write ``step``, the state of all parts and the moving average of the weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    state = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"step": step, "parts": state, "average": average}, beside)
    beside.replace(path)


def load_snapshot(path: Path, parts: Mapping[str, Stateful], average: list[Tensor]) -> int:
    """Load what :func:`save_snapshot` wrote into ``parts`` and ``average``; return its step or 0."""
    if not path.is_file():
        return 0
    snapshot = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(snapshot["parts"][name])
    with torch.no_grad():
        for value, saved in zip(average, snapshot["average"], strict=True):
            value.copy_(saved)
    return int(snapshot["step"])
