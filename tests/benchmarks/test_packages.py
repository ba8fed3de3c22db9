import json

import cv2
import numpy as np
import pytest

from benchmarks.packages import main
from skin_pipeline.skins.model import KeyboardKind
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.sheets.previews import draw
from tests.skins.packages import baidu_files, png_of, save, zipped


def with_preview(board):
    """A preview that shows a keyboard smaller, stretched and off the middle."""
    preview = np.full((170, 180, 3), 90, np.uint8)
    preview[10:160, 10:170] = draw(board, 160, 150)
    return png_of(np.dstack([preview, np.full(preview.shape[:2], 255, np.uint8)]))


@pytest.fixture
def package(tmp_path):
    """A skin whose preview shows its keyboard; the stripes make its place and size certain."""
    stripes = np.zeros((40, 20, 4), np.uint8)
    stripes[..., 3] = 255
    stripes[::4, :, 0] = stripes[:, ::5, 1] = 255
    files = baidu_files(res__keys_dot_png=png_of(stripes))
    path = save(tmp_path, zipped(files))
    board = read_skin(path).theme().keyboard(KeyboardKind.PINYIN_26)
    return save(tmp_path, zipped(files | {"demo.png": with_preview(board)}))


def test_it_measures_every_package_and_leaves_a_page(package, tmp_path, capsys):
    save(tmp_path, zipped({"readme.txt": b"not a skin"}), "broken.bds")
    main([str(tmp_path), "--quick", f"--out={tmp_path / 'page.png'}"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["packages"] == 2
    assert list(figures["refused"]) == ["broken.bds"]
    assert figures["drawn"]["pinyin_26"] == 1
    assert figures["import"]["median_ms"] > 0
    assert figures["demo"]["showing_a_keyboard"] == 1
    assert cv2.imread(str(tmp_path / "page.png")).shape[2] == 3


def test_a_folder_without_packages_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="holds no package"):
        main([str(tmp_path)])
