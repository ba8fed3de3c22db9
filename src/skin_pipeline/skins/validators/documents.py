"""YAML with the lines of its top-level keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from skin_pipeline.skins.validators.checks import Violations

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class YamlDocument:
    """A YAML file that is a mapping.

    Attributes:
        file: Path in the package.
        root: What is in it.
        lines: Line of each top-level key, from 1.
    """

    file: str
    root: dict[str, Any]
    lines: Mapping[str, int]


def load_document(file: str, content: bytes, violations: Violations) -> YamlDocument:
    """Load a YAML file; an empty one (and a violation) if it is no mapping."""
    try:
        node = yaml.compose(content, Loader=_LOADER)
        root = yaml.load(content, Loader=_LOADER)  # noqa: S506  (both are safe loaders)
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        violations.add(file, "yaml", f"it cannot be loaded: {' '.join(str(exc).split())}")
        return YamlDocument(file, {}, {})
    if not isinstance(root, dict) or not isinstance(node, yaml.MappingNode):
        violations.add(file, "yaml", "it is not a mapping")
        return YamlDocument(file, {}, {})
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return YamlDocument(file, {str(key): value for key, value in root.items()}, lines)


def mapping(value: object) -> dict[str, Any]:
    """Return a mapping; an empty one if it is none."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """Return a list; an empty one if it is none."""
    return value if isinstance(value, list) else []
