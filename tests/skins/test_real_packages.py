"""Real packages, no part of the project: name their folder in SKIN_PIPELINE_PACKAGES to try them."""

import os
from pathlib import Path

import numpy as np
import pytest

from skin_pipeline.skins.export import write_baidu, write_hamster
from skin_pipeline.skins.model import KeyboardKind
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import render_keyboard
from skin_pipeline.skins.validators import validate_package

_FOLDER = Path(os.environ.get("SKIN_PIPELINE_PACKAGES", ""))
_PACKAGES = sorted(_FOLDER.glob("*.bds")) if "SKIN_PIPELINE_PACKAGES" in os.environ else []


@pytest.mark.slow
@pytest.mark.skipif(not _PACKAGES, reason="SKIN_PIPELINE_PACKAGES names no folder of .bds packages")
@pytest.mark.parametrize("path", _PACKAGES, ids=lambda path: path.name)
def test_a_real_package_is_read_and_drawn(path):
    theme = read_skin(path).theme()
    for kind in (KeyboardKind.PINYIN_26, KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_26):
        board = theme.keyboard(kind)
        picture = render_keyboard(board, 480)
        assert (picture[..., 3] > 0).mean() > 0.5
        letter = next(key for key in board.keys if key.text)
        assert (render_keyboard(board, 480, pressed=[letter.id]) != picture).any()


@pytest.mark.slow
@pytest.mark.skipif(not _PACKAGES, reason="SKIN_PIPELINE_PACKAGES names no folder of .bds packages")
@pytest.mark.parametrize(("suffix", "write"), [("bds", write_baidu), ("cskin", write_hamster)])
@pytest.mark.parametrize("path", _PACKAGES, ids=lambda path: path.name)
def test_reading_ones_own_export_of_a_real_package_loses_nothing(path, suffix, write, tmp_path):
    """What a format cannot say is lost at the first writing; what was read from it, it can say."""
    first = read_skin(write(read_skin(path), tmp_path / f"first.{suffix}").path)
    export = write(first, tmp_path / f"second.{suffix}")
    assert validate_package(export.path) == []
    theme, again = first.theme(), read_skin(export.path).theme()
    for kind in (KeyboardKind.PINYIN_26, KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_26):
        boards = theme.keyboard(kind), again.keyboard(kind)
        one, other = (render_keyboard(board, 720).astype(int) for board in boards)
        assert one.shape == other.shape
        assert np.abs(one - other).max() <= 1
