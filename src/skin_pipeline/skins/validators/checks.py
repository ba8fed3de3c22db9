"""What all validators share, and the one function that users call."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from skin_pipeline.errors import InputError

MAX_ARCHIVE_BYTES = 32 << 20
MAX_UNPACKED_BYTES = 64 << 20
MAX_ENTRY_BYTES = 16 << 20
MAX_ENTRIES = 4096
"""The strictest known limits of an app that imports ``.bds``; what keeps them installs anywhere."""


@dataclass(frozen=True, order=True)
class Violation:
    """A rule that a package breaks.

    Attributes:
        file: Path in the package; empty for the package as a whole.
        section: Section, style or entry in the file; empty for the file as a whole.
        line: Line in the file, from 1; 0 if it has none.
        rule: Short name of the rule.
        problem: What is wrong.
    """

    file: str
    section: str
    line: int
    rule: str
    problem: str

    def __str__(self) -> str:
        """Return it as 'file:line [section] rule: problem'."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}{f' [{self.section}]' if self.section else ''} {self.rule}: {self.problem}"


class Violations:
    """Collects violations, each once."""

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[Violation, None] = {}

    def add(self, file: str, rule: str, problem: str, section: str = "", line: int = 0) -> None:
        """Note a violation."""
        self._found[Violation(file, section, line, rule, problem)] = None

    def all(self) -> list[Violation]:
        """Return them, sorted by file, section and line."""
        return sorted(self._found)


def validate_package(path: Path) -> list[Violation]:
    """Check a package against the rules of its format.

    Args:
        path: A ``.bds``, ``.cskin``, Trime (zip or folder) or fcitx5-android (zip) package.

    Returns:
        Every violation; none for a package that the app takes.

    Raises:
        InputError: It cannot be read, or is of no known format.
    """
    from skin_pipeline.skins.validators.baidu import check_baidu
    from skin_pipeline.skins.validators.fcitx5 import check_fcitx5
    from skin_pipeline.skins.validators.hamster import check_hamster
    from skin_pipeline.skins.validators.trime import check_trime

    violations = Violations()
    files = _read(path, violations)
    names = {name.rpartition("/")[2] for name in files}
    if "config.yaml" in names:
        check_hamster(files, violations)
    elif any(name.endswith(".trime.yaml") for name in names):
        check_trime(files, violations)
    elif "gen.ini" in names:
        check_baidu(files, violations)
    elif any("/" not in name and name.endswith(".json") for name in files):
        check_fcitx5(files, violations)
    else:
        raise InputError(
            f"Package '{path.name}' is of no known format: it has neither gen.ini (.bds), nor config.yaml "
            "(.cskin), nor a .trime.yaml, nor a theme's .json (fcitx5-android)."
        )
    return violations.all()


def _read(path: Path, violations: Violations) -> dict[str, bytes]:
    """Read all files of a zip or a folder, and check the container."""
    if path.is_dir():
        return {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
    try:
        if path.stat().st_size > MAX_ARCHIVE_BYTES:
            violations.add(
                "", "archive-size", f"{path.stat().st_size} bytes, at most {MAX_ARCHIVE_BYTES} are taken"
            )
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive.infolist(), violations)
            return {info.filename: archive.read(info) for info in archive.infolist() if not info.is_dir()}
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as exc:
        raise InputError(f"Package '{path.name}' cannot be read as a zip: {exc}.") from exc


def _check_entries(entries: list[zipfile.ZipInfo], violations: Violations) -> None:
    """Check names and sizes of the entries of a zip."""
    if len(entries) > MAX_ENTRIES:
        violations.add("", "entries", f"{len(entries)} entries, at most {MAX_ENTRIES} are taken")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        violations.add("", "unpacked-size", f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or name[1:2] == ":":
            violations.add(name, "path", "it leads out of the package")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            violations.add(name, "path", "it is a link or a device")
        if not name.isascii() and not entry.flag_bits & 0x800:
            violations.add(
                name, "name-encoding", "a name beyond ASCII without the UTF-8 flag is garbled on a phone"
            )
        if name.casefold() in seen:
            violations.add(name, "duplicate", "the package has this file twice")
        seen.add(name.casefold())
        if entry.file_size > MAX_ENTRY_BYTES:
            violations.add(
                name, "entry-size", f"{entry.file_size} bytes, at most {MAX_ENTRY_BYTES} are taken"
            )


def picture_size(files: Mapping[str, bytes], name: str, violations: Violations) -> tuple[int, int] | None:
    """Return width and height of a picture of a package; None (and a violation) if it is not a sound one."""
    try:
        with Image.open(io.BytesIO(files[name])) as image:
            image.load()
            return image.size
    except Exception as exc:
        # A damaged file can fail anywhere in a decoder, with any kind of error.
        violations.add(name, "picture", f"it cannot be decoded: {exc}")
        return None


def check_preview(files: Mapping[str, bytes], name: str, violations: Violations) -> None:
    """A package advertises itself by a picture."""
    if name not in files:
        violations.add(name, "preview", "it is missing")
    else:
        picture_size(files, name, violations)
