"""Writing skins as packages that a phone installs.

All writers have one form: ``write(skin, path, *, preview=None, provenance=None) -> Export``.
"""

from skin_pipeline.skins.export.baidu import write_baidu
from skin_pipeline.skins.export.fcitx5 import write_fcitx5
from skin_pipeline.skins.export.hamster import write_hamster
from skin_pipeline.skins.export.packages import Export, Loss, Provenance, in_short
from skin_pipeline.skins.export.trime import write_trime

__all__ = [
    "Export",
    "Loss",
    "Provenance",
    "in_short",
    "write_baidu",
    "write_fcitx5",
    "write_hamster",
    "write_trime",
]
