from pathlib import Path

import pytest
import torch
from diffusers.training_utils import compute_snr

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.objective import LossWeights, squared_errors
from skin_pipeline.training.sdxl import SDXLFamily
from tests.tiny_models import save_tiny_pipeline


@pytest.fixture(scope="session")
def epsilon_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_pipeline(tmp_path_factory.mktemp("models") / "epsilon", "epsilon")


def _load(folder: Path, **settings: object) -> tuple[SDXLFamily, TrainParameters]:
    p = TrainParameters(model_base=str(folder), conditioning_embedding_out_channels=(8, 8, 8, 16), **settings)
    return SDXLFamily(p), p


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_min_snr_is_the_examples(prediction_type: str, tiny_pipeline: Path, epsilon_pipeline: Path) -> None:
    folder = epsilon_pipeline if prediction_type == "epsilon" else tiny_pipeline
    backend, p = _load(folder, loss_weighting="min_snr", snr_gamma=5.0)
    assert backend.prediction_type == prediction_type
    timesteps = torch.arange(0, 999)
    snr = compute_snr(backend.scheduler, timesteps)
    expected = torch.stack([snr, 5.0 * torch.ones_like(snr)], dim=1).min(dim=1)[0]
    expected = expected / snr if prediction_type == "epsilon" else expected / (snr + 1)
    torch.testing.assert_close(LossWeights(backend, p)(timesteps), expected, rtol=1e-4, atol=1e-6)


def test_x0_weights_make_the_velocitys_error_the_pictures(tiny_pipeline: Path) -> None:
    backend, p = _load(tiny_pipeline, loss_weighting="x0")
    weights = LossWeights(backend, p)(torch.arange(1000))
    assert weights.mean().item() == pytest.approx(1, abs=1e-5)
    timestep = torch.tensor([400])
    abar = backend.scheduler.alphas_cumprod[timestep].view(-1, 1, 1, 1)
    noisy, v, predicted_v = torch.randn(3, 1, 4, 8, 8).unbind()

    def picture(velocity: torch.Tensor) -> torch.Tensor:
        return abar.sqrt() * noisy - (1 - abar).sqrt() * velocity

    ratio = squared_errors(picture(predicted_v), picture(v)) / squared_errors(predicted_v, v)
    mean_share = (1 - backend.scheduler.alphas_cumprod).mean()
    torch.testing.assert_close(weights[timestep], ratio / mean_share, rtol=1e-4, atol=1e-5)


def test_no_weighting_is_one_everywhere(tiny_pipeline: Path) -> None:
    backend, p = _load(tiny_pipeline, loss_weighting="none")
    assert torch.equal(LossWeights(backend, p)(torch.arange(1000)), torch.ones(1000))


def test_x0_is_refused_for_noise_prediction(epsilon_pipeline: Path) -> None:
    backend, p = _load(epsilon_pipeline, loss_weighting="x0")
    with pytest.raises(ConfigurationError, match=r"predicts epsilon\. Choose min_snr or none"):
        LossWeights(backend, p)


def test_errors_are_means_of_each_picture() -> None:
    prediction = torch.zeros(2, 1, 2, 2)
    target = torch.tensor([[[[1.0, 1.0], [1.0, 1.0]]], [[[2.0, 0.0], [0.0, 0.0]]]])
    assert squared_errors(prediction, target).tolist() == [1.0, 1.0]
