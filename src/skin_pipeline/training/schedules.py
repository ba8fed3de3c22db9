"""The learning rate as a function of the step, so that there is no schedule to save. Loads no library."""

import math

from skin_pipeline.training.config import TrainParameters

FINAL_SHARE = 0.02
"""``flat_then_linear`` ends at this share of the highest learning rate."""


def learning_rate_share(parameters: TrainParameters, step: int) -> float:
    """Return the learning rate of a step as a share of the highest one.

    ``constant``, ``linear`` and ``cosine`` equal those of ``diffusers.optimization.get_scheduler``.

    Args:
        parameters: Says which course, its warm-up and the number of steps.
        step: Optimizer steps made before, from 0.

    Returns:
        0 to 1.
    """
    warmup, total = parameters.lr_warmup_steps, parameters.max_train_steps
    if step < warmup:
        return step / warmup
    done = (step - warmup) / max(1, total - warmup)
    match parameters.lr_scheduler:
        case "constant":
            return 1.0
        case "linear":
            return max(0.0, 1.0 - done)
        case "cosine":
            return max(0.0, 0.5 * (1.0 + math.cos(math.pi * done)))
        case "flat_then_linear":
            start = max(warmup, parameters.lr_decay_start * total)
            fallen = max(0.0, (step - start) / max(1.0, total - start))
            return max(FINAL_SHARE, 1.0 - fallen * (1.0 - FINAL_SHARE))
