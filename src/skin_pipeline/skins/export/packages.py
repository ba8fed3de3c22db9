"""What every exported package has in common: where it came from, what it could not say, and its bytes.

The same skin gives the same bytes: entries are sorted, carry one fixed date, and pictures are encoded by one
encoder with fixed settings. A package is written beside its target and renamed, so that no half of one is
ever found under its name.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from skin_pipeline.errors import InputError, StorageError
from skin_pipeline.skins.model import Action, Gesture

PackageFormat = Literal["baidu", "hamster", "trime", "fcitx5"]

PROVENANCE_FILE = "provenance.json"
"""Name of the small extra file that names the source run."""

_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""The earliest date that a zip can state."""
_PLAIN_FILE = 0o100644 << 16
_UNIX = 3
_PNG_LEVEL = 6
"""Level 9 takes three times as long on a panel and saves a hundredth."""
_PLACES_SHOWN = 3
_SPOKEN = {
    Gesture.TAP: "a tap",
    Gesture.UP: "a swipe up",
    Gesture.DOWN: "a swipe down",
    Gesture.LEFT: "a swipe to the left",
    Gesture.RIGHT: "a swipe to the right",
    Gesture.HOLD: "holding a key",
}
_UNSAFE = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')


@dataclass(frozen=True)
class Provenance:
    """Where a generated skin came from. Every export carries it.

    Attributes:
        run_id: MLflow run that trained the weights; empty if it is not known.
        weights_sha256: Digest of the weights that made the picture, 64 hex digits.
        item: Id of the generated picture.
        generator: Program and version, ``skin_pipeline 0.1``.
    """

    run_id: str
    weights_sha256: str
    item: str
    generator: str

    def sentence(self) -> str:
        """Return it in one line, for a format's free text."""
        run = f"run {self.run_id}, " if self.run_id else ""
        return f"Made by {self.generator}: item {self.item}, {run}weights {self.weights_sha256[:16]}."

    def document(self) -> bytes:
        """Return it as the JSON of :data:`PROVENANCE_FILE`."""
        return (json.dumps(asdict(self), ensure_ascii=False, indent=2, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, document: bytes) -> Provenance:
        """Read it back from a package.

        Raises:
            InputError: The document is something else.
        """
        try:
            values = json.loads(document)
            return cls(**{name: str(values[name]) for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError) as exc:
            raise InputError(
                f"{PROVENANCE_FILE} is not a record of where a skin came from: {exc!r}."
            ) from exc


@dataclass(frozen=True)
class Loss:
    """Something of a skin that a format cannot say.

    Attributes:
        place: Keyboard and key, or the part of the skin.
        what: What is lost.
        instead: What was written in its place.
        detail: Which one, where many of a kind can be lost.
    """

    place: str
    what: str
    instead: str
    detail: str = ""

    def __str__(self) -> str:
        """Return it as 'place: what, detail (instead)'."""
        what = f"{self.what}, {self.detail}" if self.detail else self.what
        return f"{self.place}: {what} ({self.instead})"


class Losses:
    """Collects what is lost while a package is written, each loss once."""

    def __init__(self) -> None:
        """Start with none."""
        self._losses: dict[Loss, None] = {}

    def add(self, place: str, what: str, instead: str, detail: str = "") -> None:
        """Note a loss."""
        self._losses[Loss(place, what, instead, detail)] = None

    def add_gesture(self, place: str, gesture: Gesture, action: Action) -> None:
        """Note that a format has no word for what a gesture does."""
        detail = f"{action.function} {action.text!r}" if action.text else str(action.function)
        self.add(place, f"what {_SPOKEN[gesture]} does", "nothing happens", detail)

    def all(self) -> tuple[Loss, ...]:
        """Return them in the order in which they were met."""
        return tuple(self._losses)


def in_short(losses: Iterable[Loss]) -> tuple[str, ...]:
    """Return a line for each kind of loss: what, what is there instead, how often, on which keyboards."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for loss in losses:
        kinds.setdefault((loss.what, loss.instead), []).append(loss.place.split(",")[0])
    lines = []
    for (what, instead), places in kinds.items():
        names = tuple(dict.fromkeys(places))
        shown = ", ".join(names[:_PLACES_SHOWN])
        if len(names) > _PLACES_SHOWN:
            shown += f" and {len(names) - _PLACES_SHOWN} more"
        times = "once" if len(places) == 1 else f"{len(places)} times"
        lines.append(f"{what}: {instead} ({times}: {shown})")
    return tuple(lines)


@dataclass(frozen=True)
class Export:
    """A package that was written.

    Attributes:
        path: The file, or the folder.
        format: Its format.
        files: Paths of the files in it, sorted.
        losses: What the format could not say; empty if the package holds all of the skin.
    """

    path: Path
    format: PackageFormat
    files: tuple[str, ...]
    losses: tuple[Loss, ...]


def safe_name(name: str, default: str = "skin") -> str:
    """Return a skin's name as one that every file system can hold."""
    cleaned = _UNSAFE.sub("_", name).strip(" ._")
    return cleaned[:80].rstrip(" ._") or default


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode a picture as PNG, without metadata.

    Args:
        pixels: (H, W, 4) RGBA or (H, W, 3) RGB; an alpha channel that is opaque everywhere is left out.
    """
    if pixels.shape[2] == 4 and bool((pixels[..., 3] == 255).all()):
        pixels = pixels[..., :3]
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files as a zip; the same files give the same bytes.

    Args:
        path: The zip; its folder is made if need be.
        files: Content by path, with ``/`` between its parts.

    Raises:
        StorageError: The file cannot be written.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _FIXED_DATE)
            entry.create_system, entry.external_attr = _UNIX, _PLAIN_FILE
            # Pictures are packed already.
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name])
    _write(path, buffer.getvalue())


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write files under a folder, each beside its place first; other files there stay.

    Raises:
        StorageError: A file cannot be written.
    """
    for name in sorted(files):
        _write(path / name, files[name])


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as exc:
        with suppress(OSError):
            beside.unlink()
        raise StorageError(f"Cannot write the package '{path}': {exc.strerror}.") from exc
