import math
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
    """An autoencoder that loses what lies in its upper rows: it makes them white."""

    device, dtype = torch.device("cpu"), torch.float32
    config = SimpleNamespace(block_out_channels=(1, 1, 1, 1))

    def __init__(self, rows: int = 20) -> None:
        self.rows = rows

    def encode(self, pixels: torch.Tensor) -> SimpleNamespace:
        assert pixels.shape[2] % 8 == pixels.shape[3] % 8 == 0
        assert pixels.min() >= -1
        assert pixels.max() <= 1
        return SimpleNamespace(latent_dist=SimpleNamespace(mode=lambda: pixels))

    def decode(self, latents: torch.Tensor) -> SimpleNamespace:
        latents = latents.clone()
        latents[:, :, : self.rows] = 3.0  # out of range, to be clipped
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
    large = LegendPicture("c", np.zeros((64, 64, 3), np.uint8), quads_of([[0, 0, 60, 60]] * 8), ("A",) * 8)
    floor = measure_floor([picture("a"), picture("b")], Darkening(), Brightness())
    assert floor.reader == "brightness"
    assert floor.before.overall.sentence_accuracy.estimate == 1.0
    assert floor.survival(None, "16") == (0.0, 16)
    assert floor.survival("Latin", "32") == (1.0, 16)
    assert floor.survival("Chinese", "32") is None
    assert floor.least_height_px() == 32
    assert floor.least_height_px("Chinese") is None
    assert floor.lost_below_px() == floor.lost_below_px("Latin") == 20
    assert floor.lost_below_px("Chinese") == 0
    whole = measure_floor([large], Darkening(), Brightness()).lost_below_px()
    none = measure_floor([large], Darkening(rows=64), Brightness()).lost_below_px()
    assert (whole, none) == (0, math.inf)
    rows = floor.as_rows()
    assert [(row["script"], row["height_px"], row["after"]) for row in rows] == [
        ("all", "all", 0.5),
        ("all", "16", 0.0),
        ("all", "32", 1.0),
        ("Latin", "all", 0.5),
        ("Latin", "16", 0.0),
        ("Latin", "32", 1.0),
    ]


def test_pixels_come_back_as_they_went() -> None:
    image = np.random.default_rng(0).integers(0, 256, (27, 33, 3), np.uint8)
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
        "1 of 2 Chinese legends are lower than 24 px and 1 of 2 other legends are lower than 16 px"
    )
    assert message.count("'embedded'") == 1
    assert "train at a larger size" in message
    assert small_legends_warning([("Q", 40.0)], "embedded") is None
    assert small_legends_warning([("Q", 8.0)], "never/measured") is None
    assert small_legends_warning([], "embedded") is None


@pytest.mark.slow
def test_legends_of_24_px_survive_the_embedded_autoencoder() -> None:
    from diffusers import AutoencoderKL

    from skin_pipeline.base_models import EMBEDDED
    from skin_pipeline.evaluation.legend_floor import LEAST_LEGENDS
    from skin_pipeline.evaluation.legends import HEIGHT_BINS
    from skin_pipeline.recognition.recognizers import PaddleRecognizer
    from skin_pipeline.recognition.weights import embedded_weights
    from skin_pipeline.skins.drawn.legend_sheets import draw_legend_sheet

    sheets = [
        draw_legend_sheet(60_000 + seed, (512, 512), (6, 8), (24.0, 32.0), held_out=seed % 2 == 1)
        for seed in range(6)
    ]
    pictures = [LegendPicture(str(sheet.seed), sheet.picture, sheet.quads, sheet.texts) for sheet in sheets]
    autoencoder = AutoencoderKL.from_pretrained(EMBEDDED["embedded"] / "vae").eval()
    floor = measure_floor(pictures, autoencoder, PaddleRecognizer(embedded_weights()))
    seen = set()
    for script in ("Latin", "Chinese"):
        for height in HEIGHT_BINS[HEIGHT_BINS.index("24") :]:
            survival = floor.survival(script, height)
            if survival is not None and survival[1] >= LEAST_LEGENDS:
                assert survival[0] >= 0.95, (script, height, survival)
                seen.add(script)
    assert seen == {"Latin", "Chinese"}
