"""The catalog as configured, against the pipelines and the conventions of the project."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project
from kedro.io import DataCatalog
from kedro.validation.parameter_validator import ParameterValidator

from skin_pipeline import hooks, settings
from skin_pipeline.pipeline_registry import register_pipelines

# Kedro's own use of OmegaConf
pytestmark = pytest.mark.filterwarnings(r"ignore:.*register_new_resolver")

PROJECT = Path(__file__).parents[1]
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
FOLDERS = {
    "raw": "01_raw",
    "intermediate": "02_intermediate",
    "primary": "03_primary",
    "feature": "04_feature",
    "model_input": "05_model_input",
    "models": "06_models",
    "model_output": "07_model_output",
    "reporting": "08_reporting",
}


def load_config(env="local", **runtime_params):
    return OmegaConfigLoader(
        str(PROJECT / "conf"), env=env, runtime_params=runtime_params, **settings.CONFIG_LOADER_ARGS
    )


@pytest.fixture(scope="module")
def catalog_config():
    return load_config()["catalog"]


@pytest.fixture(scope="module")
def all_pipelines():
    configure_project("skin_pipeline")
    return register_pipelines()


def entries(config):
    return {name: entry for name, entry in config.items() if not name.startswith("_")}


def test_every_dataset_lies_in_the_folder_of_its_layer(catalog_config):
    for name, entry in entries(catalog_config).items():
        if name == "compared_runs":  # whole data folders
            continue
        layer = entry["metadata"]["kedro-viz"]["layer"]
        assert Path(entry["filepath"]).is_relative_to(PROJECT / "data" / FOLDERS[layer]), name


def test_datasets_do_not_share_a_place(catalog_config):
    places = [entry["filepath"] for entry in entries(catalog_config).values()]
    assert len(set(places)) == len(places)


def test_names_are_plain_words(catalog_config):
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in entries(catalog_config))


def test_every_dataset_can_be_made_and_tells_its_contents(catalog_config):
    catalog = DataCatalog.from_config(entries(catalog_config))
    for name in entries(catalog_config):
        dataset = catalog.get(name)
        if not type(dataset).__module__.startswith("skin_pipeline"):
            assert isinstance(hooks._local_path(dataset), Path), name
            continue
        assert callable(dataset.content_manifest), name
        options = inspect.signature(type(dataset)).parameters.values()
        assert all(option.kind is option.KEYWORD_ONLY for option in options), name


def test_pipelines_and_catalog_know_the_same_datasets(catalog_config, all_pipelines):
    used = {
        name
        for pipeline in all_pipelines.values()
        for name in pipeline.datasets()
        if not name.startswith("params:")
    }
    assert used == set(entries(catalog_config))


ENVIRONMENTS = sorted(
    folder.name
    for folder in (PROJECT / "conf").iterdir()
    if folder.is_dir() and folder.name not in {"base", "accelerate"}
)
EXPERIMENTS = {
    "fill50k",
    "whole_keyboard",
    "four_parts_shared",
    "four_parts_canny",
    "four_parts_glyph_1024",
    "four_parts_canny_glyph_1024",
    "key_elements_512",
    "key_elements_1024",
    "text_loss",
}


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_parameters_of_every_environment_are_valid(all_pipelines, env):
    parameters = load_config(env)["parameters"]
    validated = ParameterValidator(all_pipelines).validate_raw_params(parameters)
    needed = {
        name.removeprefix("params:")
        for pipeline in all_pipelines.values()
        for name in pipeline.inputs()
        if name.startswith("params:")
    }
    assert needed <= set(validated)
    assert all(hasattr(type(validated[name]), "model_fields") for name in needed), (
        "a node without a type hint"
    )


@pytest.mark.parametrize("env", sorted(EXPERIMENTS))
def test_an_experiment_says_what_was_found_and_keeps_to_its_own_data(env):
    assert "forerunner" in (PROJECT / "conf" / env / "globals.yml").read_text()
    config = load_config(env)
    assert config["globals"]["data_root"] == f"data/{env}"
    assert config["globals"]["mlflow_root"] == "."
    prompts = config["parameters"]["inference"]["prompts"]
    assert prompts == ("captions" if env == "fill50k" else config["globals"]["comparison_prompts"])


@pytest.mark.parametrize("start", ["from_scratch", "from_canny"])
@pytest.mark.parametrize("env", ["sdxl", *sorted(EXPERIMENTS)])
def test_every_experiment_can_be_run_with_the_real_model(all_pipelines, env, start):
    run = yaml.safe_load((PROJECT / f"conf/sdxl/{start}.yml").read_text())["run"]
    parameters = load_config(env, **run["params"])["parameters"]
    validated = ParameterValidator(all_pipelines).validate_raw_params(parameters)
    assert validated["train"].model_base == validated["inference"].base_model == SDXL
    assert (validated["train"].controlnet_init is None) == (start == "from_scratch")


def test_test_environment_keeps_apart_from_the_users_data():
    config = load_config("test")
    for name, entry in entries(config["catalog"]).items():
        assert Path(entry["filepath"]).is_relative_to(PROJECT / "data" / "test"), name
    assert "data/test" in config["globals"]["mlflow_root"]


def test_data_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv("SKIN_PIPELINE_DATA", str(tmp_path / "a"))
    moved = load_config()["catalog"]["edge_maps"]["filepath"]
    assert moved == f"{tmp_path}/a/03_primary/edge_maps"
    moved = load_config(data_root=str(tmp_path / "b"))["catalog"]["screened_skins"]
    assert moved["filepath"] == f"{tmp_path}/b/02_intermediate/screened_skins"
    assert moved["source_folder"] == f"{tmp_path}/b/01_raw"


def test_folders_of_all_layers_are_in_the_checkout():
    assert {path.parent.name for path in (PROJECT / "data").glob("0*/.gitkeep")} == set(FOLDERS.values())


def test_registered_pipelines_run_from_raw_to_generated_skins(all_pipelines):
    assert {"demo_data", "data_prep", "train", "inference", "demo", "__default__"} <= set(all_pipelines)
    assert "raw_packages" in all_pipelines["__default__"].inputs()
    assert "raw_skins" in all_pipelines["demo"].all_outputs()
    assert {"generated_skins", "gallery", "baidu_packages", "skins_page"} <= all_pipelines[
        "__default__"
    ].all_outputs()
    free = {name for name in all_pipelines["demo"].inputs() if not name.startswith("params:")}
    assert free == set()
    names = [node.name for pipeline in all_pipelines.values() for node in pipeline.nodes]
    functions = [node.func.__name__ for pipeline in all_pipelines.values() for node in pipeline.nodes]
    assert names == functions
