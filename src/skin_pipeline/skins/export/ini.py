"""Writing the one syntax of all text files of a Baidu skin: ``[SECTION]`` and ``KEY=value``."""

from collections.abc import Iterable, Mapping

IniValue = str | int | tuple[int, ...]
IniSections = list[tuple[str, dict[str, IniValue]]]
"""Sections in their order: name, and values by key."""


def ini_document(sections: Iterable[tuple[str, Mapping[str, IniValue]]]) -> bytes:
    """Write sections; lists of numbers are joined by commas. UTF-8 with Unix line ends."""
    blocks = []
    for name, values in sections:
        head = [f"[{name}]"] if name else []
        blocks.append("\n".join(head + [f"{key}={_plain(value)}" for key, value in values.items()]))
    return ("\n\n".join(blocks) + "\n").encode()


def one_line(text: str) -> str:
    """Return a text as a value can hold it: one line without blanks around it."""
    return " ".join(text.split())


def _plain(value: IniValue) -> str:
    if isinstance(value, tuple):
        return ",".join(str(number) for number in value)
    return str(value)
