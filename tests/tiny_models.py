"""Small pipeline folders with random weights, SDXL's and SD3's, and a training set that fits them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionXLPipeline,
)
from PIL import Image
from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from skin_pipeline.embedded.architecture import (
    build_autoencoder,
    build_scheduler,
    build_text_encoders,
    build_tokenizer,
    build_unet,
)

LATENT_CHANNELS = 4
SD3_LATENT_CHANNELS = 16
CAPTIONS = ("a keyboard skin of pink keys", "a keyboard skin of blue keys", '粉色键盘, writing "空格"')


def save_tiny_pipeline(folder: Path, prediction_type: str = "v_prediction", seed: int = 0) -> Path:
    """Save a random pipeline of SDXL's classes: two UNet levels of 32 and 64 channels, f = 8."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(CAPTIONS * 4, 600)
    text_encoder, text_encoder_2 = build_text_encoders(len(tokenizer), (32, 64))
    scheduler = build_scheduler()
    if prediction_type == "epsilon":  # SDXL's own schedule, which ends above zero signal
        scheduler = DDPMScheduler.from_config(
            scheduler.config,
            prediction_type="epsilon",
            rescale_betas_zero_snr=False,
            timestep_spacing="leading",
        )
    pipeline = StableDiffusionXLPipeline(
        vae=build_autoencoder((8, 16, 16, 16), LATENT_CHANNELS, 64),
        text_encoder=text_encoder,
        text_encoder_2=text_encoder_2,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=build_unet((32, 64), LATENT_CHANNELS, 96, 8),
        scheduler=scheduler,
        force_zeros_for_empty_prompt=prediction_type == "epsilon",
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def save_tiny_sd3(folder: Path, has_t5: bool = True, seed: int = 0, **transformer_config: Any) -> Path:
    """Save a random pipeline of SD3's classes: four blocks of two heads, f = 8, patches of 2."""
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(CAPTIONS * 4, 600)
    first, text_encoder_2 = build_text_encoders(len(tokenizer), (32, 64))
    vae = build_autoencoder((8, 16, 16, 16), SD3_LATENT_CHANNELS, 64)
    vae.register_to_config(scaling_factor=1.5305, shift_factor=0.0609)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        num_layers=4,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=128,
        caption_projection_dim=32,
        pooled_projection_dim=2 * first.config.projection_dim,
        pos_embed_max_size=12,
        **transformer_config,
    )
    torch.nn.init.normal_(transformer.proj_out.weight, std=0.1)
    t5_tokenizer = T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((chr(c), -3.0) for c in range(33, 127))],
        extra_ids=0,
        model_max_length=256,
    )
    t5 = T5Config(vocab_size=len(t5_tokenizer), d_model=128, d_kv=16, d_ff=64, num_layers=1, num_heads=2)
    pipeline = StableDiffusion3Pipeline(
        vae=vae,
        text_encoder=CLIPTextModelWithProjection(first.config),
        text_encoder_2=text_encoder_2,
        text_encoder_3=T5EncoderModel(t5) if has_t5 else None,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=t5_tokenizer if has_t5 else None,
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
    )
    pipeline.save_pretrained(folder)
    return folder


def save_training_set(
    folder: Path,
    num_train: int = 7,
    num_validation: int = 3,
    size_px: int = 64,
    sizes_px: Sequence[tuple[int, int]] = (),
) -> Path:
    """Save a training set of coloured noise in the published form; ``sizes_px``, if any, take turns."""
    rng = np.random.default_rng(0)
    for part in ("images", "conditioning_images"):
        (folder / part).mkdir(parents=True)
    sizes = sizes_px or [(size_px, size_px)]
    rows = [
        _save_pair(folder, f"demo__skin_{i:04d}", i, rng, sizes[i % len(sizes)])
        for i in range(num_train + num_validation)
    ]
    for split, some in (("train", rows[:num_train]), ("validation", rows[num_train:])):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")
    return folder


def _save_pair(
    folder: Path, name: str, number: int, rng: np.random.Generator, size: tuple[int, int]
) -> dict[str, object]:
    for part in ("images", "conditioning_images"):
        shape = (-(-size[1] // 8), -(-size[0] // 8), 3)
        pixels = rng.integers(0, 256, shape, dtype=np.uint8).repeat(8, 0).repeat(8, 1)[: size[1], : size[0]]
        Image.fromarray(pixels).save(folder / part / f"{name}.png")
    return {
        "text": CAPTIONS[number % len(CAPTIONS)],
        "image": f"images/{name}.png",
        "conditioning_image": f"conditioning_images/{name}.png",
        "box": [[[4.0, 4.0], [20.0, 4.0], [20.0, 12.0], [4.0, 12.0]]],
        "skin": name.replace("__", "/"),
        "conditioning": "per_skin",
    }
