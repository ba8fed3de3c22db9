"""Real packages, which are not part of the project: name their folder in SKIN_PACKAGES to try them."""

import os
from pathlib import Path

import pytest

from skin_pipeline.skins.model import KeyboardKind
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.rendering import render_keyboard

_FOLDER = Path(os.environ.get("SKIN_PACKAGES", ""))
_PACKAGES = sorted(_FOLDER.glob("*.bds")) if "SKIN_PACKAGES" in os.environ else []


@pytest.mark.slow
@pytest.mark.skipif(not _PACKAGES, reason="SKIN_PACKAGES names no folder of .bds packages")
@pytest.mark.parametrize("path", _PACKAGES, ids=lambda path: path.name)
def test_a_real_package_is_read_and_drawn(path):
    theme = read_skin(path).theme()
    for kind in (KeyboardKind.PINYIN_26, KeyboardKind.PINYIN_9, KeyboardKind.ENGLISH_26):
        board = theme.keyboard(kind)
        picture = render_keyboard(board, 480)
        assert (picture[..., 3] > 0).mean() > 0.5
        letter = next(key for key in board.keys if key.text)
        assert (render_keyboard(board, 480, pressed=[letter.id]) != picture).any()
