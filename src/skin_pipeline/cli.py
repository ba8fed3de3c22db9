"""Commands of this project beside Kedro's own: ``kedro lineage``."""

import os
from pathlib import Path
from typing import Any

import click
from kedro.framework.cli.project import run
from kedro.framework.cli.utils import _split_params, env_option
from kedro.framework.startup import ProjectMetadata

__all__ = ["cli", "run"]  # Kedro looks for `run` here as soon as there is this module

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""A look at what is known must not wait for minutes for a tracking server that is away."""


@click.group(name="skin_pipeline")
def cli() -> None:
    """Commands of this project."""


@cli.command()
@env_option
@click.option(
    "--params",
    type=click.UNPROCESSED,
    default="",
    callback=_split_params,
    help="As for `kedro run`: data_root=FOLDER for another data folder.",
)
@click.option("--json", "is_json", is_flag=True, help="Everything, for machines.")
@click.argument("thing")
@click.pass_obj
def lineage(
    metadata: ProjectMetadata, env: str | None, params: dict[str, Any], is_json: bool, thing: str
) -> None:
    """Tell where THING came from or, for a raw skin, what came of it.

    THING is a file (a generated picture, an exported package or its trial page, a raw skin or skin package),
    wherever it lies now; a folder of weights; the id of a generated picture or raw skin; or a digest of
    weights.

    Status: 0 if something is known, 1 if nothing is.
    """
    for name, value in _PATIENCE.items():
        os.environ.setdefault(name, value)
    from skin_pipeline.errors import SkinPipelineError
    from skin_pipeline.lineage.text import as_json, as_text
    from skin_pipeline.lineage.trace import trace

    try:
        found = trace(open_workspace(Path(metadata.project_path), env, params), thing)
    except SkinPipelineError as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(as_json(found) if is_json else as_text(found))


def open_workspace(project: Path, env: str | None, runtime_params: dict[str, Any]) -> Any:
    """Open the data folder that an environment configures, to look at only.

    Kedro's session is not used: its hooks would set MLflow up, for which a tracking server must be there.
    """
    from kedro.config import OmegaConfigLoader
    from kedro.io import DataCatalog, DatasetError

    from skin_pipeline import settings
    from skin_pipeline.errors import SkinPipelineError
    from skin_pipeline.hooks import data_folder
    from skin_pipeline.lineage.history import History
    from skin_pipeline.lineage.tracking import Tracking
    from skin_pipeline.lineage.workspace import Workspace
    from skin_pipeline.pipelines.export_skins.pipeline import PRODUCTS

    options: dict[str, Any] = {**settings.CONFIG_LOADER_ARGS, "env": env, "runtime_params": runtime_params}
    loader = OmegaConfigLoader(str(project / "conf"), **options)
    loader.config_patterns["mlflow"] = ["mlflow*"]
    entries = {name: entry for name, entry in loader["catalog"].items() if not name.startswith("_")}
    catalog = DataCatalog.from_config(entries)

    def load(name: str) -> Any:
        try:
            dataset = catalog.get(name)
            return None if dataset is None else dataset.load()
        except DatasetError as exc:
            if isinstance(exc.__cause__, SkinPipelineError):
                raise exc.__cause__ from exc
            raise

    uri = loader["mlflow"]["server"]["mlflow_tracking_uri"] or os.environ.get("MLFLOW_TRACKING_URI")
    return Workspace(
        load=load,
        packages=tuple(PRODUCTS.values()),
        runs_folder=project / loader["parameters"]["train"]["run_folder"],
        history=History(data_folder(project, loader)),
        tracking=Tracking(uri),
    )
