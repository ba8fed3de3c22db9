"""What kedro-datasets tests of each of its datasets, for those of this project."""

from __future__ import annotations

import base64
import functools
import inspect
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.io import AbstractDataset, DataCatalog, DatasetError
from PIL import Image

from skin_pipeline import datasets
from skin_pipeline.items import FolderPlan, Items, Plan
from tests import workers

METADATA = {"kedro-viz": {"layer": "primary"}, "owner": "somebody"}


@dataclass(frozen=True)
class Case:
    """A dataset, something to save, and what a loaded value says of itself."""

    type: type[AbstractDataset[Any, Any]]
    name: str
    arguments: dict[str, Any]
    data: Any
    shown: Any


def show(value: Any) -> Any:
    """Return what is compared of a loaded value."""
    if isinstance(value, Items):
        return {item_id: dict(item.record) for item_id, item in value.items()}
    return value.files.keys() if hasattr(value, "files") else value


def write_weights(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"1234")


CASES = ("pictures", "records", "folder", "lines", "page")


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, make_items: Any) -> Case:
    skins = make_items("a", "b")
    threshold = Plan(
        "threshold", functools.partial(workers.give, workers.Thresholder()), sources={"skin": skins}
    )
    shares = {name: {"share": float((skins[name].load_image().mean(axis=2) > 128).mean())} for name in skins}
    names = {name: {"name": name, "initial": name} for name in skins}
    naming = Plan("name", workers.Namer, sources={"skin": skins})
    weights = FolderPlan(write_weights, "key")
    rows = [{"id": "a", "reason": "空"}]
    cases = (
        Case(datasets.ItemsDataset, "edge_maps", {"suffix": ".png"}, threshold, shares),
        Case(datasets.ItemsDataset, "captions", {}, naming, names),
        Case(datasets.FolderDataset, "weights", {}, weights, {"weights.bin": ""}.keys()),
        Case(datasets.JSONLinesDataset, "rejected.jsonl", {}, rows, rows),
        Case(datasets.PageDataset, "page.html", {}, "<p>前往</p>", "<p>前往</p>"),
    )  # fmt: skip
    return cases[CASES.index(request.param)]


@pytest.fixture
def dataset(case: Case, tmp_path: Path) -> AbstractDataset[Any, Any]:
    path = tmp_path / "data" / case.name
    return case.type(filepath=str(path), metadata=METADATA, **case.arguments)


def test_what_is_saved_is_loaded(dataset: AbstractDataset[Any, Any], case: Case) -> None:
    dataset.save(case.data)
    assert show(dataset.load()) == case.shown


def test_exists_only_after_it_was_saved(dataset: AbstractDataset[Any, Any], case: Case) -> None:
    assert not dataset.exists()
    dataset.save(case.data)
    assert dataset.exists()


def test_saving_again_replaces(dataset: AbstractDataset[Any, Any], case: Case) -> None:
    dataset.save(case.data)
    before = dataset.content_manifest()  # type: ignore[attr-defined]
    dataset.save(case.data)
    assert dataset.content_manifest() == before  # type: ignore[attr-defined]
    assert show(dataset.load()) == case.shown


def test_what_is_missing_is_named(dataset: AbstractDataset[Any, Any], case: Case) -> None:
    with pytest.raises(DatasetError, match=case.name):
        dataset.load()


def test_none_is_refused(dataset: AbstractDataset[Any, Any]) -> None:
    with pytest.raises(DatasetError, match="Saving 'None'"):
        dataset.save(None)


def test_release_forgets_nothing(dataset: AbstractDataset[Any, Any], case: Case) -> None:
    dataset.save(case.data)
    dataset.release()
    assert show(dataset.load()) == case.shown


def test_text_and_representation_name_place_and_kind(dataset: AbstractDataset[Any, Any], case: Case) -> None:
    assert case.name in str(dataset)
    assert case.type.__name__ in str(dataset)
    assert case.name in repr(dataset)


def test_metadata_is_kept_and_not_used(dataset: AbstractDataset[Any, Any]) -> None:
    assert dataset.metadata == METADATA  # type: ignore[attr-defined]
    assert "owner" not in str(dataset)


def test_arguments_are_named(case: Case, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        case.type(str(tmp_path))  # type: ignore[call-arg]


def test_another_dataset_of_the_same_place_loads_the_same(
    dataset: AbstractDataset[Any, Any], case: Case, tmp_path: Path
) -> None:
    """As in another run; and from a configuration, as a catalog makes it."""
    dataset.save(case.data)
    entry = {
        "type": f"skin_pipeline.datasets.{case.type.__name__}",
        "filepath": str(tmp_path / "data" / case.name),
        **case.arguments,
    }
    catalog = DataCatalog.from_config({"entry": yaml.safe_load(yaml.safe_dump(entry))})
    assert show(catalog.load("entry")) == case.shown


def test_pictures_are_previewed_as_pictures_and_records_as_tables(
    dataset: AbstractDataset[Any, Any], case: Case
) -> None:
    if not hasattr(dataset, "preview"):
        pytest.skip("a page is its own preview")
    dataset.save(case.data)
    preview = dataset.preview()
    if case.name == "edge_maps":
        with Image.open(io.BytesIO(base64.b64decode(preview))) as sheet:
            assert sheet.format == "PNG"
    else:
        assert preview["columns"]
        assert len(preview["data"]) >= 1


@pytest.mark.parametrize("name", datasets.__all__)
def test_docstrings_show_how_to_use_it(name: str) -> None:
    """Each class shows an entry of a catalog that works, and the same in Python."""
    text = inspect.cleandoc(getattr(datasets, name).__doc__ or "")
    assert "Example Python::" in text
    block = text.split("Example YAML::")[1].split("Example Python::")[0]
    (entry,) = yaml.safe_load(inspect.cleandoc(block)).values()
    assert entry["type"] == f"skin_pipeline.datasets.{name}"
    DataCatalog.from_config({"entry": entry}).get("entry")
