"""The evaluate pipeline on tiny models: random pictures, but every stage, table and reason is real."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from kedro_datasets.json import JSONDataset
from PIL import Image

from skin_pipeline.datasets import FolderDataset, ItemsDataset, PageDataset
from skin_pipeline.evaluation.metrics import METRICS
from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.generation.baselines import BaselinesParameters
from skin_pipeline.generation.parameters import InferenceParameters
from skin_pipeline.items import FolderPlan, Item, Items, Plan
from skin_pipeline.pipelines import inference
from skin_pipeline.pipelines.evaluate import create_pipeline
from skin_pipeline.prep.control_images import ControlImageParameters
from skin_pipeline.prep.edges import EdgeParameters
from tests.tiny_models import save_tiny_pipeline, save_training_set

CONF = Path(__file__).parents[2] / "conf"
SIDE_PX = 64
MEASURED = {
    "edge_f1",
    "edge_f1_0px",
    "cnpp_f1",
    "colour",
    "kid_autoencoder",
    "fid_autoencoder",
    "vendi_autoencoder",
    "seeds_autoencoder",
    "nearest_distance",
    "authentic",
}


def fill_with_training_set(path: Path) -> None:
    for entry in save_training_set(path / "set", num_train=6, num_validation=2, size_px=SIDE_PX).iterdir():
        entry.rename(path / entry.name)
    (path / "set").rmdir()


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A tiny base model and ControlNet, a training set, and four generated pictures: two skins, two seeds."""
    from diffusers import UNet2DConditionModel

    from skin_pipeline.embedded.architecture import build_controlnet

    folder = tmp_path_factory.mktemp("evaluate")
    base = save_tiny_pipeline(folder / "base")
    controlnet = build_controlnet(UNet2DConditionModel.from_pretrained(base, subfolder="unet"))
    catalog = catalog_of(folder)
    catalog.save("controlnet_weights", FolderPlan(controlnet.save_pretrained))
    catalog.save("train_dataset", FolderPlan(fill_with_training_set))
    for nothing in ("sheet_records", "resized_skins"):
        catalog.save(nothing, Plan.from_tasks(nothing, tasks=(), make_worker=list))
    made = inference.create_pipeline().only_nodes("draw_control_images", "generate_skins")
    SequentialRunner().run(made, catalog)
    return folder


def catalog_of(folder, **evaluation):
    machine = {"num_threads": 1, "batch_size": 4}
    settings = {"base_model": str(folder / "base"), "seeds": (0, 1), "num_inference_steps": 2, **machine}
    baselines = {
        "systems": {
            "no_control": {"kind": "no_control"},
            "untrained": {"kind": "untrained"},
            "second": {"kind": "checkpoint", "weights": str(folder / "controlnet")},
            "unwanted": None,
        },
        "num_seeds": 1,
    }
    redrawn = {"num_resamples": 100, "num_set_resamples": 20, "readers": (), **machine, **evaluation}

    def items(name, suffix=None):
        return ItemsDataset(filepath=str(folder / name), suffix=suffix)

    return DataCatalog(
        {
            "controlnet_weights": FolderDataset(filepath=str(folder / "controlnet")),
            "train_dataset": FolderDataset(filepath=str(folder / "train_dataset")),
            "control_images": items("control_images", ".png"),
            "generated_skins": items("generated_skins", ".png"),
            "baseline_skins": items("baseline_skins", ".png"),
            "picture_features": items("picture_features", ".safetensors"),
            "sheet_records": items("sheet_records"),
            "resized_skins": items("resized_skins", ".png"),
            "legend_floor_items": items("legend_floor_items"),
            "legend_floor": JSONDataset(filepath=str(folder / "legend_floor.json")),
            "evaluation_items": items("evaluation_items"),
            "evaluation_scores": JSONDataset(filepath=str(folder / "scores.json")),
            "evaluation_table": PageDataset(filepath=str(folder / "evaluation.md")),
            "params:control_images": MemoryDataset(ControlImageParameters()),
            "params:inference": MemoryDataset(InferenceParameters(**settings)),
            "params:edges": MemoryDataset(EdgeParameters()),
            "params:baselines": MemoryDataset(BaselinesParameters(**baselines)),
            "params:evaluation": MemoryDataset(EvaluationParameters(**redrawn)),
        }
    )


@pytest.fixture(scope="module")
def evaluated(workspace):
    catalog = catalog_of(workspace)
    SequentialRunner().run(create_pipeline(), catalog)
    return catalog


def files_of(catalog):
    return {
        item.id: item.path.stat().st_mtime_ns
        for name in ("baseline_skins", "picture_features")
        for item in catalog.load(name).values()
    }


def test_each_system_has_its_pictures_and_scores(evaluated):
    scores = evaluated.load("evaluation_scores")
    assert list(scores) == ["generated", "no_control", "second", "untrained", "real", "skipped"]
    assert len(evaluated.load("baseline_skins")) == 3 * 2  # of the first seed only
    for system, num_pictures in (("generated", 4), ("second", 2), ("real", 2)):
        score = scores[system]["edge_f1"]
        assert (score["num_pictures"], score["num_skins"]) == (num_pictures, 2)
        assert score["low"] <= score["estimate"] <= score["high"]
    assert set(scores["generated"]) >= MEASURED
    assert "pictures, 256 features" in scores["generated"]["fid_autoencoder"]["note"]


