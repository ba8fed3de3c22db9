"""The switch as users turn it: the configuration of every environment, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from kedro.config import OmegaConfigLoader

from skin_pipeline import settings
from skin_pipeline.datasets import ItemsDataset
from skin_pipeline.engines import EngineParameters, RayParameters, ray, read_engine
from skin_pipeline.items import Plan
from tests import workers

PROJECT = Path(__file__).parents[2]

# Kedro's own use of OmegaConf
pytestmark = pytest.mark.filterwarnings("ignore:register_new_resolver:UserWarning")


@pytest.fixture
def engine_of(monkeypatch):
    """Return the engine that an environment's catalog gives a dataset."""
    for name in ("SKIN_PIPELINE_ENGINE", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)

    def engine_of(env, dataset="edge_maps"):
        loader = OmegaConfigLoader(str(PROJECT / "conf"), env=env, **settings.CONFIG_LOADER_ARGS)
        return read_engine(loader["catalog"][dataset]["engine"])

    return engine_of


@pytest.mark.parametrize(("env", "kind"), [("local", "local"), ("test", "local"), ("ray", "ray")])
def test_environment_says_which_engine(engine_of, env, kind):
    assert engine_of(env).kind == kind


def test_variable_turns_the_switch_in_any_environment(engine_of, monkeypatch):
    monkeypatch.setenv("SKIN_PIPELINE_ENGINE", "ray")
    assert engine_of("sdxl", "generated_skins").kind == "ray"


def test_base_shows_every_setting_with_its_default(engine_of):
    assert engine_of("local") == EngineParameters()
    text = (PROJECT / "conf/base/globals.yml").read_text()
    for field in (*EngineParameters.model_fields, *RayParameters.model_fields):
        assert f"{field}:" in text


def test_other_engine_makes_nothing_anew(tmp_path, make_items, monkeypatch):
    plan = Plan("name", workers.Namer, sources={"skin": make_items("a", "b")})
    ItemsDataset(filepath=str(tmp_path / "names")).save(plan)
    before = (tmp_path / "names/_manifest.jsonl").read_bytes()
    monkeypatch.setattr(ray, "_connect", None)  # Ray is not even started
    ItemsDataset(filepath=str(tmp_path / "names"), engine={"kind": "ray"}).save(plan)
    assert (tmp_path / "names/_manifest.jsonl").read_bytes() == before
