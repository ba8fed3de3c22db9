"""What MLflow knows of runs and models, as far as it can be reached."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from skin_pipeline.lineage.history import Run

logger = logging.getLogger(__name__)
_SQLITE = "sqlite:///"
_WHOLE_DIGEST = 64
Answer = TypeVar("Answer")


class Tracking:
    """A tracking store that is asked, and not asked again once it has failed."""

    def __init__(self, uri: str | None) -> None:
        """Choose a store; it is not connected yet.

        Args:
            uri: As for MLflow; None: nothing is known. A SQLite file that is not there is not made.
        """
        is_missing = uri is not None and uri.startswith(_SQLITE) and not Path(uri[len(_SQLITE) :]).is_file()
        self._uri = None if is_missing else uri
        self._client: Any = None

    def run(self, run_id: str) -> Run | None:
        """Return a run; None if it is not known there."""
        return self._ask(lambda client: _run(client.get_run(run_id)))

    def maker(self, dataset: str, digest: str) -> Run | None:
        """Return the first run that recorded a version of a dataset."""
        found = self._first(dataset, digest)
        return None if found is None else _run(found)

    def trained_on(self, weights_digest: str) -> str | None:
        """Return the digest of the training set that the run with these weights recorded."""
        found = self._first("controlnet_weights", weights_digest)
        return None if found is None else found.data.tags.get("digest.train_dataset")

    def _first(self, dataset: str, digest: str) -> Any:
        def ask(client: Any) -> Any:
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            is_whole = len(digest) == _WHOLE_DIGEST
            asked = f"= '{digest}'" if is_whole else f"LIKE '{digest}%'"
            found = client.search_runs(
                experiments, f"tags.`digest.{dataset}` {asked}", order_by=["start_time"], max_results=1
            )
            return found[0] if found else None

        return self._ask(ask)

    def model_version(self, digest: str) -> str | None:
        """Return the registered version of a model's weights, as ``controlnet 3``."""

        def ask(client: Any) -> str | None:
            found = client.search_model_versions(f"tags.digest = '{digest}'")
            return f"{found[0].name} {found[0].version}" if found else None

        return self._ask(ask)

    def _ask(self, question: Callable[[Any], Answer | None]) -> Answer | None:
        if self._uri is None:
            return None
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            self._client = self._client or MlflowClient(self._uri, registry_uri=self._uri)
            return question(self._client)
        except MlflowException as exc:
            if exc.error_code != "RESOURCE_DOES_NOT_EXIST":
                self._give_up(exc)
        except Exception as exc:  # a tracking server fails in as many ways as there are servers
            self._give_up(exc)
        return None

    def _give_up(self, exc: Exception) -> None:
        logger.warning("MLflow at %s is not asked any more: %s", self._uri, exc)
        self._uri = None


def _run(run: Any) -> Run:
    tags = run.data.tags
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds")
    return Run(run.info.run_id, tags.get("kedro_command", ""), tags.get("git_commit"), began, run.info.status)
