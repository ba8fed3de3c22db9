"""Formats that want colours get legible ones."""

import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from skin_pipeline.colours import contrast_ratio
from skin_pipeline.skins.contrast import contrast_with
from skin_pipeline.skins.export import write_fcitx5, write_hamster, write_trime
from skin_pipeline.skins.export.trime import nine_patch_source
from skin_pipeline.skins.model import Appearance, Atlas, Fill, Insets, Rect, Theme, Tile
from tests.skins.skins_at_hand import complete_skin

PAIRS = (
    ("keyTextColor", "keyBackgroundColor"),
    ("altKeyTextColor", "altKeyBackgroundColor"),
    ("accentKeyTextColor", "accentKeyBackgroundColor"),
    ("popupTextColor", "popupBackgroundColor"),
    ("genericActiveForegroundColor", "genericActiveBackgroundColor"),
)


def channels(value):
    return (value >> 16 & 255, value >> 8 & 255, value & 255)


def theme_of(path):
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".json"))
        theme = json.loads(archive.read(name))
        picture = np.asarray(
            Image.open(io.BytesIO(archive.read(theme["backgroundImage"]["croppedFilePath"])))
        )
    return theme, picture


@pytest.mark.parametrize("index", [0, 1])
def test_texts_of_fcitx5_can_be_read(index, tmp_path):
    skin = complete_skin(two_themes=True)
    skin = replace(skin, themes=(skin.themes[index],))
    theme, picture = theme_of(write_fcitx5(skin, tmp_path / "theme.zip").path)
    assert theme["isDark"] is (index == 1)
    for text, ground in PAIRS:
        assert contrast_ratio(channels(theme[text]), channels(theme[ground])) >= 4.5, text
    bar = picture[: round(picture.shape[0] * 40 / 256)]
    assert contrast_with(channels(theme["candidateTextColor"]), bar) >= 4.5


def test_a_bar_on_which_nothing_can_be_read_is_reported(tmp_path):
    stripes = np.zeros((4, 4, 4), np.uint8)
    stripes[..., 3], stripes[:2, :, :3] = 255, 255
    look = Appearance(*[Tile(Atlas("", stripes), Rect(0, 0, 4, 4), "stretch")] * 2)
    skin = complete_skin()
    board = skin.themes[0].keyboards[0]
    board = replace(board, bar=replace(board.bar, background=look))
    skin = replace(skin, themes=(Theme("default", (board,)),))
    losses = write_fcitx5(skin, tmp_path / "theme.zip").losses
    assert any(loss.place == "py_26, bar" and "legible text" in loss.what for loss in losses)


@pytest.mark.parametrize("ground", [(250, 250, 250), (20, 20, 30), (120, 120, 120)])
def test_candidates_of_a_bar_without_text_style_can_be_read(ground, tmp_path):
    skin = complete_skin()
    board = skin.themes[0].keyboards[0]
    fill = Fill((*ground, 255))
    bar = replace(board.bar, text=None, first_text=None, background=Appearance(fill, fill))
    skin = replace(skin, themes=(Theme("default", (replace(board, bar=bar),)),))
    export = write_hamster(skin, tmp_path / "skin.cskin")
    with zipfile.ZipFile(export.path) as archive:
        node = yaml.safe_load(
            archive.read(next(name for name in export.files if name.endswith("pinyinPortrait.yaml")))
        )
    colour = bytes.fromhex(node["candidateStyle"]["textColor"][1:7])
    assert contrast_ratio(tuple(colour), ground) >= 4.5


def test_a_nine_patch_says_what_stretches():
    pixels = np.full((6, 9, 4), 50, np.uint8)
    source = nine_patch_source(pixels, Insets(2, 1, 3, 4))
    assert source.shape == (8, 11, 4)
    assert np.array_equal(source[1:-1, 1:-1], pixels)
    assert [bool(alpha) for alpha in source[0, :, 3]] == [False] * 3 + [True] * 4 + [False] * 4
    assert [bool(alpha) for alpha in source[:, 0, 3]] == [False] * 2 + [True] + [False] * 5
    assert not source[-1].any()


def test_trime_keys_fill_rows_and_share_pictures(tmp_path):
    export = write_trime(complete_skin(two_themes=True), tmp_path / "theme")
    theme = yaml.safe_load(
        (tmp_path / "theme" / next(n for n in export.files if n.endswith(".yaml"))).read_bytes()
    )
    widths = [key["width"] for key in theme["preset_keyboards"]["default"]["keys"]]
    assert len(widths) == 32
    assert sum(widths) == pytest.approx(400, abs=0.1)
    schemes = theme["preset_color_schemes"]
    assert schemes["default"]["dark_scheme"] == "dark"
    assert schemes["default"]["default_KEY1"] != schemes["dark"]["default_KEY1"]
    letters = {key["click"] for key in theme["preset_keyboards"]["default"]["keys"]}
    assert set("qwertyuiopasdfghjklzxcvbnm") < letters
    assert {"Space", "Enter", "Back", "Shift", "Language", "Open_number"} < letters
