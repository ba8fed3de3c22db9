import cv2
import numpy as np
import pytest

from skin_pipeline.items import Item, Task
from skin_pipeline.skins.packages import read_skin
from skin_pipeline.skins.sheets.previews import find_in_preview, ssim
from skin_pipeline.skins.sheets.stages import SheetParameters, make_composer
from tests.skins.packages import baidu_files, png_of, save, zipped
from tests.skins.previewed import PREVIEW_BOX, previewed_package


def looks(path):
    """A package's first theme and its preview."""
    skin = read_skin(path)
    return skin.theme(), skin.preview


def test_a_keyboard_is_found_in_a_preview_that_frames_it(tmp_path):
    match = find_in_preview(*looks(previewed_package(tmp_path)))
    assert match.kind == "pinyin_26"
    assert np.abs(np.subtract(match.box, PREVIEW_BOX)).max() <= 2
    assert match.ssim > 0.9


def test_a_preview_without_a_keyboard_correlates_little(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 4), dtype=np.uint8)
    files = baidu_files(demo_dot_png=png_of(cv2.GaussianBlur(noise, (0, 0), 3)))
    assert find_in_preview(*looks(save(tmp_path, zipped(files)))).correlation < 0.6


def test_ssim_is_one_for_equal_pictures_and_falls_with_noise():
    random = np.random.default_rng(1)
    picture = random.integers(0, 255, (40, 50), dtype=np.uint8)
    assert ssim(picture, picture) == pytest.approx(1)
    noisy = np.clip(picture + random.normal(0, 20, picture.shape), 0, 255).astype(np.uint8)
    assert ssim(picture, 255 - picture) < 0 < ssim(picture, noisy) < 0.97


def test_a_package_unlike_its_preview_is_left_out_where_that_is_asked_for(tmp_path):
    package = previewed_package(tmp_path, is_pale=True)
    task = Task("skin", {"raw_packages": Item("skin", {}, "0", package)})

    def reason(limit):
        parameters = SheetParameters(
            layout="whole_keyboard", min_preview_ssim=limit, alignment={"min_keys": 1}
        )
        [result] = make_composer(parameters)([task])
        return getattr(result, "reason", None)

    assert reason(None) is None
    assert reason(0.2) is None
    assert "to its preview, expected at least 1.00" in reason(1.0)
