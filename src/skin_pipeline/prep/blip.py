"""BLIP captions (Li et al., 2022) through transformers, batched."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from skin_pipeline.base_models import resolve_weights
from skin_pipeline.errors import ConfigurationError
from skin_pipeline.schemas import Parameters

_OPTION = "captions.blip.model"


class BlipParameters(Parameters):
    """Which BLIP captions, and how it generates."""

    model: str = "Salesforce/blip-image-captioning-large"
    """A folder written by ``save_pretrained``, or a hub id."""

    conditional: bool = True
    """Whether BLIP goes on from the prefix. If not, it captions freely, and the prefix is put before that."""

    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision of the weights; float16 needs a GPU."""

    device: str = "auto"
    """``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:<n>``."""

    max_new_tokens: int = Field(default=40, ge=1, le=512)
    """Longest continuation, in tokens."""

    num_beams: int = Field(default=3, ge=1, le=32)
    """Beams of the search; 1 is greedy."""

    repetition_penalty: float = Field(default=1.5, ge=1, le=10)
    """Divides the probability of tokens already written; 1 is off. BLIP falls into repetition on artwork."""

    no_repeat_ngram_size: int = Field(default=3, ge=0)
    """Token sequences of this length occur only once; 0 is off."""


class BlipCaptioner:
    """A BLIP captioning model, ready to use."""

    def __init__(self, parameters: BlipParameters, prompt: str) -> None:
        """Load the model.

        Args:
            parameters: Which model, where it runs and how it generates.
            prompt: What a conditional caption begins with.

        Raises:
            MissingWeightsError: The model cannot be had.
            ConfigurationError: The device is not on this machine.
        """
        import torch
        from transformers import BlipForConditionalGeneration, BlipProcessor

        source = resolve_weights(parameters.model, _OPTION, "config.json")
        self._device = _choose_device(parameters.device)
        self._dtype = getattr(torch, parameters.dtype)
        self._processor = BlipProcessor.from_pretrained(source)
        model = BlipForConditionalGeneration.from_pretrained(source, dtype=self._dtype)
        self._model = model.to(self._device).eval()
        self._prompt = prompt if parameters.conditional else None
        self._settings = {
            "max_new_tokens": parameters.max_new_tokens,
            "num_beams": parameters.num_beams,
            "repetition_penalty": parameters.repetition_penalty,
            "no_repeat_ngram_size": parameters.no_repeat_ngram_size,
            "do_sample": False,
        }

    def caption(self, pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
        """Caption a batch.

        Args:
            pictures: RGB, (H, W, 3) each.

        Returns:
            One caption a picture; a conditional one begins with the prompt.
        """
        import torch

        prompts = {} if self._prompt is None else {"text": [self._prompt] * len(pictures)}
        inputs = self._processor(images=list(pictures), return_tensors="pt", **prompts)
        with torch.inference_mode():
            tokens = self._model.generate(**self._to_device(inputs), **self._settings)
        captions: list[str] = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return [caption.strip() for caption in captions]

    def _to_device(self, inputs: Any) -> dict[str, Any]:
        """Move tensors to the model's device, and pictures to its precision."""
        return {
            name: value.to(self._device, self._dtype) if value.is_floating_point() else value.to(self._device)
            for name, value in inputs.items()
        }


def _choose_device(name: str) -> Any:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigurationError(
            f"captions.blip.device is '{name}', but torch finds no GPU here. Use 'auto' or 'cpu'."
        )
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ConfigurationError(f"captions.blip.device: torch knows no device '{name}'.") from error


def weights_digest(model: str) -> str:
    """Return a sha256 that changes with the weights.

    Args:
        model: A folder, or a hub id.

    Returns:
        Over the files of a folder; over the id and the cached revision of a hub's model.
    """
    source = resolve_weights(model, _OPTION, "config.json")
    folder = Path(source)
    digest = hashlib.sha256()
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(source, "config.json")
        # The cache keeps a revision in snapshots/<commit>/.
        revision = Path(cached).parent.name if isinstance(cached, str) else "main"
        return hashlib.sha256(f"{source}@{revision}".encode()).hexdigest()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()
