"""The rules of Trime's themes, from its ``Theme``, ``ColorManager``, ``Keyboard`` and nine-patch reader."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from skin_pipeline.skins.validators.checks import Violations, picture_size
from skin_pipeline.skins.validators.documents import YamlDocument, load_document, mapping, sequence

_PICTURES = (".png", ".webp", ".jpg", ".gif")
_COLOUR = re.compile(r"(?:#|0x)(?:[0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_WANTED = [
    "back_color",
    "text_color",
    "key_back_color",
    "hilited_key_back_color",
    "key_text_color",
    "candidate_text_color",
    "keyboard_background",
]
_KEY_COLOURS = [
    "key_back_color",
    "hilited_key_back_color",
    "key_text_color",
    "hilited_key_text_color",
    "key_symbol_color",
    "hilited_key_symbol_color",
]
_NOT_COLOURS = frozenset(("name", "author", "light_scheme", "dark_scheme"))
_MAX_WIDTH = 100.0


def check_trime(files: Mapping[str, bytes], violations: Violations) -> None:
    """Check a theme with its pictures.

    Args:
        files: Content by path from the app's user folder.
        violations: Takes what is wrong.
    """
    for name in files:
        if name.endswith(".trime.yaml"):
            _ThemeCheck(load_document(name, files[name], violations), files, violations).check()
        elif name.endswith(".9.png"):
            _check_nine_patch(name, files[name], violations)
        elif name.endswith(_PICTURES):
            picture_size(files, name, violations)


class _ThemeCheck:
    """Checks one theme."""

    def __init__(self, document: YamlDocument, files: Mapping[str, bytes], violations: Violations) -> None:
        self._document = document
        self._root = document.root
        self._files = files
        self._violations = violations

    def _add(self, section: str, rule: str, problem: str) -> None:
        line = self._document.lines.get(section.partition(".")[0], 0)
        self._violations.add(self._document.file, rule, problem, section, line)

    def check(self) -> None:
        """Check all parts of the theme."""
        if "/" in self._document.file:
            self._add("", "place", "the theme must lie beside backgrounds/")
        for key in ("config_version", "name", "style", "preset_color_schemes", "preset_keyboards"):
            if not self._root.get(key):
                self._add(key, "part", "it is missing")
        schemes = mapping(self._root.get("preset_color_schemes"))
        for name, scheme in schemes.items():
            self._check_scheme(str(name), mapping(scheme), schemes)
        keyboards = mapping(self._root.get("preset_keyboards"))
        if "default" not in keyboards:
            self._add("preset_keyboards", "default", "there is no keyboard 'default'")
        for name, keyboard in keyboards.items():
            self._check_keyboard(str(name), mapping(keyboard), schemes)
        for name, key in mapping(self._root.get("preset_keys")).items():
            target = mapping(key).get("select")
            if isinstance(target, str) and not target.startswith(".") and target not in keyboards:
                self._add(f"preset_keys.{name}", "keyboard", f"there is no keyboard '{target}'")

    def _check_scheme(self, name: str, scheme: Mapping[str, Any], schemes: Mapping[str, Any]) -> None:
        section = f"preset_color_schemes.{name}"
        for slot in _WANTED:
            if not scheme.get(slot):
                self._add(section, "colour", f"{slot} is missing")
        for key in ("light_scheme", "dark_scheme"):
            if key in scheme and scheme[key] not in schemes:
                self._add(section, "scheme", f"{key}: there is no scheme '{scheme[key]}'")
        folder = mapping(self._root.get("style")).get("background_folder", "")
        for slot, value in scheme.items():
            if slot in _NOT_COLOURS:
                continue
            if isinstance(value, str) and value.endswith(_PICTURES):
                if not any(
                    path in self._files for path in (f"backgrounds/{folder}/{value}", f"backgrounds/{value}")
                ):
                    self._add(section, "picture", f"{slot}: there is no picture '{value}'")
            elif not isinstance(value, str) or not _COLOUR.fullmatch(value):
                # A number would be one that YAML has turned around: 0x00ffffff is 16777215.
                self._add(section, "colour", f"{slot}: '{value}' is neither a colour as text nor a picture")

    def _check_keyboard(self, name: str, keyboard: Mapping[str, Any], schemes: Mapping[str, Any]) -> None:
        section = f"preset_keyboards.{name}"
        keys = [mapping(key) for key in sequence(keyboard.get("keys"))]
        if not keys and "import_preset" not in keyboard:
            self._add(section, "keys", "there is no key")
        total = 0.0
        for number, key in enumerate(keys, start=1):
            width = key.get("width", keyboard.get("width", 0))
            if not isinstance(width, int | float) or not 0 < width <= _MAX_WIDTH:
                self._add(section, "width", f"key {number} has the width {width!r}, not 0 to 100")
                continue
            total = total + width if total + width <= _MAX_WIDTH + 0.05 else width
            for slot in _KEY_COLOURS:
                value = key.get(slot)
                if isinstance(value, str) and any(
                    value not in mapping(scheme) for scheme in schemes.values()
                ):
                    self._add(section, "colour", f"key {number}: {slot} '{value}' is not in every scheme")
        if keys and total < _MAX_WIDTH - 0.5:
            self._add(section, "row", f"the last row is {total:.1f} wide, not 100")


def _check_nine_patch(name: str, content: bytes, violations: Violations) -> None:
    """Check the border of a nine-patch: one pixel, black or clear, black somewhere along top and left."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.asarray(image.convert("RGBA"))
    except Exception as exc:
        # A damaged file can fail anywhere in a decoder, with any kind of error.
        violations.add(name, "picture", f"it cannot be decoded: {exc}")
        return
    if min(pixels.shape[:2]) < 3:
        violations.add(name, "nine-patch", "there is nothing within the border")
        return
    edges = {"top": pixels[0], "left": pixels[:, 0], "bottom": pixels[-1], "right": pixels[:, -1]}
    for side, edge in edges.items():
        black = (edge == (0, 0, 0, 255)).all(axis=1)
        clear = edge[:, 3] == 0
        if not (black | clear).all() or black[0] or black[-1]:
            violations.add(name, "nine-patch", f"the {side} edge has pixels that are neither black nor clear")
        elif side in ("top", "left") and not black.any():
            violations.add(name, "nine-patch", f"the {side} edge does not say what stretches")
