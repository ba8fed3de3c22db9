"""Nodes of the base model's recipe. Each returns a plan; the folder's dataset carries it out."""

import json
from pathlib import Path

from skin_pipeline.embedded.parameters import BaseModelParameters
from skin_pipeline.items import Folder, FolderPlan, json_digest
from skin_pipeline.schemas import Parameters


def draw_base_skins(base_model: BaseModelParameters) -> FolderPlan:
    """Draw the skins that the model learns from."""
    parameters = base_model.drawings

    def write(folder: Path) -> None:
        from skin_pipeline.embedded.drawings import draw_training_skins

        draw_training_skins(parameters, folder)

    return FolderPlan(write, _key("drawings", parameters))


def fit_base_encoder(base_drawings: Folder, base_model: BaseModelParameters) -> FolderPlan:
    """Put the autoencoder's encoder in place, in closed form."""
    parameters = base_model.autoencoder

    def write(folder: Path) -> None:
        from skin_pipeline.embedded.autoencoder import make_encoder

        make_encoder(base_drawings.path, parameters, folder)

    return FolderPlan(write, _key("encoder", parameters, base_drawings))


def train_base_decoder(
    base_drawings: Folder, base_encoder: Folder, base_model: BaseModelParameters
) -> FolderPlan:
    """Train the autoencoder's decoder; its fidelity is written beside the weights."""
    parameters = base_model.autoencoder
    key = _key("decoder", parameters, base_drawings, base_encoder)

    def write(folder: Path) -> None:
        from skin_pipeline.embedded.autoencoder import train_decoder

        work = Path(base_model.work_folder) / key[:16]
        fidelity = train_decoder(base_drawings.path, base_encoder.path, parameters, work, folder)
        (folder / "fidelity.json").write_text(json.dumps(fidelity, indent=2) + "\n", encoding="utf-8")

    return FolderPlan(write, key)


def train_base_denoiser(
    base_drawings: Folder, base_encoder: Folder, base_model: BaseModelParameters
) -> FolderPlan:
    """Train UNet, text encoders and ControlNet together."""
    parameters = base_model.denoiser
    key = _key("denoiser", parameters, base_drawings, base_encoder)

    def write(folder: Path) -> None:
        from skin_pipeline.embedded.denoiser import train_denoiser

        work = Path(base_model.work_folder) / key[:16]
        train_denoiser(base_drawings.path, base_encoder.path, parameters, work, folder)

    return FolderPlan(write, key)


def assemble_base_model(base_autoencoder: Folder, base_denoiser: Folder) -> FolderPlan:
    """Put all parts together in half precision, as the package ships them."""

    def write(folder: Path) -> None:
        from skin_pipeline.embedded.assembly import assemble

        assemble(base_autoencoder.path, base_denoiser.path, folder)

    return FolderPlan(write, json_digest(["base_model", base_autoencoder.digest, base_denoiser.digest]))


def _key(stage: str, parameters: Parameters, *sources: Folder) -> str:
    """Digest of what a folder is made from."""
    return json_digest([stage, parameters.model_dump(mode="json"), *(source.digest for source in sources)])
