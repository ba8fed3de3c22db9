"""Loading YAML that anyone may have written."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML without libyaml
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

MAX_BYTES = 4 << 20
MAX_DEPTH = 32
MAX_NODES = 400_000
"""Nodes after all aliases are written out; ten aliases of ten aliases of ... are more than any skin needs."""

_TOP_LEVEL_KEY = re.compile(r"""["']?([^\s#"':][^"':]*)["']?\s*:""")


def load_yaml(content: bytes) -> object:
    """Load a document with nothing but plain values in it.

    Args:
        content: UTF-8 or UTF-16 with a byte order mark.

    Returns:
        Mappings, lists, texts, numbers; no mapping or list contains itself.

    Raises:
        ValueError: It is no YAML, is too large or too deep, or contains itself; the message says which.
    """
    if len(content) > MAX_BYTES:
        raise ValueError(f"it has {len(content)} bytes, more than {MAX_BYTES}")
    try:
        _refuse_bombs(content)
        return yaml.load(content, Loader=_Loader)
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        raise ValueError(f"{line}{exc.problem}") from exc
    except (yaml.YAMLError, UnicodeError, RecursionError, OverflowError, TypeError, AttributeError) as exc:
        raise ValueError(f"it is not YAML ({type(exc).__name__})") from exc


def lines_of_keys(content: bytes) -> Mapping[str, int]:
    """Return the line of every top-level key, from 1."""
    lines: dict[str, int] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        match = _TOP_LEVEL_KEY.match(line)
        if match:
            lines.setdefault(match[1].strip(), number)
    return lines


def _refuse_bombs(content: bytes) -> None:
    """Count the nodes of a document as if all aliases were written out, without building any of them."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []
    total = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"the alias *{event.anchor} is unknown or contains itself")
            total += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((event.anchor, total))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if total > MAX_NODES or len(open_nodes) > MAX_DEPTH:
            raise ValueError(
                f"it has more than {MAX_NODES} nodes or {MAX_DEPTH} levels once aliases are written out"
            )
