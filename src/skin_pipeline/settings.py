"""Settings of the Kedro project."""

import os
from pathlib import Path

from skin_pipeline.hooks import (
    CollectorHook,
    ErrorMessageHook,
    LineageHook,
    PreflightHook,
    TrackingHook,
    WorkspaceHook,
)

# Nothing that this project runs reports to anybody; said before the first run asks.
os.environ.setdefault("KEDRO_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

_PROJECT = Path(__file__).resolve().parents[2]


def _absolute(path: str) -> str:
    """Return a path as it is if absolute, else as seen from the project."""
    return (_PROJECT / path).as_posix()


def _sqlite_uri(path: str) -> str:
    """Return the URI of a database file; its folder is made, as SQLite would not."""
    file = _PROJECT / path
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{file.as_posix()}"


CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    "merge_strategy": {"parameters": "soft", "globals": "soft", "mlflow": "soft"},
    "custom_resolvers": {"env": os.environ.get, "absolute": _absolute, "sqlite_uri": _sqlite_uri},
}

# Called last to first. TrackingHook is kedro-mlflow's own hook, told about typed parameters and kills.
HOOKS = (
    CollectorHook(),
    LineageHook(),
    TrackingHook(),
    WorkspaceHook(),
    PreflightHook(),
    ErrorMessageHook(),
)
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow", "kedro_telemetry")
