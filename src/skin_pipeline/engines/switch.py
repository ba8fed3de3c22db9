"""From the configuration to the engine."""

from skin_pipeline.engines.batches import Engine
from skin_pipeline.engines.local import LocalEngine
from skin_pipeline.engines.parameters import EngineParameters


def make_engine(parameters: EngineParameters) -> Engine:
    """Return the engine that is configured; Ray is not loaded before it has something to do.

    Args:
        parameters: Which, and how.
    """
    if parameters.kind == "local":
        return LocalEngine()
    from skin_pipeline.engines.ray import RayEngine

    return RayEngine(parameters.ray)
