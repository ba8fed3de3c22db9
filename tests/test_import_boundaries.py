"""What a module loads, seen from a fresh interpreter: commands stay quick, the trainer knows no Kedro."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "diffusers", "transformers", "accelerate", "paddleocr", "onnxruntime", "datasets", "ray"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after ``statement``."""
    script = (
        f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    )
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    return set(json.loads(output.splitlines()[-1]))


def test_commands_load_no_deep_learning_library() -> None:
    statement = (
        "import skin_pipeline.settings\n"
        "from skin_pipeline.pipeline_registry import register_pipelines\n"
        "assert {'demo', 'data_prep', 'train', 'inference', '__default__'} <= register_pipelines().keys()"
    )
    assert not HEAVY & loaded_by(statement)


@pytest.mark.parametrize(
    "module",
    [
        "engines.ray",
        "evaluation.parameters",
        "evaluation.score",
        "evaluation.summarise",
        "evaluation.verdict",
        "generation.baselines",
        "lineage.recorder",
        "lineage.trace",
        "pages",
        "prep.screen",
        "prep.edges",
        "prep.captions",
        "prep.export",
        "prep.quality_report",
        "prep.select",
        "reporting.report",
        "training.buckets",
        "training.config",
        "training.eviction",
        "training.launcher",
        "training.sampling",
        "training.timesteps",
        "skins.drawn",
    ],
)
def test_kedro_free_modules_load_neither_kedro_nor_torch(module: str) -> None:
    assert not {"kedro", "mlflow", *HEAVY} & loaded_by(f"import skin_pipeline.{module}")


def test_trainer_loads_no_kedro() -> None:
    loaded = loaded_by("import skin_pipeline.training.loop")
    assert "torch" in loaded
    assert not {"kedro", "mlflow", "paddleocr"} & loaded
