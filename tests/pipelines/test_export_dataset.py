from pathlib import Path

import yaml

from skin_pipeline.items import Folder
from skin_pipeline.pipelines.export_dataset import create_pipeline, nodes
from skin_pipeline.prep.export import ExportParameters


def test_the_pipeline_is_one_node_from_the_published_set() -> None:
    (node,) = create_pipeline().nodes
    assert (node.name, node.inputs, node.outputs) == (
        "export_dataset",
        ["train_dataset", "params:export"],
        ["exported_dataset"],
    )


def test_the_plan_follows_the_set_and_the_parameters(tmp_path: Path) -> None:
    keys = [
        nodes.export_dataset(Folder(tmp_path, digest, {}), parameters).key
        for digest, parameters in (
            ("a", ExportParameters()),
            ("a", ExportParameters()),
            ("b", ExportParameters()),
            ("a", ExportParameters(format="webdataset")),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_the_parameters_in_conf_are_the_defaults() -> None:
    path = Path(__file__).parents[2] / "conf/base/parameters_export_dataset.yml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(written) == {"export"}
    assert ExportParameters(**written["export"]) == ExportParameters()
