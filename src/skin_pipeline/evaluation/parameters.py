"""What a user can choose about evaluating generated skins. Loads no deep-learning library."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from skin_pipeline.base_models import resolve_weights
from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.evaluation.features import FeatureKind
from skin_pipeline.evaluation.readers import ReaderName
from skin_pipeline.schemas import Parameters

Positive = Annotated[int, Field(ge=1)]


class EvaluationParameters(Parameters):
    """How generated skins are judged, and with which weights beyond the base model's."""

    tolerance_px: Annotated[int, Field(ge=0, le=16)] = 2
    """Distance at which two edge pixels match, besides 0."""
    reference: Literal["train", "validation"] = "train"
    """The real skins that distributions are compared with. Those whose conditioning images were used are
    left out, as their pictures are the baseline ``real``."""
    max_reference: Annotated[int, Field(ge=2)] = 2000
    """The most of those skins; chosen by their ids, so that they stay the same as far as they can."""
    autoencoder: bool = True
    """Whether to compare distributions in the latents of the base model's autoencoder, which needs no further
    weights and is no perceptual space."""
    clip: str | None = None
    """A CLIP model (folder or hub id) for the agreement with prompts, CMMD and further distances; null: they
    are left out. CMMD as published takes openai/clip-vit-large-patch14-336."""
    inception: Path | None = None
    """The TorchScript file inception-2015-12-05.pt for FID and KID as published; null: they are left out."""
    readers: tuple[ReaderName, ...] = ("ppocr", "tesseract")
    """What reads legends (see :mod:`skin_pipeline.evaluation.legends`); figures of two do not compare.
    ``ppocr`` also reads skins for training, and a text loss trains against it; ``tesseract`` is independent
    of all that, and left out where it is not installed."""
    max_floor: Annotated[int, Field(ge=0)] = 50
    """The most held-out skins whose legends are read before and after the base model's autoencoder, which
    tells what no training can beat; chosen by their ids. 0: it is not measured."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Share of the bootstrap's figures that an interval holds."""
    num_resamples: Annotated[int, Field(ge=100)] = 2000
    """How often the skins are redrawn for the mean of a metric."""
    num_set_resamples: Annotated[int, Field(ge=20)] = 200
    """How often for a figure of a whole set, such as a distance of distributions, which costs more."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the redrawing."""
    batch_size: Positive = 8
    """Pictures that a worker takes at a time."""
    num_workers: Positive = 1
    """Processes that measure, each with the models loaded."""
    num_threads: Positive | None = None
    """Processor threads of each; null: PyTorch's own choice."""

    def feature_weights(self, base_model: str) -> dict[FeatureKind, str]:
        """Return what each kind of features in use is loaded from."""
        given: dict[FeatureKind, str | None] = {
            "autoencoder": base_model if self.autoencoder else None,
            "clip": self.clip,
            "inception": None if self.inception is None else str(self.inception),
        }
        return {kind: weights for kind, weights in given.items() if weights is not None}

    def scoring(self) -> dict[str, Any]:
        """Return those parameters that change what is measured on one picture; JSON."""
        return self.model_dump(mode="json", include={"tolerance_px"})

    def preflight(self) -> None:
        """Check that the weights named here are to be had.

        Raises:
            MissingWeightsError: They are not.
        """
        if self.clip is not None:
            resolve_weights(self.clip, "evaluation.clip", "config.json")
        if self.inception is not None and not self.inception.is_file():
            raise MissingWeightsError(
                f"evaluation.inception: there is no file '{self.inception}'. Check it, or set it to null."
            )