def test_each_metric_is_measured_or_left_out_by_name(evaluated):
    scores = evaluated.load("evaluation_scores")
    skipped = scores.pop("skipped")
    measured = {metric for found in scores.values() for metric in found}
    assert measured | set(skipped) == set(METRICS)
    assert not measured & set(skipped)
    assert skipped["clip_score"] == "needs CLIP weights: evaluation.clip names none"
    assert skipped["fid_inception"] == "needs Inception-v3 weights: evaluation.inception names no file"
    assert skipped["edge_ms_ssim"] == "needs pictures with sides of at least 176 px"
    assert skipped["sen_acc_tesseract"] == "evaluation.readers does not name tesseract"


def test_an_untrained_controlnet_equals_no_control_and_the_same_weights_the_generated(evaluated):
    baselines = evaluated.load("baseline_skins")
    generated = evaluated.load("generated_skins")
    for item_id, item in generated.items():
        if item.record["seed"] == 0:
            picture = item.load_image()
            np.testing.assert_array_equal(baselines[f"second/{item_id}"].load_image(), picture)
            without = baselines[f"no_control/{item_id}"].load_image()
            np.testing.assert_array_equal(baselines[f"untrained/{item_id}"].load_image(), without)
            assert not np.array_equal(without, picture)


def test_the_table_shows_scores_worst_and_best_and_what_is_missing(evaluated):
    page = evaluated.load("evaluation_table")
    assert "| generated | no_control | second | untrained | real |" in page
    assert "Edge F1, tolerant (`edge_f1`)" in page
    assert "- `clip_score`: needs CLIP weights" in page
    assert "Left out: evaluation.readers names no reader that is installed." in page
    worst = next(line for line in page.splitlines() if line.startswith("| `edge_f1` |"))
    assert worst.count("generated/demo/skin_") == 2


def test_a_second_run_makes_nothing_anew_and_says_the_same(workspace, evaluated):
    before, scores = files_of(evaluated), evaluated.load("evaluation_scores")
    SequentialRunner().run(create_pipeline(), catalog_of(workspace, batch_size=1))
    assert files_of(evaluated) == before
    assert evaluated.load("evaluation_scores") == scores


def test_pictures_conditioned_on_another_training_set_are_refused(workspace, evaluated, tmp_path):
    from skin_pipeline.errors import InputError
    from skin_pipeline.generation.baselines import rows_of

    other = FolderDataset(filepath=str(tmp_path / "other"))

    def fill(path):
        fill_with_training_set(path)
        for file in (path / "conditioning_images").iterdir():
            Image.new("RGB", (SIDE_PX, SIDE_PX)).save(file)

    other.save(FolderPlan(fill))
    with pytest.raises(InputError, match="conditioning image is another one in the training set"):
        rows_of(other.load(), evaluated.load("generated_skins"), Items())


def test_baselines_of_pictures_on_control_images_are_made_on_the_same(workspace, evaluated):
    from skin_pipeline.errors import InputError
    from skin_pipeline.generation.baselines import plan_baselines, rows_of

    catalog, dataset = catalog_of(workspace), evaluated.load("train_dataset")
    drawn = Item("four_parts_0a1b2c3d", {"outlines_of": "layout:four_parts", "legends": []}, "c0" * 32)
    first = next(iter(evaluated.load("generated_skins").values()))
    record = {**first.record, "conditioning": drawn.id, "conditioning_sha256": drawn.sha256}
    generated = Items([Item(first.id, record, first.sha256, first.path)])
    settings = catalog.load("params:inference"), catalog.load("params:baselines")
    plan = plan_baselines(generated, dataset, Items([drawn]), *settings)
    controls = [task.inputs["conditioning"] for task in plan.tasks()]
    assert [(one.id, one.sha256) for one in controls] == [(drawn.id, drawn.sha256)] * 3
    assert rows_of(dataset, generated, Items([drawn])) == {}
    with pytest.raises(InputError, match="whose conditioning image is not in"):
        rows_of(dataset, generated, Items())


def test_without_generated_skins_there_is_nothing_to_judge(evaluated):
    from skin_pipeline.errors import InputError
    from skin_pipeline.evaluation.sets import judged_pictures

    with pytest.raises(InputError, match="no generated skins"):
        judged_pictures(Items(), Items(), evaluated.load("train_dataset"), {})


@pytest.mark.parametrize("environment", ["base", "test"])
def test_the_configured_parameters_are_valid(environment):
    merged = yaml.safe_load((CONF / "base/parameters_evaluate.yml").read_text())
    for name, values in yaml.safe_load((CONF / environment / "parameters_evaluate.yml").read_text()).items():
        merged[name] |= values
    assert set(merged["evaluation"]) == set(EvaluationParameters.model_fields)  # every key is shown in base
    EvaluationParameters(**merged["evaluation"])
    BaselinesParameters(**merged["baselines"])


def test_names_with_a_meaning_of_their_own_are_refused():
    with pytest.raises(ValueError, match="'real' has a meaning"):
        BaselinesParameters(systems={"real": {"kind": "no_control"}})
    with pytest.raises(ValueError, match="expected for 'checkpoint' only"):
        BaselinesParameters(systems={"other": {"kind": "checkpoint"}})
