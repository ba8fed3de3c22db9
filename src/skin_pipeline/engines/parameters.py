"""The engine's configuration: ``engine`` in ``conf/<env>/globals.yml``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.schemas import Parameters


class WorkerResources(Parameters):
    """What of a cluster one worker of a stage takes."""

    num_cpus: Annotated[float, Field(ge=0)] = 1
    """Processors."""
    num_gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs; a fraction lets several workers share one, whose memory they must then share, too."""


class RayParameters(Parameters):
    """How plans are carried out by Ray; read when ``engine.kind`` is ``ray``."""

    address: Annotated[str, Field(pattern=r"^(local|auto|[^:/]+:\d+)$")] | None = None
    """``local``: a cluster of this machine alone, which begins and ends with the run; ``host:port`` of a
    running cluster that this machine is a node of; ``auto``: the one that runs on this machine. None: what
    RAY_ADDRESS says, or else ``local``."""
    worker: WorkerResources = WorkerResources()
    """What a worker takes. A stage has ``num_workers`` of them, or as many as the cluster has room for."""
    stages: Mapping[str, WorkerResources] = Field(default_factory=dict)
    """What a worker takes in stages with needs of their own, by the stage's name (``inference``)."""
    max_attempts: Annotated[int, Field(ge=1)] = 3
    """How often a batch may bring its worker's process (or node) down before the run ends and names it."""
    stall_seconds: Annotated[float, Field(gt=0)] = 1800
    """The run ends when nothing was finished for so long, seconds; more than a worker needs to load its model
    and to make 16 items, or one batch where that is more."""
    max_results_mib: Annotated[int, Field(ge=16)] = 1024
    """Results that are being made or wait to be stored, MiB; workers pause when there are more. Some hundred
    workers that make large pictures need more."""
    environment: Mapping[str, str] = Field(default_factory=dict)
    """Environment variables of the workers (``HF_HOME``); they have those of their node besides."""


class EngineParameters(Parameters):
    """Who carries out plans. Part of no key: another engine makes nothing anew."""

    kind: Literal["local", "ray"] = "local"
    """``local``: processes of this machine; ``ray``: actors on a Ray cluster."""
    ray: RayParameters = RayParameters()
    """Settings of ``ray``."""


def read_engine(settings: Mapping[str, Any] | None) -> EngineParameters:
    """Check the ``engine`` of a catalog entry.

    Args:
        settings: As configured; none is the local engine.

    Returns:
        The parameters.

    Raises:
        ConfigurationError: A key is unknown, or a value out of range.
    """
    try:
        return EngineParameters.model_validate(settings or {})
    except ValidationError as exc:
        first = exc.errors()[0]
        option = ".".join(["engine", *map(str, first["loc"])])
        raise ConfigurationError(
            f"{option} (conf/<env>/globals.yml): {first['msg']}, got {first['input']!r}."
        ) from exc
