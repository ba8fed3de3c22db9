"""A package whose preview shows its keyboard."""

from pathlib import Path

import numpy as np

from skin_pipeline.skins.model import KeyboardKind
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.sheets.previews import draw
from tests.skins.packages import baidu_files, png_of, save, zipped

PREVIEW_BOX = (10, 10, 160, 150)
"""x, y, width, height of the keyboard in the preview: smaller, stretched and off the middle."""


def previewed_package(folder: Path, *, is_pale: bool = False) -> Path:
    """Save a package; the stripes on its keys make the keyboard's place and size in the preview certain.

    Args:
        folder: Where to.
        is_pale: Whether the preview shows the keyboard at half its contrast.
    """
    stripes = np.zeros((40, 20, 4), np.uint8)
    stripes[..., 3] = 255
    stripes[::4, :, 0] = stripes[:, ::5, 1] = 255
    files = baidu_files(res__keys_dot_png=png_of(stripes))
    board = read_skin(save(folder, zipped(files))).theme().keyboard(KeyboardKind.PINYIN_26)
    x, y, width, height = PREVIEW_BOX
    shown = draw(board, width, height)
    preview = np.full((170, 180, 3), 90, np.uint8)
    preview[y : y + height, x : x + width] = shown // 2 + 40 if is_pale else shown
    demo = png_of(np.dstack([preview, np.full(preview.shape[:2], 255, np.uint8)]))
    return save(folder, zipped(files | {"demo.png": demo}))
