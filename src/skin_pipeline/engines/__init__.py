"""Who carries out a plan: processes of this machine, or the nodes of a Ray cluster.

Whichever it is, the same workers make the same batches of the same tasks, and this process stores the
results; so the engine is part of no item's key, and changing it makes nothing anew.
"""

from skin_pipeline.engines.batches import Engine, Made, OnResult
from skin_pipeline.engines.local import LocalEngine
from skin_pipeline.engines.parameters import EngineParameters, RayParameters, read_engine
from skin_pipeline.engines.switch import make_engine

__all__ = [
    "Engine",
    "EngineParameters",
    "LocalEngine",
    "Made",
    "OnResult",
    "RayParameters",
    "make_engine",
    "read_engine",
]
