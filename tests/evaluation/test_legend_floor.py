from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.legend_floor import LegendPicture, encode_decode, measure_floor
from skin_pipeline.geometry import quads_of
from skin_pipeline.prep.legend_heights import small_legends_warning


class Darkening:
    """An autoencoder that loses what is lower than 20 px: it halves the upper 20 rows."""

    device, dtype = torch.device("cpu"), torch.float32

    def encode(self, pixels: torch.Tensor) -> SimpleNamespace:
        assert pixels.min() >= -1
        assert pixels.max() <= 1
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: pixels))

    def decode(self, latents: torch.Tensor) -> SimpleNamespace:
        latents = latents.clone()
        latents[:, :, :20] = 3.0  # out of range, to be clipped
        return SimpleNamespace(sample=latents)


class Brightness:
    """Reads A in black, nothing in white."""

    name = "brightness"

    def recognize(self, crops: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        return [("A" if crop.mean() < 128 else "", 0.9) for crop in crops]


def picture(name: str) -> LegendPicture:
    small, large = [[0, 0, 16, 16]] * 8, [[0, 30, 32, 62]] * 8
    return LegendPicture(name, np.zeros((64, 64, 3), np.uint8), quads_of(small + large), ("A",) * 16)


def test_what_an_autoencoder_loses_shows_by_height() -> None:
    floor = measure_floor([picture("a"), picture("b")], Darkening(), Brightness())
    assert floor.reader == "brightness"
    assert floor.before.overall.sentence_accuracy.estimate == 1.0
    assert floor.survival(None, "16") == (0.0, 16)
    assert floor.survival("Latin", "32") == (1.0, 16)
    assert floor.survival("Chinese", "32") is None
    assert floor.least_height_px() == 32
    assert floor.least_height_px("Chinese") is None
    rows = floor.as_rows()
    assert [(row["script"], row["height_px"], row["after"]) for row in rows] == [
        ("all", "16", 0.0),
        ("all", "32", 1.0),
        ("Latin", "16", 0.0),
        ("Latin", "32", 1.0),
    ]


def test_pixels_come_back_as_they_went() -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    returned = encode_decode(Darkening(), image)
    np.testing.assert_array_equal(returned[20:], image[20:])
    assert (returned[:20] == 255).all()


def test_a_floor_needs_legends() -> None:
    empty = LegendPicture("a", np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4, 2)), ())
    with pytest.raises(InputError, match="at least one legend"):
        measure_floor([empty], Darkening(), Brightness())


def test_legends_below_the_floor_are_warned_of() -> None:
    legends = [("空格", 20.0), ("发送", 40.0), ("Q", 20.0), ("", 8.0)]
    message = small_legends_warning(legends, "embedded")
    assert message is not None
    assert message.startswith(
        "1 of 2 Chinese legends are lower than 32 px and 1 of 2 other legends are lower than 16 px"
    )
    assert message.count("'embedded'") == 1
    assert "train at a larger size" in message
    assert small_legends_warning([("Q", 40.0)], "embedded") is None
    assert small_legends_warning([("Q", 8.0)], "never/measured") is None
    assert small_legends_warning([], "embedded") is None


@pytest.mark.slow
def test_latin_legends_of_24_px_at_512_survive_the_embedded_autoencoder() -> None:
    """Chinese ones do not survive as surely (docs/legends.md), so they must not be averaged in here."""
    from diffusers import AutoencoderKL

    from skin_pipeline.base_models import EMBEDDED
    from skin_pipeline.evaluation.legends import HEIGHT_BINS
    from skin_pipeline.recognition.recognizers import PaddleRecognizer
    from skin_pipeline.recognition.weights import embedded_weights
    from skin_pipeline.skins.drawn import draw_skin

    sizes, layouts = ((512, 384), (512, 512)), ("26_key", "9_key")
    skins = [
        draw_skin(60_000 + i, width_px=sizes[i % 2][0], height_px=sizes[i % 2][1], layout=layouts[i // 2 % 2])
        for i in range(12)
    ]
    pictures = [
        LegendPicture(
            str(i),
            skin.image,
            np.stack([legend.quad for legend in skin.legends]),
            tuple(legend.text for legend in skin.legends),
        )
        for i, skin in enumerate(skins)
    ]
    autoencoder = AutoencoderKL.from_pretrained(EMBEDDED["embedded"] / "vae").eval()
    floor = measure_floor(pictures, autoencoder, PaddleRecognizer(embedded_weights()))
    for height in HEIGHT_BINS[HEIGHT_BINS.index("24") :]:
        survival = floor.survival("Latin", height)
        assert survival is None or survival[0] >= 0.95, (height, survival)
    assert (floor.least_height_px("Latin") or 99) <= 24
