"""The parts of the embedded model: SDXL's classes, small.

Every part is a stock class of diffusers or transformers, built from a configuration, so that the folder that
results is loaded, trained and sampled by exactly the code that serves SDXL.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise

import torch
from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
END_OF_WORD = "</w>"
MAX_TOKENS = 77
PROJECTION_DIM = 64
TIME_ID_DIM = 16
HINT_CHANNELS = (8, 16, 64, 128)
"""Channels of the ControlNet's conditioning encoder, which goes from pixels to latent cells."""


def build_tokenizer(corpus: Iterable[str], vocabulary_size: int) -> CLIPTokenizer:
    """Train a byte-level BPE tokenizer in CLIP's form on ``corpus``; no string is unknown to it.

    Chinese has no spaces, so plain BPE would learn whole phrases of the corpus as tokens; here its merges end
    at characters. Training is our own because it must give the same tokenizer each time.

    Args:
        corpus: Captions in English and Chinese.
        vocabulary_size: Upper bound on the tokens of the English part.
    """
    clip = CLIPTokenizer()._tokenizer
    words: Counter[str] = Counter()
    characters: set[str] = set()
    for text in corpus:
        normalised = clip.normalizer.normalize_str(text)
        characters.update(character for character in normalised if not character.isascii())
        words.update(word for word, _ in clip.pre_tokenizer.pre_tokenize_str(normalised) if word.isascii())
    alphabet = sorted(ByteLevel.alphabet())
    tokens = [BOS, EOS, *alphabet, *(byte + END_OF_WORD for byte in alphabet)]
    merges = _character_merges(sorted(characters))
    merges += _word_merges(words, vocabulary_size - len(tokens))
    tokens += dict.fromkeys(first + second for first, second in merges)
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS, pad_token=EOS)


def _character_merges(characters: Iterable[str]) -> list[tuple[str, str]]:
    """Merge the bytes of each character, in the middle and at the end of a word."""
    merges: dict[tuple[str, str], None] = {}
    to_symbols = ByteLevel(add_prefix_space=False, use_regex=False)
    for character in characters:
        symbols = to_symbols.pre_tokenize_str(character)[0][0]
        for ending in ("", END_OF_WORD):
            parts = [*symbols[:-1], symbols[-1] + ending]
            while len(parts) > 1:
                merges[parts[0], parts[1]] = None
                parts[:2] = [parts[0] + parts[1]]
    return list(merges)


def _word_merges(words: Mapping[str, int], count: int) -> list[tuple[str, str]]:
    """Byte-pair encoding (Sennrich et al. 2016); ties go to the pair that sorts first."""
    splits = {word: [*word[:-1], word[-1] + END_OF_WORD] for word in words}
    merges: list[tuple[str, str]] = []
    while len(merges) < count:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in splits.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        splits = {word: _merge(parts, best) for word, parts in splits.items()}
    return merges


def _merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def build_text_encoders(
    vocabulary_size: int, hidden_sizes: tuple[int, int]
) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Build the two text encoders. The end token's id is 1: id 2 would mean CLIP's legacy pooling."""

    def config(hidden_size: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=vocabulary_size,
            hidden_size=hidden_size,
            intermediate_size=2 * hidden_size,
            num_hidden_layers=2,
            num_attention_heads=max(1, hidden_size // 32),
            max_position_embeddings=MAX_TOKENS,
            projection_dim=PROJECTION_DIM,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
            hidden_act="gelu",
        )

    return CLIPTextModel(config(hidden_sizes[0])), CLIPTextModelWithProjection(config(hidden_sizes[1]))


def build_autoencoder(
    block_out_channels: tuple[int, ...], latent_channels: int, sample_size_px: int
) -> AutoencoderKL:
    """Build an AutoencoderKL that downsamples by 8, normalises in one group and has no attention."""
    levels = len(block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=block_out_channels,
        latent_channels=latent_channels,
        norm_num_groups=1,  # small groups would remove a picture's absolute colour
        sample_size=sample_size_px,
        mid_block_add_attention=False,
        use_quant_conv=False,
        use_post_quant_conv=False,
        force_upcast=False,
    )


def build_unet(
    block_out_channels: tuple[int, ...], latent_channels: int, cross_attention_dim: int, sample_size: int
) -> UNet2DConditionModel:
    """Build a UNet with SDXL's added conditions; attention on all levels but the finest."""
    levels = len(block_out_channels)
    return UNet2DConditionModel(
        sample_size=sample_size,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * (levels - 1)),
        up_block_types=(*("CrossAttnUpBlock2D",) * (levels - 1), "UpBlock2D"),
        block_out_channels=block_out_channels,
        layers_per_block=1,
        attention_head_dim=tuple(max(1, channels // 32) for channels in block_out_channels),
        norm_num_groups=8,
        transformer_layers_per_block=1,
        cross_attention_dim=cross_attention_dim,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_DIM,
        projection_class_embeddings_input_dim=PROJECTION_DIM + 6 * TIME_ID_DIM,
    )


def build_controlnet(unet: UNet2DConditionModel) -> ControlNetModel:
    """Build a ControlNet from ``unet`` that learns from the first step on.

    Two zero gates in series (the hint encoder's last convolution and the output convolutions) multiply, which
    is why a ControlNet is silent for thousands of steps. Here the hint encoder starts at full gain and the
    outputs at half the identity, as both parts are trained together.
    """
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=HINT_CHANNELS)
    for module in controlnet.controlnet_cond_embedding.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    controlnet.controlnet_cond_embedding.to(memory_format=torch.channels_last)  # halves its time on a CPU
    with torch.no_grad():
        for conv in [*controlnet.controlnet_down_blocks, controlnet.controlnet_mid_block]:
            conv.weight.copy_(0.5 * torch.eye(conv.weight.shape[0])[:, :, None, None])
    return controlnet


def build_scheduler() -> DDPMScheduler:
    """Build the noise schedule: SDXL's betas, v-prediction, zero terminal SNR (Lin et al. 2024)."""
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )
