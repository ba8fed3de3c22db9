"""Training sets as they are read: of any sizes, with what SDXL is told of each picture."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from skin_pipeline.errors import InputError
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.data import EncodedSamples, TrainingSet, as_tensor, read_pixels, read_training_set
from tests.tiny_models import save_training_set

SIZES = ((300, 200), (256, 256), (200, 300), (1024, 256))


def read(folder: Path, **changes: Any) -> TrainingSet:
    return read_training_set(folder, TrainParameters(**{"resolution_px": 256, **changes}))


def edit_rows(folder: Path, **columns: object) -> None:
    path = folder / "train.jsonl"
    rows = [json.loads(line) | columns for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_training_set(tmp_path_factory.mktemp("data") / "mixed", num_train=5, sizes_px=SIZES)


def test_each_picture_is_read_at_its_bucket(mixed: Path) -> None:
    data = read(mixed)
    expected = [(320, 192), (256, 256), (192, 320), (512, 128), (320, 192)]
    assert [sample.size_px for sample in data.train] == expected
    for sample in (*data.train, *data.validation):
        width, height = sample.size_px
        assert sample.read_picture().shape == sample.read_conditioning().shape == (height, width, 3)


def test_legends_too_small_for_the_base_model_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_training_set(tmp_path / "set", num_train=2, sizes_px=[(256, 256)])
    low, high = ([[0, 0], [60, 0], [60, height], [0, height]] for height in (10, 40))
    edit_rows(folder, text='a skin, writing "Q", "W"', box=[low, high])
    read(folder, model_base="embedded")
    assert "2 of 4 other legends are lower than 16 px" in caplog.text
    caplog.clear()
    edit_rows(folder, text='a skin, writing "Q", "W"', box=[high, high])
    read(folder, model_base="embedded")
    assert "legends are lower" not in caplog.text


def test_the_log_says_what_becomes_of_the_pictures(mixed: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        read(mixed)
    expected = "1 of 192x320, 1 of 256x256, 2 of 320x192, 1 of 512x128; 4 of them resized for it, which cuts"
    assert expected in caplog.text
    assert "off 10.0 % at most (of 'images/demo__skin_0000')" in caplog.text


def test_without_buckets_all_are_squares(mixed: Path) -> None:
    assert {sample.size_px for sample in read(mixed, bucket_step_px=None).train} == {(256, 256)}


def test_a_picture_of_its_bucket_is_read_as_it_is(mixed: Path) -> None:
    square = read(mixed).train[1]
    assert square.placement.time_ids() == (256, 256, 0, 0, 256, 256)
    assert (as_tensor(square.read_picture()) == read_pixels(square.image)).all()
    assert (as_tensor(square.read_conditioning()) == read_pixels(square.conditioning_image)).all()


@pytest.fixture
def squares(tmp_path: Path) -> Path:
    return save_training_set(tmp_path / "squares", 1, 0, size_px=256)


def test_the_raw_size_is_told_where_it_is_asked_for(squares: Path) -> None:
    edit_rows(squares, original_size_px=[1080, 810], crop_px=[43, 0])
    assert read(squares, original_size="source").train[0].placement.time_ids() == (810, 1080, 0, 43, 256, 256)
    assert read(squares).train[0].placement.time_ids() == (256, 256, 0, 0, 256, 256)


def test_a_set_without_raw_sizes_is_told_as_it_is(squares: Path) -> None:
    assert read(squares, original_size="source").train[0].placement.time_ids() == (256, 256, 0, 0, 256, 256)
    edit_rows(squares, original_size_px=None, crop_px=None)
    assert read(squares, original_size="source").train[0].placement.time_ids() == (256, 256, 0, 0, 256, 256)


def test_a_smaller_conditioning_image_is_enlarged(squares: Path) -> None:
    path = squares / "conditioning_images" / "demo__skin_0000.png"
    lines = np.zeros((128, 128, 3), np.uint8)
    lines[5, 7] = 255
    Image.fromarray(lines).save(path)
    placed = read(squares).train[0].read_conditioning()
    expected = np.zeros((256, 256, 3), np.uint8)
    expected[10:12, 14:16] = 255
    np.testing.assert_array_equal(placed, expected)


def test_a_conditioning_image_of_another_shape_is_named(squares: Path) -> None:
    Image.new("RGB", (256, 192)).save(squares / "conditioning_images" / "demo__skin_0000.png")
    with pytest.raises(
        InputError, match=r"train.jsonl, line 1 of .* has 256x256 pixels and its conditioning image 256x192"
    ):
        read(squares)


def test_crops_of_any_bucket_share_a_batch(mixed: Path) -> None:
    parameters = TrainParameters(resolution_px=256, crop_px=128)
    samples = EncodedSamples(read_training_set(mixed, parameters).train, None, parameters, 1000)
    assert set(samples.sizes) == {(128, 128)}


def test_a_crop_that_a_bucket_cannot_hold_is_refused(mixed: Path) -> None:
    with pytest.raises(
        InputError, match=r"train.jsonl, line 1 .* at 320x192 pixels, of which no square of 256 can be cut"
    ):
        read(mixed, crop_px=256)
