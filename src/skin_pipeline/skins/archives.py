"""The files of a package, read from a zip or a folder into memory and never written anywhere.

What an archive says about itself is not trusted: sizes are counted while unpacking, names are cleaned, and
everything that is not a plain file inside the package is left out. See :data:`DEFAULT_LIMITS` for the caps.

Rules:
    * ``..``, absolute paths, drive letters, links and devices are left out. Backslashes count as slashes.
    * Of entries with the same name the last one counts, as with every unzip program. Names are found without
      regard to case, since most packages were made on Windows; the exact name wins if there is one.
    * Names without the UTF-8 flag are taken as UTF-8 if they are that, else as GBK, else as code page 437.
    * The flag that says an entry is encrypted is ignored: converters set it on plain entries to keep people
      out. An entry that truly is encrypted does not unpack, and is left out.
    * An entry that unpacks to more than 1000 times its packed size (and more than 1 MiB) is left out.
    * A zip whose directory is broken is read entry by entry from its beginning.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skin_pipeline.errors import InputError
from skin_pipeline.skins.findings import Findings

_SUFFIXES = frozenset(
    (
        *(".ini", ".cnd", ".pop", ".css", ".til", ".txt", ".yaml", ".yml"),
        *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ttf", ".otf"),
    )
)
"""Files that say how a skin looks. Others (sounds, scripts) are counted and not unpacked."""

_ENCRYPTED_FLAGS = 0x1 | 0x20 | 0x40
_UTF8_FLAG = 0x800
_CHUNK_BYTES = 1 << 16
_RATIO_FREE_BYTES = 1 << 20
_STORED, _DEFLATED = 0, 8
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(OSError, RuntimeError, NotImplementedError, ValueError),
)
"""What ``zipfile`` raises on files that are broken, encrypted or packed in a way it does not know."""


@dataclass(frozen=True)
class ArchiveLimits:
    """Caps on what is read from a package.

    Attributes:
        archive_bytes: Size of the zip itself; a larger one is refused.
        entries: Number of files; a package with more is refused.
        entry_bytes: Size of one unpacked file; larger ones are left out.
        total_bytes: Size of all unpacked files; what exceeds it is left out.
        ratio: Unpacked size over packed size of one entry; more is left out.
    """

    archive_bytes: int = 64 << 20
    entries: int = 4096
    entry_bytes: int = 16 << 20
    total_bytes: int = 64 << 20
    ratio: int = 1000


DEFAULT_LIMITS = ArchiveLimits()


class PackageFiles(Mapping[str, bytes]):
    """The files of a package by path (``/`` between its parts), found without regard to case."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Keep the files."""
        self._files = dict(files)
        self._exact = {name.casefold(): name for name in self._files}

    def __getitem__(self, path: str) -> bytes:
        """Return a file's content."""
        return self._files[path] if path in self._files else self._files[self._exact[path.casefold()]]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the paths as they are written."""
        return iter(self._files)

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._files)

    def find(self, path: str) -> str | None:
        """Return a path as it is written, or None if there is no such file."""
        return path if path in self._files else self._exact.get(path.casefold())


def read_package(path: Path, findings: Findings, limits: ArchiveLimits = DEFAULT_LIMITS) -> PackageFiles:
    """Read the files of a package into memory.

    Args:
        path: A zip (whatever its suffix) or a folder.
        findings: Where entries that were left out are noted.
        limits: Caps.

    Returns:
        Those of its files that can say how a skin looks.

    Raises:
        InputError: There is no such file or folder, it is neither zip nor folder, it is too large, or nothing
            in it can be read.
    """
    reader = _Reader(path.name, findings, limits)
    if path.is_dir():
        reader.read_folder(path)
    else:
        reader.read_zip(_content(path, limits))
    if not reader.files:
        problems = "; ".join(str(finding) for finding in findings.all()[:3])
        raise InputError(f"Package '{path.name}' has no file that says how a skin looks. {problems}".strip())
    return PackageFiles(reader.files)


def _content(path: Path, limits: ArchiveLimits) -> bytes:
    """Read an archive, unless it is too large or not a plain file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"Package '{path.name}' is neither a file nor a folder.")
        if status.st_size > limits.archive_bytes:
            raise InputError(
                f"Package '{path.name}' has {status.st_size} bytes, more than {limits.archive_bytes}; "
                "is it a skin?"
            )
        return path.read_bytes()
    except OSError as exc:
        raise InputError(f"Cannot read the package '{path.name}': {exc.strerror}.") from exc


class _Reader:
    """Fills a mapping of files within limits."""

    def __init__(self, package: str, findings: Findings, limits: ArchiveLimits) -> None:
        self.files: dict[str, bytes] = {}
        self._package = package
        self._findings = findings
        self._limits = limits
        self._bytes_left = limits.total_bytes
        self._num_entries = 0

    # --- zip ---

    def read_zip(self, content: bytes) -> None:
        """Read a zip by its directory, or by its entries if the directory is broken."""
        try:
            archive = zipfile.ZipFile(io.BytesIO(content))
        except _UNREADABLE as exc:
            if _LOCAL_SIGNATURE not in content:
                raise InputError(f"Package '{self._package}' is neither a zip nor a folder.") from exc
            self._leave_out(
                self._package, f"the zip's directory is broken ({exc})", "its entries were read one by one"
            )
            self._salvage(content)
            return
        with archive:
            for info in archive.infolist():
                self._read_entry(archive, info)

    def _read_entry(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        """Read one entry of a sound zip."""
        self._count()
        raw = info.orig_filename
        name = raw if info.flag_bits & _UTF8_FLAG else _decode_name(raw.encode("cp437", "replace"))
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            self._leave_out(name, "it is a link or a device, not a file")
            return
        path = self._wanted_path(name)
        if path is None or kind == stat.S_IFDIR:
            return
        info.flag_bits &= ~_ENCRYPTED_FLAGS
        try:
            with archive.open(info) as stream:
                chunks = iter(lambda: stream.read(_CHUNK_BYTES), b"")
                self._take(path, chunks, info.compress_size)
        except _UNREADABLE as exc:
            self._leave_out(path, f"it cannot be unpacked ({exc})")

    def _salvage(self, content: bytes) -> None:
        """Read a zip by the headers before its entries."""
        start = content.find(_LOCAL_SIGNATURE)
        while start >= 0 and start + _LOCAL_HEADER.size <= len(content):
            start = content.find(_LOCAL_SIGNATURE, self._salvage_entry(content, start))

    def _salvage_entry(self, content: bytes, start: int) -> int:
        """Read the entry at a position and return where to look for the next."""
        self._count()
        fields: tuple[int, ...] = _LOCAL_HEADER.unpack_from(content, start)
        flags, method, packed_bytes, name_bytes, extra_bytes = (
            fields[2],
            fields[3],
            fields[7],
            fields[9],
            fields[10],
        )
        name_at = start + _LOCAL_HEADER.size
        data_at = name_at + name_bytes + extra_bytes
        raw = content[name_at : name_at + name_bytes]
        path = self._wanted_path(_decode_name(raw))
        if path is None or method not in (_STORED, _DEFLATED):
            return max(data_at, name_at)
        data = memoryview(content)[data_at : data_at + packed_bytes if not flags & 0x8 else len(content)]
        try:
            self._take(path, _inflate(data) if method == _DEFLATED else iter([bytes(data)]), len(data))
        except zlib.error as exc:
            self._leave_out(path, f"it cannot be unpacked ({exc})")
        return data_at

    # --- folder ---

    def read_folder(self, root: Path) -> None:
        """Read the plain files under a folder, without following links."""
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                file = Path(folder) / name
                self._count()
                path = file.relative_to(root).as_posix()
                if not stat.S_ISREG(file.lstat().st_mode):
                    self._leave_out(path, "it is a link or a device, not a file")
                elif PurePosixPath(path).suffix.lower() in _SUFFIXES:
                    self._read_file(file, path)

    def _read_file(self, file: Path, path: str) -> None:
        """Read one file of a folder."""
        try:
            with file.open("rb") as stream:
                self._take(path, iter(lambda: stream.read(_CHUNK_BYTES), b""), file.lstat().st_size)
        except OSError as exc:
            self._leave_out(path, f"it cannot be read ({exc.strerror})")

    # --- both ---

    def _count(self) -> None:
        """Count an entry, wanted or not."""
        self._num_entries += 1
        if self._num_entries > self._limits.entries:
            raise InputError(
                f"Package '{self._package}' has more than {self._limits.entries} files; is it a skin?"
            )

    def _wanted_path(self, name: str) -> str | None:
        """Clean an entry's name; None for folders, for what is not wanted and for what leads out."""
        slashed = name.replace("\\", "/")
        parts = [part for part in slashed.split("/") if part not in ("", ".")]
        if slashed.startswith("/") or slashed[1:2] == ":" or ".." in parts or "\0" in slashed:
            self._leave_out(name, "its path leads out of the package")
            return None
        if not parts or slashed.endswith("/") or PurePosixPath(parts[-1]).suffix.lower() not in _SUFFIXES:
            return None
        return "/".join(parts)

    def _take(self, path: str, chunks: Iterator[bytes], packed_bytes: int) -> None:
        """Unpack a file, unless it grows beyond the limits."""
        content = bytearray()
        limits = self._limits
        for chunk in chunks:
            content += chunk
            size = len(content)
            if size > min(limits.entry_bytes, self._bytes_left):
                self._leave_out(
                    path, f"it is larger than the {min(limits.entry_bytes, self._bytes_left)} bytes left"
                )
                return
            if size > _RATIO_FREE_BYTES and size > limits.ratio * max(1, packed_bytes):
                self._leave_out(path, f"it unpacks to more than {limits.ratio} times its size")
                return
        if path in self.files:
            self._leave_out(path, "the package has it more than once", "the last one counts")
            self._bytes_left += len(self.files[path])
        self._bytes_left -= len(content)
        self.files[path] = bytes(content)

    def _leave_out(self, name: str, problem: str, remedy: str = "left out") -> None:
        self._findings.add(_printable(name), None, problem, remedy)


def _inflate(data: memoryview) -> Iterator[bytes]:
    """Unpack deflated data of unknown length, up to the end of its stream."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for start in range(0, len(data), _CHUNK_BYTES):
        waiting = bytes(data[start : start + _CHUNK_BYTES])
        while waiting and not inflater.eof:
            yield inflater.decompress(waiting, _CHUNK_BYTES)
            waiting = inflater.unconsumed_tail
        if inflater.eof:
            return
    raise zlib.error("the data end too early")


def _decode_name(raw: bytes) -> str:
    """Read a name whose encoding is not stated."""
    for encoding in ("utf-8", "gbk"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("cp437")


def _printable(name: str) -> str:
    """Make a name safe to show: no control characters, not endless."""
    return "".join(character if character.isprintable() else "?" for character in name[:200])
