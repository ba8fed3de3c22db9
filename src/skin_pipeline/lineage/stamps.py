"""What an exported package says of itself, wherever it has been moved to.

Baidu, Hamster and Trime packages carry ``provenance.json``. A theme for fcitx5-android and a trial page carry
the same in a sentence, whose digest is shortened. Nothing is unpacked to disk.
"""

import html
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

_MAX_BYTES = 2**16
_DOCUMENT, _TEXT = "provenance.json", "provenance.txt"
_SENTENCE = re.compile(
    r"Made by (?P<generator>[^:<]{1,80}): item (?P<item>[^,<]{1,400}), "
    r"(?:run (?P<run_id>[^,<]{1,64}), )?weights (?P<weights>[0-9a-f]{16,64})\."
)


@dataclass(frozen=True)
class Stamp:
    """Where a package says that it came from.

    Attributes:
        item: Id of the generated picture.
        weights: sha256 of the weights, or its first 16 digits.
        run_id: MLflow's run that trained the weights; empty if the package does not know it.
        generator: Program and version.
    """

    item: str
    weights: str
    run_id: str
    generator: str


def read_stamp(path: Path) -> Stamp | None:
    """Return what a file says of where it came from; None if it says nothing that is understood."""
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        if path.suffix.lower() == ".html":
            return _parse_sentence(html.unescape(path.read_text(encoding="utf-8", errors="replace")))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
    return None


def _read_zip(path: Path) -> Stamp | None:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.rpartition("/")[2]
            if name not in {_DOCUMENT, _TEXT} or info.file_size > _MAX_BYTES:
                continue
            text = archive.read(info).decode("utf-8", errors="replace")
            return _parse_document(text) if name == _DOCUMENT else _parse_sentence(text)
    return None


def _parse_document(text: str) -> Stamp:
    values = json.loads(text)
    return Stamp(
        item=str(values["item"]),
        weights=str(values["weights_sha256"]),
        run_id=str(values.get("run_id", "")),
        generator=str(values.get("generator", "")),
    )


def _parse_sentence(text: str) -> Stamp | None:
    found = _SENTENCE.search(text)
    if found is None:
        return None
    return Stamp(found["item"], found["weights"], found["run_id"] or "", found["generator"])
