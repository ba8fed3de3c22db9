"""Crops: latents, noise, conditioning image, boxes and SDXL's coordinates are of one place."""

import pytest
import torch
from pydantic import ValidationError

from skin_pipeline.training.backend import Batch
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.data import random_crop

SIDE, CELL = 128, 8


def whole_picture() -> Batch:
    """Return a batch of one whose every value tells its place."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    cells = (1000 * rows + columns)[::CELL, ::CELL].float()
    return Batch(
        sample_ids=("one",),
        latents=cells.expand(1, 4, -1, -1),
        noise=-cells.expand(1, 4, -1, -1),
        timesteps=torch.tensor([7]),
        conditioning_pixel_values=(1000 * rows + columns).float().expand(1, 3, -1, -1),
        prompt_embeds=torch.zeros(1, 2, 3),
        pooled_prompt_embeds=torch.zeros(1, 3),
        sizes=torch.tensor([[SIDE, SIDE, 0, 0, SIDE, SIDE]]),
        boxes=(tuple(square(x, y, 6) for x in range(4, 120, 16) for y in range(4, 120, 16)),),
    )


def square(x: float, y: float, side: float) -> list[list[float]]:
    return [[x, y], [x + side, y], [x + side, y + side], [x, y + side]]


@pytest.mark.parametrize("seed", range(8))
def test_everything_is_cut_at_one_place(seed: int) -> None:
    crop = random_crop(whole_picture(), 64, torch.Generator().manual_seed(seed))
    height, width, top, left, target_height, target_width = crop.sizes[0].tolist()
    assert (height, width, target_height, target_width) == (SIDE, SIDE, 64, 64)
    assert crop.latents.shape == (1, 4, 8, 8)
    assert crop.conditioning_pixel_values.shape == (1, 3, 64, 64)
    assert crop.latents[0, 0, 0, 0] == crop.conditioning_pixel_values[0, 0, 0, 0] == 1000 * top + left
    assert torch.equal(crop.noise, -crop.latents)
    wanted = [
        square(x - left, y - top, 6)
        for x in range(4, 120, 16)
        for y in range(4, 120, 16)
        if left <= x <= left + 58 and top <= y <= top + 58
    ]
    assert [list(map(list, quad)) for quad in crop.boxes[0]] == wanted


def test_crops_reach_every_corner() -> None:
    generator = torch.Generator().manual_seed(0)
    places = {tuple(random_crop(whole_picture(), 64, generator).sizes[0, 2:4].tolist()) for _ in range(600)}
    assert {(0, 0), (0, 64), (64, 0), (64, 64)} <= places


def test_picture_without_legends_can_be_cropped() -> None:
    batch = whole_picture()
    bare = Batch(**{**vars(batch), "boxes": ((),)})
    assert random_crop(bare, 32, torch.Generator().manual_seed(1)).boxes == ((),)


def test_crop_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(
        ValidationError, match=r"train\.crop_px \(256\) must not exceed train\.resolution_px \(128\)"
    ):
        TrainParameters(resolution_px=128, crop_px=256)
