"""One transform: a mark in the picture, in its conditioning image and in a box comes to lie at one place."""

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from skin_pipeline.errors import InputError
from skin_pipeline.geometry import Size, apply_affine
from skin_pipeline.training.backend import Batch
from skin_pipeline.training.buckets import Placement, check_same_shape, training_size
from skin_pipeline.training.data import as_tensor, random_crop

MARK_PX = 3.0
"""Least side of a mark, in pixels of the picture and of the training picture: smaller ones may fade away."""

source_sides = st.integers(40, 400)
sizes = st.tuples(source_sides, source_sides)
targets = st.one_of(
    st.builds(lambda size, step: training_size(size, 128, step), sizes, st.sampled_from([32, 64, None])),
    st.tuples(st.integers(32, 256), st.integers(32, 256)),
)


def draw_mark(size: Size, box: tuple[float, float, float, float]) -> np.ndarray:
    """Draw a white box (continuous coordinates) on black, its edge pixels by how much of them it covers."""
    cover = [
        np.clip(np.minimum(np.arange(n) + 1, high) - np.maximum(np.arange(n), low), 0, 1)
        for n, low, high in ((size[1], box[1], box[3]), (size[0], box[0], box[2]))
    ]
    return np.repeat((np.outer(*cover) * 255).round().astype(np.uint8)[..., None], 3, axis=2)


