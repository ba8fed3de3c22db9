"""The rules of fcitx5-android's themes, from its ``ThemeFilesManager`` and ``CustomThemeSerializer``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skin_pipeline.skins.validators.checks import Violations, picture_size

COLOURS = [
    "backgroundColor",
    "barColor",
    "keyboardColor",
    "keyBackgroundColor",
    "keyTextColor",
    "candidateTextColor",
    "candidateLabelColor",
    "candidateCommentColor",
    "altKeyBackgroundColor",
    "altKeyTextColor",
    "accentKeyBackgroundColor",
    "accentKeyTextColor",
    "keyPressHighlightColor",
    "keyShadowColor",
    "popupBackgroundColor",
    "popupTextColor",
    "spaceBarColor",
    "dividerColor",
    "clipboardEntryColor",
    "genericActiveBackgroundColor",
    "genericActiveForegroundColor",
]
_VERSIONS = ("1.0", "2.0", "2.1")
_BUILT_IN = frozenset(
    [
        "materiallight",
        "materialdark",
        "pixellight",
        "pixeldark",
        "nordlight",
        "norddark",
        "deepblue",
        "monokai",
        "amoledblack",
        "transparentdark",
        "transparentlight",
        "monetlight",
        "monetdark",
    ]
)
_KNOWN = frozenset((*COLOURS, "name", "isDark", "backgroundImage", "version"))
_SIDES = ("left", "top", "right", "bottom")


def check_fcitx5(files: Mapping[str, bytes], violations: Violations) -> None:
    """Check a theme.

    Args:
        files: Content by path.
        violations: Takes what is wrong.
    """
    documents = [name for name in files if name.endswith(".json")]
    if len(documents) != 1:
        violations.add(
            "", "one-json", f"the app takes the first .json that it finds, there are {len(documents)}"
        )
    file = documents[0]
    try:
        theme = json.loads(files[file])
    except ValueError as exc:
        violations.add(file, "json", f"it cannot be loaded: {exc}")
        return
    if not isinstance(theme, dict):
        violations.add(file, "json", "it is not an object")
        return
    _check_theme(file, theme, violations)
    background = theme.get("backgroundImage")
    if isinstance(background, dict):
        _check_background(file, background, files, violations)


def _check_theme(file: str, theme: Mapping[str, Any], violations: Violations) -> None:
    for colour in COLOURS:
        value = theme.get(colour)
        if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 31) <= value < 1 << 31:
            violations.add(file, "colour", f"it must be a signed 32-bit number, got {value!r}", colour)
    name = theme.get("name")
    if not isinstance(name, str) or not name or name.casefold() in _BUILT_IN:
        violations.add(file, "name", f"{name!r} is empty or the name of one of the app's own themes", "name")
    elif file != f"{name}.json":
        violations.add(file, "name", f"the file should be called {name}.json", "name")
    if not isinstance(theme.get("isDark"), bool):
        violations.add(file, "is-dark", "it must be true or false", "isDark")
    if theme.get("version") not in _VERSIONS:
        violations.add(file, "version", f"{theme.get('version')!r} is not one of {_VERSIONS}", "version")
    for unknown in sorted(set(theme) - _KNOWN):
        violations.add(file, "unknown", "the app refuses entries that it does not know", unknown)


def _check_background(
    file: str, background: Mapping[str, Any], files: Mapping[str, bytes], violations: Violations
) -> None:
    sizes = []
    for key in ("croppedFilePath", "srcFilePath"):
        name = background.get(key)
        if not isinstance(name, str) or "/" in name or name not in files:
            violations.add(file, "picture", f"there is no file {name!r}", key)
        else:
            sizes.append(picture_size(files, name, violations))
    brightness = background.get("brightness", 70)
    if not isinstance(brightness, int) or not 0 <= brightness <= 100:
        violations.add(file, "brightness", f"it must be 0 to 100, got {brightness!r}", "brightness")
    rect = background.get("cropRect")
    if rect is None or len(sizes) < 2 or sizes[1] is None:
        return
    if not isinstance(rect, dict) or not all(isinstance(rect.get(side), int) for side in _SIDES):
        violations.add(file, "crop-rect", f"{rect!r} is no rectangle", "cropRect")
        return
    left, top, right, bottom = (rect[side] for side in _SIDES)
    width, height = sizes[1]
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        violations.add(file, "crop-rect", f"{rect} leaves the {width}x{height} picture", "cropRect")
