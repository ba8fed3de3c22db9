"""Which family of models a run trains for: told by its base model."""

from importlib import import_module
from typing import Any

from skin_pipeline.base_models import check_controlnet_fits, family_of, resolve_base_model, resolve_controlnet
from skin_pipeline.training.backend import ModelFamily
from skin_pipeline.training.config import TrainParameters


def load_family(parameters: TrainParameters) -> ModelFamily:
    """Load a base model and make or load its ControlNet.

    Raises:
        ConfigurationError: The base model is of no known family, or what else is asked for does not fit it.
        MissingWeightsError: The base model's or the ControlNet's files are not there.
    """
    family: ModelFamily = family_module(parameters).load_family(parameters)
    return family


def family_module(parameters: TrainParameters) -> Any:
    """Return the module that trains for a base model, having checked that ``controlnet_init`` fits it.

    Raises:
        ConfigurationError: The base model is of no known family, or the ControlNet is of another one.
        MissingWeightsError: The base model's or the ControlNet's files are not there.
    """
    location = resolve_base_model(parameters.model_base, "train.model_base")
    if parameters.controlnet_init is not None:
        controlnet = resolve_controlnet(parameters.controlnet_init, "train.controlnet_init")
        check_controlnet_fits(controlnet, "train.controlnet_init", location, "train.model_base")
    return import_module(f"skin_pipeline.training.{family_of(location, 'train.model_base').name}")
