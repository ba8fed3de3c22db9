"""A lighter ControlNet: frozen weights, low-rank updates of its layers, and only its own layers in full.

Stability AI's Control-LoRA (2023): a ControlNet is a copy of the UNet's encoder that is trained further. Here
the copy is no copy, but the UNet's own weights W, and what is trained is B A (LoRA, Hu et al. 2021, section
4.1) for each of its linear and convolutional layers, beside the layers that the UNet does not have.
"""

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

NEW_LAYERS = "controlnet_"
"""Names of the layers that the UNet does not have begin so: the conditioning encoder and the outputs."""
_ADAPTER = "control"


def train_low_rank_updates(
    controlnet: ControlNetModel, rank: int, shared: UNet2DConditionModel | None
) -> None:
    """Freeze a ControlNet but for its new layers, and give the others low-rank updates, at first zero.

    Args:
        controlnet: Changed in place. The updates' initial weights come from torch's generator.
        rank: Of the updates; scale 1.
        shared: A UNet whose parameters become the ControlNet's, which then has no weights of its own for
            them; None: it keeps its own.
    """
    if shared is not None:
        _share_parameters(controlnet, shared)
    targets = [
        name
        for name, module in controlnet.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith(NEW_LAYERS)
    ]
    config = LoraConfig(
        r=rank, lora_alpha=rank, target_modules=targets, exclude_modules=rf"{NEW_LAYERS}.*", bias="none"
    )
    inject_adapter_in_model(config, controlnet, adapter_name=_ADAPTER)
    for name, parameter in controlnet.named_parameters():
        parameter.requires_grad_(name.startswith(NEW_LAYERS) or ".lora_" in name)


def _share_parameters(controlnet: ControlNetModel, unet: UNet2DConditionModel) -> None:
    """Replace a ControlNet's parameters by those of the same name in a UNet, where it has them."""
    names = [name for name, _ in controlnet.named_parameters() if not name.startswith(NEW_LAYERS)]
    for name in names:
        module, _, leaf = name.rpartition(".")
        setattr(controlnet.get_submodule(module), leaf, unet.get_parameter(name))


@torch.no_grad()
def as_plain_controlnet(controlnet: ControlNetModel) -> ControlNetModel:
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
        plain = ControlNetModel.from_config(controlnet.config)
    plain.load_state_dict({name: tensor.contiguous() for name, tensor in state.items()}, assign=True)
    return plain
