"""Features of pictures: vectors in which distances mean something to eyes or to words.

No weights come with the project for this, so where they are not given the metrics that need them are left
out. Three sources, none of which is downloaded here:

* ``autoencoder``: the base model's own autoencoder, always at hand. The latents' mean on a grid of 8 x 8
  cells: coarse colours and shapes as this base model encodes them. Not perceptual, and comparable only
  between pictures judged with the same base model.
* ``clip``: image embeddings of a CLIP model (a folder or a hub id), of length 1; prompts are embedded too.
* ``inception``: the Inception-v3 of the original FID as a TorchScript file (``inception-2015-12-05.pt``),
  with the resizing of clean-fid (Parmar et al. 2022), so that figures compare with the literature.

Loads no deep-learning library until an extractor is made. Shapes: N pictures, H W pixels, D features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from skin_pipeline.base_models import resolve_base_model, resolve_weights
from skin_pipeline.errors import MissingWeightsError

if TYPE_CHECKING:
    import torch

Picture = npt.NDArray[np.uint8]
FeatureKind = Literal["autoencoder", "clip", "inception"]
Vectors = npt.NDArray[np.float32]

GRID_SIDE = 8
INCEPTION_SIDE_PX = 299


class Extractor(Protocol):
    """Turns pictures into features, each one by itself, so that batches change nothing."""

    def pictures(self, pictures: Sequence[Picture]) -> Vectors:
        """Return (N, D) of pictures (H, W, 3) uint8 RGB."""


class AutoencoderFeatures:
    """Latents of a base model's autoencoder on a coarse grid."""

    def __init__(self, base_model: str) -> None:
        """Load the autoencoder.

        Args:
            base_model: ``embedded``, a folder or a hub id.
        """
        self._model = load_autoencoder(base_model)
        self._multiple_px = 2 ** (len(self._model.config.block_out_channels) - 1)

    def pictures(self, pictures: Sequence[Picture]) -> Vectors:
        """Return (N, channels * 64) of pictures, whose sides are cut to what the autoencoder can encode."""
        return np.stack([self._one(picture) for picture in pictures])

    def _one(self, picture: Picture) -> Vectors:
        import torch

        height, width = (side // self._multiple_px * self._multiple_px for side in picture.shape[:2])
        pixels = torch.from_numpy(picture[:height, :width].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            latents = self._model.encode(pixels.to(self._model.device)).latent_dist.mean
            grid = torch.nn.functional.adaptive_avg_pool2d(latents, GRID_SIDE)
        return np.asarray(grid.flatten().cpu().numpy(), dtype=np.float32)


class ClipFeatures:
    """Image and text embeddings of a CLIP model, of length 1."""

    def __init__(self, weights: str) -> None:
        """Load the model and its tokenizer.

        Args:
            weights: A folder written by ``save_pretrained`` or a hub id, safetensors only.
        """
        from transformers import AutoTokenizer, CLIPModel
        from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        location = resolve_weights(weights, "evaluation.clip", "config.json")
        self._model = CLIPModel.from_pretrained(location, use_safetensors=True).eval().to(best_device())
        self._tokenizer = AutoTokenizer.from_pretrained(location)
        self._mean, self._std = OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    def pictures(self, pictures: Sequence[Picture]) -> Vectors:
        """Return the embeddings of pictures, each stretched as a whole to the model's square, (N, D)."""
        import torch

        side = self._model.config.vision_config.image_size
        return self._embed(
            [torch.from_numpy(resized_bicubic(picture, side)) for picture in pictures],
            lambda pixels: self._model.visual_projection(
                self._model.vision_model(pixel_values=self._normalised(pixels)).pooler_output
            ),
        )

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Return the embeddings of texts, cut at what the model reads, (N, D)."""
        tokens = [
            self._tokenizer(
                text,
                truncation=True,
                max_length=self._model.config.text_config.max_position_embeddings,
                return_tensors="pt",
            ).input_ids[0]
            for text in texts
        ]
        return self._embed(
            tokens,
            lambda ids: self._model.text_projection(self._model.text_model(input_ids=ids).pooler_output),
        )

    def _normalised(self, pixels: torch.Tensor) -> torch.Tensor:
        """Turn pictures (1, H, W, 3) of 0 to 255 into the model's input (1, 3, H, W)."""
        import torch

        mean, std = (torch.tensor(values, device=pixels.device) for values in (self._mean, self._std))
        scaled = (pixels / 255 - mean) / std
        return scaled.permute(0, 3, 1, 2)

    def _embed(
        self, inputs: Sequence[torch.Tensor], embed: Callable[[torch.Tensor], torch.Tensor]
    ) -> Vectors:
        import torch

        with torch.inference_mode():
            vectors = torch.cat([embed(one[None].to(self._model.device)) for one in inputs]).cpu()
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        return np.asarray(vectors.numpy(), dtype=np.float32)


class InceptionFeatures:
    """The 2048 features of the original FID's network."""

    def __init__(self, file: Path) -> None:
        """Load the network.

        Args:
            file: ``inception-2015-12-05.pt``, as StyleGAN2-ADA and clean-fid use it.
        """
        import torch

        if not file.is_file():
            raise MissingWeightsError(
                f"evaluation.inception: there is no file '{file}'. Give the TorchScript file"
                " inception-2015-12-05.pt, or null to leave out the metrics that need it."
            )
        with warnings.catch_warnings():
            # TorchScript is no longer developed, but the network of the published figures is nothing else
            warnings.simplefilter("ignore", DeprecationWarning)
            self._layers = torch.jit.load(str(file), map_location=best_device()).eval().layers
        self._device = best_device()

    def pictures(self, pictures: Sequence[Picture]) -> Vectors:
        """Return (N, 2048) of pictures."""
        return np.stack([self._one(picture) for picture in pictures])

    def _one(self, picture: Picture) -> Vectors:
        import torch

        pixels = torch.from_numpy(resized_bicubic(picture, INCEPTION_SIDE_PX)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            found = self._layers(((pixels - 128) / 128).to(self._device))
        return np.asarray(found.flatten().cpu().numpy(), dtype=np.float32)


def best_device() -> str:
    """Return where features are computed: on a GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def resized_bicubic(picture: Picture, side_px: int) -> npt.NDArray[np.float32]:
    """Stretch a picture to a square without aliasing and without rounding, as clean-fid does.

    Args:
        picture: (H, W, 3) uint8.
        side_px: Side of the square.

    Returns:
        (side, side, 3), from 0 to 255.
    """
    channels = [
        Image.fromarray(channel.astype(np.float32)).resize((side_px, side_px), Image.Resampling.BICUBIC)
        for channel in np.moveaxis(picture, 2, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=2).clip(0, 255)


def clip_scores(pictures: Vectors, texts: Vectors) -> npt.NDArray[np.float64]:
    """Return the agreement of pictures with their texts (Hessel et al. 2021, as torchmetrics scales it).

    Args:
        pictures: Embeddings (N, D).
        texts: Embeddings of their texts, (N, D).

    Returns:
        (N,): 100 times the cosine, at least 0; about 20 to 35 for pictures that agree, with OpenAI's models.
    """
    cosines = (pictures.astype(np.float64) * texts.astype(np.float64)).sum(axis=1)
    lengths = np.linalg.norm(pictures, axis=1) * np.linalg.norm(texts, axis=1)
    scores: npt.NDArray[np.float64] = np.maximum(100.0 * cosines / lengths, 0.0)
    return scores


@cache
def load_autoencoder(base_model: str) -> Any:
    """Return a base model's autoencoder, in fp32; each process loads it once.

    Args:
        base_model: ``embedded``, a folder or a hub id.

    Raises:
        MissingWeightsError: It is not there.
    """
    from diffusers import AutoencoderKL

    location = resolve_base_model(base_model, "evaluation.features")
    model = AutoencoderKL.from_pretrained(location, subfolder="vae", use_safetensors=True)
    return model.eval().to(best_device())


@cache
def load_extractor(kind: FeatureKind, weights: str) -> Any:
    """Return an extractor; each process loads it once.

    Args:
        kind: Which.
        weights: What it is loaded from: a base model, a CLIP model, a TorchScript file.

    Raises:
        MissingWeightsError: They are not there.
    """
    makers: Mapping[str, Callable[[str], Any]] = {
        "autoencoder": AutoencoderFeatures,
        "clip": ClipFeatures,
        "inception": lambda file: InceptionFeatures(Path(file)),
    }
    return makers[kind](weights)
