"""The one syntax of all text files of a Baidu skin: sections, and keys with values, with their lines.

What real files hold: any of UTF-8, UTF-16 and GBK, mostly mixed within one package; notes of the author after
a section's bracket and on lines of their own (``#``, or bare numbers: values once tried); spaces in section
names (``[STYLE 332]``); keys that occur twice (the last one counts).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from skin_pipeline.skins.findings import Findings

_SECTION = re.compile(r"\[([^\]]*)\]?")
_NUMBERED = re.compile(r"([A-Z_]+?)(\d{1,9})$")
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_MAX_INTEGER = 1_000_000
"""Larger coordinates are typing errors, and sums of them would overflow a canvas."""


@dataclass
class Section:
    """A section of a file.

    Attributes:
        file: Path of the file.
        name: Its name in capitals, without spaces.
        line: Line of its bracket, from 1; 0 for what stands before the first.
        values: Value by key (in capitals).
        places: File and line of each value.
    """

    file: str
    name: str
    line: int
    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def number(self) -> int | None:
        """The number at the end of its name; None if there is none."""
        match = _NUMBERED.match(self.name)
        return int(match[2]) if match else None

    @property
    def base(self) -> str:
        """Its name without the number."""
        match = _NUMBERED.match(self.name)
        return match[1] if match else self.name

    def get(self, key: str) -> str:
        """Return a value, empty if it is not there."""
        return self.values.get(key, "")

    def place_of(self, key: str) -> tuple[str, int | None]:
        """Return file and line of a value, or of the section if there is no such value."""
        return self.places.get(key, (self.file, self.line or None))

    def over(self, lower: Section | None) -> Section:
        """Return this section with the values of another where it has none."""
        if lower is None:
            return self
        own = {key: value for key, value in self.values.items() if value}
        places = lower.places | {key: self.places[key] for key in own}
        return Section(self.file, self.name, self.line, lower.values | own, places)


class IniFile:
    """The sections of a file, by name and in their order."""

    def __init__(self, file: str, sections: list[Section]) -> None:
        """Index the sections; of several of one name, the last one counts."""
        self.file = file
        self.sections = sections
        self._by_name = {section.name: section for section in sections}

    def get(self, name: str) -> Section | None:
        """Return a section by name (in capitals)."""
        return self._by_name.get(name)

    def numbered(self, base: str) -> Iterator[tuple[int, Section]]:
        """Iterate over sections ``base1``, ``base2`` ... in the order of the file, each number once."""
        for section in self._by_name.values():
            number = section.number
            if number is not None and section.base == base:
                yield number, section


def decode_text(content: bytes) -> tuple[str, bool]:
    """Decode a text file of unstated encoding.

    Returns:
        The text, and whether all of it could be decoded.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            body = content[len(mark) :]
            try:
                return body.decode(encoding), True
            except UnicodeDecodeError:
                return body.decode(encoding, "replace"), False
    if len(content) > 3 and content[1:4:2] == b"\0\0":
        return content.decode("utf-16-le", "replace"), True
    for encoding in ("utf-8", "gb18030"):
        try:
            return content.decode(encoding), True
        except UnicodeDecodeError:
            continue
    return content.decode("utf-8", "replace"), False


def parse_ini(file: str, content: bytes, findings: Findings) -> IniFile:
    """Parse a file; never fails.

    Args:
        file: Path in the package.
        content: The file.
        findings: Where lines that say nothing are noted.
    """
    text, whole = decode_text(content)
    if not whole:
        findings.add(
            file, None, "it is neither UTF-8, UTF-16 nor GBK", "undecodable characters were replaced"
        )
    current = Section(file, "", 0)
    sections = [current]
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip().lstrip("\ufeff\0")
        if not line or line[0] in "#;/":
            continue
        if line[0] == "[":
            match = _SECTION.match(line)
            name = match[1] if match else ""
            current = Section(file, name.replace(" ", "").upper(), number)
            sections.append(current)
            continue
        key, separator, value = line.partition("=")
        if not separator:
            findings.add(file, number, f"'{line[:40]}' is neither a section nor key=value", "ignored")
            continue
        current.values[key.strip().upper()] = value.strip()
        current.places[key.strip().upper()] = (file, number)
    return IniFile(file, sections)


def without_note(value: str) -> str:
    """Cut off an author's note after a number (``398,59,78,51 #new``)."""
    return value.partition("#")[0].replace("，", ",").strip()


def integers(section: Section, key: str, count: int, findings: Findings) -> tuple[int, ...] | None:
    """Read a value of comma-separated whole numbers; an empty place among them (``POS=,17``) is 0.

    Returns:
        The numbers; None if the key is missing or empty, or (with a finding) if it is anything else.
    """
    value = without_note(section.get(key))
    if not value:
        return None
    try:
        numbers = tuple(
            int(float(part)) if part.strip() else 0 for part in value.removesuffix(",").split(",")
        )
    except (ValueError, OverflowError):
        numbers = ()
    if len(numbers) != count or any(abs(number) > _MAX_INTEGER for number in numbers):
        findings.add(
            *section.place_of(key),
            f"{key}={value[:40]}: {count} whole numbers expected",
            "ignored",
        )
        return None
    return numbers


def integer(section: Section, key: str, default: int, findings: Findings) -> int:
    """Read a whole number."""
    numbers = integers(section, key, 1, findings)
    return default if numbers is None else numbers[0]
