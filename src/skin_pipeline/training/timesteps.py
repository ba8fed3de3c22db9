"""At which timesteps pictures are trained. Loads no torch."""

import math
from statistics import NormalDist

from skin_pipeline.training.config import TrainParameters

_SMALLEST = 2.0**-53
"""The inverse of a normal distribution is for shares above 0; of those drawn, this is the least after it."""


def timestep_at(share: float, parameters: TrainParameters, num_timesteps: int) -> int:
    """Return the timestep below which a share of all turns lies.

    ``uniform``: that share of the schedule. ``logit_normal`` (Esser et al. 2024, section 3.1): with u from
    the inverse normal distribution function at ``share``, sigmoid(mean + std u) of the schedule. Equal
    stretches of shares are equally likely either way, so turns can be stratified.

    Args:
        share: In [0, 1).
        parameters: ``timestep_density`` and, for ``logit_normal``, its mean and standard deviation.
        num_timesteps: Length of the noise schedule, whose timestep 0 has the least noise.
    """
    if parameters.timestep_density == "logit_normal":
        normal = NormalDist(parameters.logit_mean, parameters.logit_std)
        share = 1 / (1 + math.exp(-normal.inv_cdf(max(share, _SMALLEST))))
    return min(int(share * num_timesteps), num_timesteps - 1)
