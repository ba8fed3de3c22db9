import ast
import json
import re
from pathlib import Path

import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from PIL import Image

from skin_pipeline.items import Folder, Item, Items

PROJECT = Path(__file__).parents[2]
NOTEBOOK = json.loads((PROJECT / "notebooks/walk_the_catalog.ipynb").read_text(encoding="utf-8"))
CODE = {cell["id"]: "".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"}
SKIN = "demo/skin_0001"


def test_it_is_committed_clean():
    text = json.dumps(NOTEBOOK)
    assert all(not cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    assert all(cell["execution_count"] is None for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code")
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert not re.search(r"/(home|work|tmp|Users|root)/", text)


def test_it_loads_what_the_catalog_has():
    wanted = set(re.findall(r'catalog\.load\("(\w+)"\)', "\n".join(CODE.values())))
    catalog = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text())
    assert wanted
    assert wanted <= set(catalog)


@pytest.fixture
def catalog(tmp_path):
    """A catalog of one skin, as the stages would leave it."""
    path = tmp_path / "skin.png"
    Image.new("RGB", (64, 48), "pink").save(path)
    box = {"text": "空格", "confidence": 0.99, "quad": [[4, 4], [30, 4], [30, 12], [4, 12]]}
    records = {
        "screened_skins": {"source": "demo/skin_0001.png"},
        "resized_skins": {},
        "edge_maps": {},
        "glyph_maps": {},
        "captions": {"caption": "a keyboard skin of pink"},
        "text_boxes": {"boxes": [box]},
        "generated_skins": {"prompt": "pink", "seed": 0},
    }
    datasets = {name: Items([Item(SKIN, record, "", path)]) for name, record in records.items()}
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text('{"text": "pink"}\n')
    datasets["train_dataset"] = Folder(tmp_path, "", {})
    datasets["training_metrics"] = [{"kind": "validation", "step": 4, "loss": 0.123456}, {"kind": "end"}]
    return DataCatalog({name: MemoryDataset(data) for name, data in datasets.items()})


def test_its_cells_run_and_end_in_pictures(catalog, capsys):
    """All cells but the one that opens the project's own catalog, as a notebook would run them."""
    names = {"catalog": catalog}
    shown = {cell_id: run(source, names) for cell_id, source in CODE.items() if cell_id != "catalog"}
    pictures = [cell_id for cell_id, value in shown.items() if isinstance(value, Image.Image)]
    assert pictures == ["screened", "resized", "edges", "glyphs", "boxes", "pictures"]
    assert shown["pictures"].size == (200, 150)
    assert shown["record"] == {"prompt": "pink", "seed": 0}
    assert shown["dataset"] == {"text": "pink"}
    out = capsys.readouterr().out
    assert "1 skins kept, 0 left out" in out
    assert "空格" in out
    assert "'loss': 0.1235" in out


def run(source, names):
    """Run a cell and return the value of its last expression, if it ends in one."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - the project's own notebook
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None  # noqa: S307
