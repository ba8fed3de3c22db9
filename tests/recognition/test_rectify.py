"""Crops with a gradient against the reader's own."""

import cv2
import numpy as np
import pytest
import torch

from skin_pipeline.geometry import quads_of, runs_downwards
from skin_pipeline.recognition import crops
from skin_pipeline.recognition.rectify import homography, pad_crops, rectify, straighten

TOLERANCE = 3
"""Levels of 255; OpenCV rounds positions to 1/32 of a pixel, and every pixel to a level and into range."""

LEANING = np.array([[20.0, 12.0], [61.0, 18.0], [58.0, 37.0], [18.0, 33.0]])
UPRIGHT = quads_of([10, 20, 58, 44])[0]
OUTSIDE = quads_of([-6.5, 50.25, 30, 70])[0]


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (96, 80), interpolation=cv2.INTER_CUBIC))


def _as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1


def _as_image(tensor: torch.Tensor) -> np.ndarray:
    return ((tensor.permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)


@pytest.mark.parametrize("quad", [LEANING, UPRIGHT, OUTSIDE])
def test_it_is_the_readers_crop(picture: np.ndarray, quad: np.ndarray) -> None:
    expected = crops.straighten(picture, quad)
    found = straighten(_as_tensor(picture), quad)
    assert found.shape[1:] == expected.shape[:2]
    assert np.abs(_as_image(found) - expected).max() <= TOLERANCE
    height, width = expected.shape[:2]
    resized = cv2.resize(expected, (-(-48 * width // height), 48), interpolation=cv2.INTER_LINEAR)
    assert np.abs(_as_image(rectify(_as_tensor(picture), quad, False)) - resized).max() <= TOLERANCE + 2


def test_text_that_runs_downwards_is_turned_as_the_reader_turns_it(picture: np.ndarray) -> None:
    tall = quads_of([10, 5, 30, 65])[0]
    turned = rectify(_as_tensor(picture), tall, True)
    expected = cv2.resize(np.rot90(crops.straighten(picture, tall)).copy(), (144, 48))
    assert np.abs(_as_image(turned) - expected).max() <= TOLERANCE + 2
    assert runs_downwards(tall, "空格")
    assert not runs_downwards(tall, "I")
    assert not runs_downwards(UPRIGHT, "空格")


def test_padding_is_mid_grey_at_the_right() -> None:
    padded, widths = pad_crops([torch.ones(3, 48, 20), torch.ones(3, 48, 32)], 32)
    assert padded.shape == (2, 3, 48, 32)
    assert widths.tolist() == [20, 32]
    assert padded[0, :, :, :20].eq(1).all()
    assert padded[0, :, :, 20:].eq(0).all()


def test_its_gradient_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(3, 10, 12, dtype=torch.float64, generator=generator, requires_grad=True)
    quad = np.array([[2.0, 2.5], [9.0, 1.0], [9.5, 7.0], [1.5, 6.0]])
    assert torch.autograd.gradcheck(lambda x: straighten(x, quad), (small,))


def test_a_homography_maps_corner_to_corner() -> None:
    matrix = homography(UPRIGHT, LEANING)
    mapped = np.c_[UPRIGHT, np.ones(4)] @ matrix.T
    np.testing.assert_allclose(mapped[:, :2] / mapped[:, 2:], LEANING, atol=1e-9)
