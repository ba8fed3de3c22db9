"""At which timesteps pictures are trained: whole schedules, densities, and their ends."""

import numpy as np
import pytest
import torch

from skin_pipeline.training.config import TrainParameters
from skin_pipeline.training.timesteps import timestep_at

SHARES = (np.arange(20000) + 0.5) / 20000


def _timesteps(**settings: object) -> np.ndarray:
    p = TrainParameters(**settings)
    return np.array([timestep_at(share, p, 1000) for share in SHARES])


def test_uniform_is_the_share_of_the_schedule() -> None:
    assert np.array_equal(_timesteps(), (SHARES * 1000).astype(int))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.8, 0.5)])
def test_logit_normal_is_the_sigmoid_of_a_normal(mean: float, std: float) -> None:
    found = _timesteps(timestep_density="logit_normal", logit_mean=mean, logit_std=std)
    normal = torch.special.ndtri(torch.from_numpy(SHARES)) * std + mean
    assert np.abs(found - (torch.sigmoid(normal) * 1000).floor().numpy()).max() <= 1
    assert found[len(found) // 2] == pytest.approx(1000 / (1 + np.exp(-mean)), abs=1)


def test_ends_are_places_of_the_schedule() -> None:
    p = TrainParameters(timestep_density="logit_normal", logit_std=5.0)
    assert timestep_at(0.0, p, 1000) == 0
    assert timestep_at(1 - 2**-53, p, 1000) == 999
