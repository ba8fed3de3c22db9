"""The optimizer: in full precision, with its state in 8 bits, or with its state shared out."""

from typing import Any

import torch
from torch import distributed

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.training.config import TrainParameters


def make_optimizer(
    groups: list[dict[str, Any]], parameters: TrainParameters, device: torch.device
) -> torch.optim.Optimizer:
    """Return AdamW (Loshchilov and Hutter 2019) over parameter groups.

    Args:
        groups: Parameters with, perhaps, settings of their own.
        parameters: Learning rate, decays, epsilon, and which form.
        device: Where the parameters are; on a GPU one kernel updates all of them.

    Raises:
        ConfigurationError: The 8-bit form is wanted, and bitsandbytes cannot be loaded.
    """
    settings: dict[str, Any] = {
        "lr": parameters.learning_rate,
        "betas": (parameters.adam_beta1, parameters.adam_beta2),
        "weight_decay": parameters.adam_weight_decay,
        "eps": parameters.adam_epsilon,
    }
    if parameters.optimizer == "adamw_sharded" and distributed.is_initialized():
        from skin_pipeline.training.sharded_optimizer import ShardedAdamW

        return ShardedAdamW(groups, torch.optim.AdamW, fused=device.type == "cuda", **settings)
    if parameters.optimizer != "adamw_8bit":
        return torch.optim.AdamW(groups, fused=device.type == "cuda", **settings)
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as exc:
        raise ConfigurationError(
            f"train.optimizer adamw_8bit needs bitsandbytes, which cannot be loaded: {exc}. Run `pip install"
            " 'skin_pipeline[8bit]'`, or set train.optimizer to adamw."
        ) from exc
    optimizer: torch.optim.Optimizer = AdamW8bit(groups, **settings)
    return optimizer
