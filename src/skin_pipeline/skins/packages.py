"""Reading a skin, whatever its format."""

from dataclasses import replace
from pathlib import Path

from skin_pipeline.errors import InputError
from skin_pipeline.skins.archives import read_package
from skin_pipeline.skins.baidu import is_baidu, read_baidu
from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.hamster import is_hamster, read_hamster
from skin_pipeline.skins.model import Skin
from skin_pipeline.skins.pictured import is_pictured, read_pictured

_FORMATS = ((is_pictured, read_pictured), (is_hamster, read_hamster), (is_baidu, read_baidu))
"""Formats by what gives them away, the plainest sign first."""


def read_skin(path: Path) -> Skin:
    """Read a skin from a zip or a folder. Nothing is written anywhere.

    The format is found by what is in the package, not by its name: a Baidu skin (``.bds``, ``.bdi``) has
    ``port/*.ini``, a Hamster skin (``.cskin``, ``.hskin``) has ``config.yaml`` beside ``light/`` and
    ``dark/``, a folder of pictures has ``skin.yaml``.

    Args:
        path: The package.

    Returns:
        The skin. What is wrong with the package is in its findings.

    Raises:
        InputError: It is not a package of a known format, or nothing in it can be drawn.
    """
    findings = Findings()
    files = read_package(path, findings)
    read = next((read for is_format, read in _FORMATS if is_format(files)), None)
    if read is None:
        raise InputError(
            f"Package '{path.name}' is no skin of a known format: it has neither skin.yaml (a folder of "
            "pictures), nor config.yaml with light/ and dark/ (.cskin, .hskin), nor port/*.ini (.bds, .bdi)."
        )
    skin = read(files, path.stem, findings)
    found = findings.all()
    if not any(theme.keyboards for theme in skin.themes):
        reasons = "; ".join(str(finding) for finding in found[:5])
        raise InputError(f"Skin '{path.name}' has no keyboard that can be drawn. {reasons}".strip())
    return replace(skin, findings=found)