def centre_of(level: np.ndarray) -> np.ndarray:
    """Return the centre of brightness (x, y) of (H, W), in continuous coordinates."""
    weight = level.astype(float)
    rows, columns = np.indices(weight.shape) + 0.5
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@given(sizes, targets, st.integers(1, 4), st.data())
@example((1080 // 4, 810 // 4), (160, 96), 1, None)
def test_picture_conditioning_image_and_box_stay_together(
    source: Size, target: Size, shrink: int, data: st.DataObject | None
) -> None:
    """The conditioning image is of another size by up to four times; a random square is cut at the end."""
    placement = Placement(source, target)
    scale = placement.fit.matrix[[0, 1], [0, 1]]
    half = np.maximum(MARK_PX, MARK_PX / scale) / 2
    window = placement.fit.source
    low = np.array([window.left, window.top]) + half + 1
    high = np.array([window.left + window.width, window.top + window.height]) - half - 1
    assume((low < high).all())
    share = np.array([0.3, 0.6] if data is None else data.draw(st.tuples(*[st.floats(0, 1)] * 2)))
    centre = low + share * (high - low)
    box = (*(centre - half), *(centre + half))
    control_size = tuple(max(1, round(side / shrink)) for side in source)
    at_control = np.array(control_size) / source

    picture = placement.place_picture(draw_mark(source, box))
    dot = np.zeros((control_size[1], control_size[0], 3), np.uint8)
    column, row = np.minimum((centre * at_control).astype(int), np.array(control_size) - 1)
    dot[row, column] = 255
    # a control pixel that grows to many may reach beyond the crop: what is left of it is what counts
    corners = np.array([[column, row], [column + 1, row + 1]]) / at_control
    dot_centre = np.clip(apply_affine(placement.fit.matrix, corners), 0, target).mean(axis=0)
    control = placement.place_lines(dot)
    (quad,) = placement.place_quads([[box[:2], (box[2], box[1]), box[2:], (box[0], box[3])]])

    assert set(np.unique(control)) == {0, 255}
    assert picture.shape == control.shape == (target[1], target[0], 3)
    expected = apply_affine(placement.fit.matrix, centre)
    np.testing.assert_allclose(quad.mean(axis=0), expected, atol=1e-6)
    assert np.abs(centre_of(picture[..., 0]) - expected).max() <= 1
    assert np.abs(centre_of(control[..., 0]) - dot_centre).max() <= 1

    # a random crop shows one and the same part of both, and the box moves along
    side = min(target) // 2
    whole = _as_batch(picture, control, quad, placement)
    crop = random_crop(whole, side, torch.Generator().manual_seed(7))
    left, top = (crop.sizes - whole.sizes)[0, [3, 2]].tolist()
    part = np.s_[top : top + side, left : left + side]
    assert torch.equal(crop.latents[0], as_tensor(picture[part]))
    assert torch.equal(crop.conditioning_pixel_values[0], as_tensor(control[part]))
    for kept in crop.boxes[0]:
        np.testing.assert_allclose(kept, quad - (left, top), atol=1e-6)


def _as_batch(picture: np.ndarray, control: np.ndarray, quad: np.ndarray, placement: Placement) -> Batch:
    """Return a batch of one whose latents are the picture itself, cells of one pixel."""
    pixels = as_tensor(picture)[None]
    return Batch(
        sample_ids=("one",),
        latents=pixels,
        noise=pixels,
        timesteps=torch.tensor([0]),
        conditioning_pixel_values=as_tensor(control)[None],
        prompt_embeds=torch.zeros(1, 1, 1),
        pooled_prompt_embeds=torch.zeros(1, 1),
        sizes=torch.tensor([placement.time_ids()]),
        boxes=((quad.tolist(),),),
    )


@given(sizes)
def test_a_picture_of_its_bucket_is_not_touched(size: Size) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    placement = Placement(size, size)
    np.testing.assert_array_equal(placement.place_picture(pixels), pixels)
    np.testing.assert_array_equal(placement.place_lines(pixels), pixels)
    assert placement.time_ids() == (size[1], size[0], 0, 0, size[1], size[0])


def test_time_ids_by_hand() -> None:
    # 300x200 covers 320x192 at 16/15: 20 of its rows are cut off, 10 above, which are 10.67 training pixels
    assert Placement((300, 200), (320, 192)).time_ids() == (213, 320, 11, 0, 192, 320)
    # the same, made from a raw skin of 1200x700 of which 15 stored columns were cut off before
    raw = Placement((300, 200), (320, 192), (1200, 700), (15, 0))
    assert raw.time_ids() == (700, 1200, 11, 16, 192, 320)
    # stored as it is trained: the raw size and the earlier crop are all there is to tell
    assert Placement((512, 512), (512, 512), (1080, 810), (85, 0)).time_ids() == (810, 1080, 0, 85, 512, 512)


def test_legends_that_the_crop_cuts_are_left_out() -> None:
    def square(x: float, y: float) -> list[list[float]]:
        return [[x, y], [x + 10, y], [x + 10, y + 10], [x, y + 10]]

    placement = Placement((300, 200), (320, 192))
    kept = placement.place_quads([square(0, 0), square(0, 50), square(290, 181), square(290, 179)])
    scale = 320 / 300
    np.testing.assert_allclose(kept[:, 0], [[0, 40 * scale], [290 * scale, 169 * scale]], atol=1e-6)


def test_sizes_in_training() -> None:
    assert training_size((512, 512), 512, 64) == (512, 512)
    assert training_size((300, 200), 256, 64) == (320, 192)
    assert training_size((300, 200), 256, None) == (256, 256)


@pytest.mark.parametrize(
    ("picture", "conditioning"),
    [((512, 512), (512, 512)), ((1080, 811), (512, 384)), ((1000, 333), (100, 33)), ((64, 48), (128, 97))],
)
def test_conditioning_images_of_the_same_shape_are_taken(picture: Size, conditioning: Size) -> None:
    check_same_shape(picture, conditioning, "here")


@pytest.mark.parametrize(
    ("picture", "conditioning"), [((512, 512), (512, 509)), ((1080, 810), (512, 512)), ((64, 48), (48, 64))]
)
def test_conditioning_images_of_another_shape_are_refused(picture: Size, conditioning: Size) -> None:
    with pytest.raises(InputError, match=r"line 3 of the training set: the picture has \d+x\d+ pixels and"):
        check_same_shape(picture, conditioning, "train.jsonl, line 3")
