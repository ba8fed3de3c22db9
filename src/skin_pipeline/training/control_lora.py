"""A lighter ControlNet: frozen weights, low-rank updates of its layers, and only its own layers in full.

Stability AI's Control-LoRA (2023): a ControlNet is a copy of the base's first layers (a UNet's encoder, a
transformer's first blocks) that is trained further. Here the copy is no copy, but the base's own weights W,
and what is trained is B A (LoRA, Hu et al. 2021, section 4.1) for each of its linear and convolutional
layers, beside the layers that the base does not have.
"""

import re
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

_ADAPTER = "control"


def train_low_rank_updates(
    controlnet: nn.Module, rank: int, shared: nn.Module | None, new_layers: tuple[str, ...]
) -> None:
    """Freeze a ControlNet but for its new layers, and give the others low-rank updates, at first zero.

    Args:
        controlnet: Changed in place. The updates' initial weights come from torch's generator.
        rank: Of the updates; scale 1.
        shared: A denoiser whose parameters become the ControlNet's, which then has no weights of its own for
            them; None: it keeps its own.
        new_layers: How the names begin of the layers that the denoiser does not have.
    """
    if shared is not None:
        _share_parameters(controlnet, shared, new_layers)
    targets = [
        name
        for name, module in controlnet.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith(new_layers)
    ]
    others = "|".join(map(re.escape, new_layers))
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=targets, exclude_modules=rf"({others}).*", bias="none"
    )
    inject_adapter_in_model(config, controlnet, adapter_name=_ADAPTER)
    for name, parameter in controlnet.named_parameters():
        parameter.requires_grad_(name.startswith(new_layers) or ".lora_" in name)


def _share_parameters(controlnet: nn.Module, denoiser: nn.Module, new_layers: tuple[str, ...]) -> None:
    """Replace a ControlNet's parameters by those of the same name in a denoiser, but for its new layers."""
    names = [name for name, _ in controlnet.named_parameters() if not name.startswith(new_layers)]
    for name in names:
        module, _, leaf = name.rpartition(".")
        setattr(controlnet.get_submodule(module), leaf, denoiser.get_parameter(name))


@torch.no_grad()
def as_plain_controlnet(controlnet: Any) -> Any:
    """Return a ControlNet without low-rank updates that computes the same; itself if it has none.

    It is made in the processor's memory, in fp32: a card that is too small for all weights stays so.
    """
    updates = {
        f"{name}.weight": module.get_delta_weight(_ADAPTER).cpu()
        for name, module in controlnet.named_modules()
        if _ADAPTER in getattr(module, "lora_A", {})
    }
    if not updates:
        return controlnet
    state = {
        name.replace(".base_layer.", "."): tensor.cpu().float()
        for name, tensor in controlnet.state_dict().items()
        if ".lora_" not in name
    }
    for name, update in updates.items():
        state[name] = state[name] + update
    with torch.device("meta"):
        plain = type(controlnet).from_config(controlnet.config)
    plain.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, assign=True)
    return plain
