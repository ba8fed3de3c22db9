"""`kedro lineage` as a user calls it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.framework.startup import bootstrap_project

from skin_pipeline.cli import lineage
from skin_pipeline.lineage.tracking import Tracking
from skin_pipeline.skins.export import Provenance, write_baidu
from tests.lineage.small_skin import small_skin

# Kedro's own use of OmegaConf
pytestmark = pytest.mark.filterwarnings(r"ignore:.*register_new_resolver")
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("downloads") / "given to me.bds"
    source = Provenance("", "12" * 32, "theirs/x-0", "skin_pipeline 9")
    write_baidu(small_skin(), path, provenance=source)
    return path


def ask(data: Path, *arguments: str):
    metadata = bootstrap_project(PROJECT)
    return CliRunner().invoke(lineage, ["--params", f"data_root={data}", *arguments], obj=metadata)


def test_a_package_from_elsewhere_is_told_of_in_an_empty_workspace(package: Path, tmp_path: Path) -> None:
    done = ask(tmp_path, "--env=test", str(package))
    assert done.exit_code == 0, done.output
    assert "Weights 1212121212121212" in done.output
    assert "! Of the weights 1212121212121212 only the digest is known here" in done.output
    told = json.loads(ask(tmp_path, "--env=test", "--json", str(package)).output)
    assert told["package"]["item"] == "theirs/x-0"
    assert not list(tmp_path.rglob("*")), "looking leaves nothing behind"


def test_the_unknown_is_an_error_with_a_status(tmp_path: Path) -> None:
    done = ask(tmp_path, "--env=test", "mine/nothing")
    assert done.exit_code == 1
    assert "'mine/nothing' is neither a file nor an item. Items of this workspace: none yet" in done.output
    assert ask(tmp_path).exit_code == 2


def test_a_server_that_is_away_is_asked_once(caplog: pytest.LogCaptureFixture, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracking = Tracking("http://127.0.0.1:9")
    assert [tracking.run("1" * 32), tracking.model_version("2" * 64)] == [None, None]
    assert len([record for record in caplog.records if "is not asked any more" in record.message]) == 1
