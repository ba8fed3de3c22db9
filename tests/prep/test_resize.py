import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from skin_pipeline.geometry import FloatArray, Size, apply_affine, scale_and_shift
from skin_pipeline.items import Item, Output, Task
from skin_pipeline.prep.resize import ResizeParameters, make_resizer, resize_lines, resize_skin

from .conftest import draw_skin

FITS = ["stretch", "crop", "pad"]


def dot(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    """Draw a soft white dot on black."""
    x, y = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    level = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * radius**2))
    return np.repeat((level * 255).round().astype(np.uint8)[..., None], 3, axis=2)


def centre_of(picture: np.ndarray) -> np.ndarray:
    weight = picture[..., 0].astype(float)
    x, y = np.meshgrid(np.arange(weight.shape[1]) + 0.5, np.arange(weight.shape[0]) + 0.5)
    return np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("mode", FITS)
@pytest.mark.parametrize(
    ("size", "target"), [((1080, 810), 256), ((301, 467), 512), ((97, 640), 128), ((512, 512), 512)]
)
def test_a_dot_lies_where_the_matrix_says(mode: str, size: tuple[int, int], target: int) -> None:
    there = (size[0] * 0.52, size[1] * 0.49)
    resized, fit = resize_skin(dot(size, there, min(size) / 20), (target, target), mode)
    np.testing.assert_allclose(centre_of(resized), apply_affine(fit.matrix, there), atol=0.1)


@pytest.mark.parametrize("mode", FITS)
def test_the_result_has_the_size_asked_for(mode: str) -> None:
    resized, _ = resize_skin(np.asarray(draw_skin(0, (301, 467))), (128, 64), mode)
    assert resized.shape == (64, 128, 3)
    assert resized.dtype == np.uint8
    assert resized.flags["C_CONTIGUOUS"]


def test_shrinking_averages_areas() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    resized, _ = resize_skin(noise, (8, 8), "stretch")
    np.testing.assert_allclose(resized, noise.reshape(8, 8, 8, 8, 3).mean(axis=(1, 3)), atol=0.51)


def test_an_axis_that_grows_does_not_make_the_other_alias() -> None:
    stripes = np.zeros((16, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    resized, _ = resize_skin(stripes, (16, 64), "stretch")
    assert np.abs(resized.astype(int) - 127.5).max() <= 1


def test_padding_continues_the_border() -> None:
    picture = np.full((50, 100, 3), (10, 200, 30), np.uint8)
    picture[20:30, 40:60] = 255
    resized, _ = resize_skin(picture, (64, 64), "pad")
    assert (resized[0] == (10, 200, 30)).all()
    assert (resized[-1] == (10, 200, 30)).all()


def test_the_same_size_keeps_every_pixel() -> None:
    picture = np.asarray(draw_skin())
    np.testing.assert_array_equal(resize_skin(picture, (96, 96), "stretch")[0], picture)


def test_the_worker_records_how(tmp_path: Path) -> None:
    draw_skin(0, (160, 120)).save(tmp_path / "skin.png")
    worker = pickle.loads(pickle.dumps(make_resizer(ResizeParameters(size_px=64, fit="crop"))))  # noqa: S301
    task = Task("skin", {"screened_skins": Item("skin", {}, "", tmp_path / "skin.png")})
    (output,) = worker([task])
    assert isinstance(output, Output)
    assert output.image is not None
    assert output.image.shape == (64, 64, 3)
    assert output.record == {
        "fit": "crop",
        "source_size_px": [160, 120],
        "size_px": [64, 64],
        "matrix": [[64 / 120, 0, -20 * 64 / 120], [0, 64 / 120, 0]],
    }


def test_a_skin_gets_the_bucket_of_its_own_shape(tmp_path: Path) -> None:
    draw_skin(0, (300, 200)).save(tmp_path / "skin.png")
    task = Task("skin", {"screened_skins": Item("skin", {}, "", tmp_path / "skin.png")})
    (output,) = make_resizer(ResizeParameters(size_px=256, fit="bucket"))([task])
    assert isinstance(output, Output)
    assert output.image is not None
    assert output.image.shape == (192, 320, 3)
    scale = 320 / 300  # the sides fit, 20 rows are cut off above and below, to whole source pixels
    assert output.record == {
        "fit": "bucket",
        "source_size_px": [300, 200],
        "size_px": [320, 192],
        "matrix": [[scale, 0, 0], [0, scale, -10 * scale]],
    }


def test_a_step_that_is_not_used_makes_nothing_out_of_date() -> None:
    assert "bucket_step_px" not in ResizeParameters(fit="crop").item_parameters()
    assert ResizeParameters(fit="bucket").item_parameters()["bucket_step_px"] == 64


def test_alpha_is_gone(tmp_path: Path) -> None:
    Image.new("RGBA", (80, 80), (0, 0, 0, 0)).save(tmp_path / "skin.png")
    task = Task("skin", {"screened_skins": Item("skin", {}, "", tmp_path / "skin.png")})
    (output,) = make_resizer(ResizeParameters(size_px=64))([task])
    assert isinstance(output, Output)
    assert (output.image == 255).all()


def test_sizes_that_the_vae_cannot_halve_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"multiple of 8 \(the VAE downsamples by 8\), got 513"):
        ResizeParameters(size_px=513)
    with pytest.raises(ValidationError, match="'stretch', 'crop' or 'pad'"):
        ResizeParameters(fit="squeeze")


# --- lines --------------------------------------------------------------------------------------------

lengths = st.integers(1, 90)


@given(st.tuples(lengths, lengths), st.tuples(lengths, lengths), st.data())
def test_a_marked_pixel_stays_one_value_where_the_matrix_says(size: Size, target: Size, data: Any) -> None:
    mark = tuple(data.draw(st.integers(0, length - 1)) for length in size)
    lines = np.zeros((size[1], size[0]), np.uint8)
    lines[mark[1], mark[0]] = 255
    matrix = _stretch(size, target)
    placed = resize_lines(lines, matrix, target)
    assert placed.shape == (target[1], target[0])
    assert set(np.unique(placed)) <= {0, 255}
    rows, columns = np.nonzero(placed)
    assert len(rows) >= 1  # not lost
    centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    assert np.abs(centre - apply_affine(matrix, np.array(mark) + 0.5)).max() <= 0.5 + 1e-6


@given(lengths, lengths)
def test_a_shrunk_line_of_one_pixel_is_one_pixel_wide(length: int, target: int) -> None:
    length, target = max(length, target), min(length, target)
    for place in range(length):
        lines = np.zeros((3, length), np.uint8)
        lines[:, place] = 255
        placed = resize_lines(lines, _stretch((length, 3), (target, 3)), (target, 3))
        assert (np.count_nonzero(placed, axis=1) == 1).all()


def test_what_lies_beside_the_crop_does_not_come_into_it() -> None:
    lines = np.zeros((8, 12, 3), np.uint8)
    lines[:, [0, 1, 10, 11]] = 255
    placed = resize_lines(lines, scale_and_shift((0.5, 0.5), (-1, 0)), (4, 4))
    assert not placed.any()
    assert placed.shape == (4, 4, 3)


def _stretch(size: Size, target: Size) -> FloatArray:
    return scale_and_shift((target[0] / size[0], target[1] / size[1]), (0, 0))
