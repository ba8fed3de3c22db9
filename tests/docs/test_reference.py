"""The reference pages against what they are made from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from tools.reference_pages import (
    blocks,
    catalog_page,
    load_config,
    load_pipelines,
    parameters_page,
    pipelines_page,
)

# Kedro's own use of OmegaConf
pytestmark = pytest.mark.filterwarnings(r"ignore:.*register_new_resolver")
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pipelines():
    return load_pipelines()


def needed(pipelines) -> set[str]:
    return {
        name.removeprefix("params:")
        for pipeline in pipelines.values()
        for name in pipeline.inputs()
        if name.startswith("params:")
    }


def test_every_parameter_that_a_node_takes_is_listed_with_its_meaning(pipelines) -> None:
    found = blocks(pipelines)
    assert {block.name for block in found} == needed(pipelines) | {"engine"}
    page = parameters_page(found)
    listed = set(re.findall(r"^\[`([\w.]+)`\]", page, re.M))
    for block in found:
        assert block.model.model_fields, block.name
        for name, field in block.model.model_fields.items():
            assert f"{block.name}.{name}" in listed
            assert field.description or _is_a_block(field.annotation), f"{block.name}.{name} says nothing"
        assert not set(block.values) - set(block.model.model_fields), block.name


def _is_a_block(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def test_a_parameter_is_shown_with_type_range_default_and_what_the_project_sets(pipelines) -> None:
    page = parameters_page(blocks(pipelines))
    entry = page[page.index("[`train.resolution_px`]") :].split("\n\n")
    assert entry[0].endswith(":   whole number ≥ 32, ≤ 4096; default `256`; conf/base `512`")
    assert entry[1].strip() == "Side of a square training picture, in pixels; a multiple of 8."
    assert "``" not in page
    assert ":func:" not in page


def test_every_dataset_pipeline_and_target_is_listed(pipelines) -> None:
    config = load_config()
    catalog = catalog_page(config, pipelines)
    assert all(f"| `{name}` |" in catalog for name in config["catalog"] if not name.startswith("_"))
    page = pipelines_page(pipelines)
    nodes = {node.name for pipeline in pipelines.values() for node in pipeline.nodes}
    assert all(f"| `{name}` |" in page for name in nodes)
    assert all(f"## `{name}`" in page for name in pipelines if name != "__default__")
    assert "kedro lineage [OPTIONS] THING" in page
    assert "| `make demo` |" in page


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        str(PROJECT / "docs"),
        str(tmp_path),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr[-3000:]
    fetched = re.compile(r"<(?:script|link|img)[^>]+(?:src|href)=\"(?:https?:)?//")
    for page in tmp_path.rglob("*.html"):
        assert not fetched.search(page.read_text(encoding="utf-8")), page.name
