"""From pictures and packages back to raw files and forth, over two generations of data and weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skin_pipeline.datasets import FolderDataset, ItemsDataset, JSONLinesDataset, RawSkinsDataset
from skin_pipeline.errors import InputError
from skin_pipeline.items import FolderPlan, Item, Output, Plan, Task, json_digest
from skin_pipeline.lineage.history import History, Run
from skin_pipeline.lineage.recorder import Recorder
from skin_pipeline.lineage.text import as_json, as_text
from skin_pipeline.lineage.trace import trace
from skin_pipeline.lineage.tracking import Tracking
from skin_pipeline.lineage.workspace import CARD, Workspace
from skin_pipeline.skins.export import Provenance, write_baidu
from tests.lineage.small_skin import small_skin

PACKAGES = ("baidu_packages",)
FIRST = {"mine/a": "train", "mine/b": "train", "mine/c": "validation"}
SECOND = {"mine/b": "train", "mine/c": "train"}


class Place:
    """A data folder with real datasets, in which two runs are played through."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        at = lambda name: str(folder / name)  # noqa: E731
        self.datasets: dict[str, Any] = {
            "raw_skins": RawSkinsDataset(filepath=at("01_raw")),
            "raw_packages": RawSkinsDataset(filepath=at("packages"), suffix=".bds", may_be_empty=True),
            "screened_skins": ItemsDataset(filepath=at("screened_skins"), source_folder=at("01_raw")),
            "train_dataset": FolderDataset(filepath=at("train_dataset")),
            "controlnet_weights": FolderDataset(filepath=at("controlnet")),
            "control_images": ItemsDataset(filepath=at("control_images"), suffix=".png"),
            "generated_skins": ItemsDataset(filepath=at("generated_skins"), suffix=".png"),
            "baidu_packages": ItemsDataset(filepath=at("baidu_packages"), suffix=".bds"),
            "rejected_skins": JSONLinesDataset(filepath=at("rejected.jsonl")),
        }

    def workspace(self) -> Workspace:
        return Workspace(
            lambda name: self.datasets[name].load(),
            PACKAGES,
            self.folder / "runs",
            History(self.folder),
            Tracking(None),
        )

    def play(self, number: int, splits: Mapping[str, str], *, noted: bool = True) -> None:
        """Do what a run of everything does, on the raw files that are there."""
        run = Run(f"run{number}", "kedro run", f"commit{number}", f"2026-01-0{number}T00:00:00+00:00")
        self._recorder = Recorder(History(self.folder), lambda: run) if noted else None
        self._note("raw_skins", None)
        raw = self.datasets["raw_skins"].load()
        records = lambda tasks: [Output({"source": task.inputs["raw"].record["source"]}) for task in tasks]  # noqa: E731
        self._save("screened_skins", Plan("screen", lambda: records, {"raw": raw}), ["raw_skins"])
        self._save("train_dataset", FolderPlan(partial(write_rows, splits)), ["screened_skins"])
        dataset = self.datasets["train_dataset"].load()
        weights = partial(write_weights, number, dataset.digest)
        self._save("controlnet_weights", FolderPlan(weights), ["train_dataset"])
        shutil.copytree(self.folder / "controlnet", self.folder / f"runs/training{number}/weights")
        self.datasets["control_images"].save(Plan.from_tasks("control_images", tasks=(), make_worker=list))
        self._save("generated_skins", self._pictures(number), ["controlnet_weights", "train_dataset"])
        generated = self.datasets["generated_skins"].load()
        self._save("baidu_packages", Plan("pack", lambda: pack, {"picture": generated}), ["generated_skins"])
        self.datasets["rejected_skins"].save([{"id": "mine/blank", "reason": "it is blank"}])

    def _pictures(self, number: int) -> Plan:
        weights = self.datasets["controlnet_weights"].load()
        request = {"seed": number, "weights_digest": weights.digest}
        task = Task("mine/c/12345678-0", {"request": Item("request", request, json_digest(request))})
        return Plan.from_tasks("inference", tasks=[task], make_worker=lambda: generate)

    def _save(self, name: str, plan: Any, inputs: list[str]) -> None:
        self.datasets[name].save(plan)
        self._note(name, inputs)

    def _note(self, name: str, inputs: list[str] | None) -> None:
        files = self.datasets[name].content_manifest()
        if self._recorder is None:
            return
        if inputs is None:
            self._recorder.note_input(name, json_digest(files), files)
        else:
            self._recorder.note_output(name, json_digest(files), files, inputs, self.datasets[name].load)


def write_rows(splits: Mapping[str, str], folder: Path) -> None:
    for split in ("train", "validation"):
        rows = [{"skin": skin, "image": f"{skin}.png"} for skin, of in splits.items() if of == split]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_weights(number: int, dataset_digest: str, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(bytes([number]) * 100)
    card = {
        "step": 40 * number,
        "images_seen": 80 * number,
        "base_model": {"name": "embedded", "sha256": "ba" * 32},
        "dataset": {"digest": dataset_digest},
        "parameters": {"learning_rate": 1e-3},
    }
    (folder / CARD).write_text(json.dumps(card))


def generate(tasks):
    def one(task):
        record = task.inputs["request"].record
        return Output(
            {
                **record, "prompt": "a keyboard skin", "settings": {"scheduler": "unipc"},
                "conditioning": "mine/c", "conditioning_sha256": "c0" * 32,
                "base_model": "embedded", "base_model_digest": "ba" * 32,
            },
            np.full((8, 8, 3), record["seed"], np.uint8),
        )  # fmt: skip

    return [one(task) for task in tasks]


def pack(tasks):
    return [_packed(task.inputs["picture"]) for task in tasks]


def _packed(picture: Item) -> Output:
    source = Provenance("", picture.record["weights_digest"], picture.id, "skin_pipeline 0.1.0")
    assert picture.path is not None
    path = picture.path.with_suffix(".made")
    write_baidu(small_skin(), path, provenance=source)
    content = path.read_bytes()
    path.unlink()
    return Output({"provenance": asdict(source)}, content=content)


def write_raw(folder: Path, name: str, content: bytes) -> str:
    path = folder / "01_raw" / "mine" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Two runs: the second without skin a, with another skin b, and with c no longer held out."""
    folder = tmp_path_factory.mktemp("workspace")
    moved = folder / "moved"
    moved.mkdir()
    place = Place(folder)
    for name in ("a", "b", "c", "blank"):
        write_raw(folder, name, f"{name} of the first run".encode())
    place.play(1, FIRST)
    shutil.copy(folder / "generated_skins/mine/c/12345678-0.png", moved / "first.png")
    shutil.copy(folder / "baidu_packages/mine/c/12345678-0.bds", moved / "first.bds")
    shutil.copy(folder / "01_raw/mine/a.png", moved / "a.png")
    (folder / "01_raw/mine/a.png").unlink()
    write_raw(folder, "b", b"b of the second run")
    place.play(2, SECOND)
    return place


def test_a_picture_leads_back_to_run_weights_data_and_raw_files(place: Place) -> None:
    origin = trace(place.workspace(), "mine/c/12345678-0")
    assert origin.kind == "origin"
    assert (origin.picture.seed, origin.picture.run.code) == (2, "commit2")
    assert (origin.weights.step, origin.weights.run.id) == (80, "run2")
    assert origin.weights.digest == place.datasets["controlnet_weights"].load().digest
    assert origin.weights.run_folder.endswith("runs/training2")
    assert origin.dataset.is_current
    sha_of_b = hashlib.sha256(b"b of the second run").hexdigest()
    assert {skin.skin: skin.split for skin in origin.dataset.raw_skins} == SECOND
    assert {skin.file: skin.sha256 for skin in origin.dataset.raw_skins}["mine/b.png"] == sha_of_b
    assert origin.gaps == ()


def test_a_picture_that_was_replaced_is_known_by_its_bytes(place: Place) -> None:
    origin = trace(place.workspace(), str(place.folder / "moved/first.png"))
    assert (origin.picture.seed, origin.picture.file, origin.picture.run.id) == (1, None, "run1")
    assert (origin.weights.step, origin.weights.run.code) == (40, "commit1")
    assert not origin.dataset.is_current
    sha_of_b = hashlib.sha256(b"b of the first run").hexdigest()
    assert {skin.skin: skin.split for skin in origin.dataset.raw_skins} == FIRST
    assert {skin.file: skin.sha256 for skin in origin.dataset.raw_skins}["mine/b.png"] == sha_of_b
    assert origin.gaps == ()


@pytest.mark.parametrize(
    ("name", "step", "dataset"),
    [("baidu_packages/mine/c/12345678-0.bds", 80, "baidu_packages"), ("moved/first.bds", 40, None)],
)
def test_packages_lead_back_wherever_they_are(
    place: Place, name: str, step: int, dataset: str | None
) -> None:
    origin = trace(place.workspace(), str(place.folder / name))
    assert (origin.package.dataset, origin.package.made_by) == (dataset, "skin_pipeline 0.1.0")
    assert origin.picture.item == "mine/c/12345678-0"
    assert origin.weights.step == step


def test_weights_are_known_by_folder_and_by_digest(place: Place) -> None:
    folder = trace(place.workspace(), str(place.folder / "runs/training1/weights"))
    digest = trace(place.workspace(), folder.weights.digest[:16])
    assert folder.weights == digest.weights
    assert folder.weights.step == 40


def test_a_raw_skin_leads_to_all_that_was_trained_on_it(place: Place) -> None:
    use = trace(place.workspace(), "mine/b")
    by_step = {training.weights.step: training for training in use.trainings}
    assert {step: training.split for step, training in by_step.items()} == {40: "train", 80: "train"}
    assert by_step[80].pictures == ("mine/c/12345678-0",)
    (package,) = by_step[80].packages["baidu_packages"]
    assert package.endswith("baidu_packages/mine/c/12345678-0.bds")
    assert by_step[40].pictures == ()
    assert [gap for gap in use.gaps if "other bytes" in gap and by_step[40].weights.digest[:16] in gap]
    assert len(use.gaps) == 1


def test_a_skin_that_was_held_out_is_not_called_trained_on(place: Place) -> None:
    use = trace(place.workspace(), "mine/c")
    assert {training.weights.step: training.split for training in use.trainings} == {
        40: "validation",
        80: "train",
    }
    assert use.conditioned == ("mine/c/12345678-0",)
    assert "held it out" in as_text(use)


@pytest.mark.parametrize("asked", ["mine/a", "mine/a.png", "moved/a.png"])
def test_a_raw_skin_that_is_gone_is_still_known(place: Place, asked: str) -> None:
    use = trace(place.workspace(), str(place.folder / asked) if asked.startswith("moved") else asked)
    assert use.sha256 == hashlib.sha256(b"a of the first run").hexdigest()
    assert [training.weights.step for training in use.trainings] == [40]


def test_a_skin_that_was_left_out_says_why(place: Place) -> None:
    use = trace(place.workspace(), "mine/blank")
    assert (use.left_out, use.trainings) == ("it is blank", ())
    assert "it is blank" in as_text(use)
    assert "No weights known here were trained on it." in as_text(use)


def test_what_is_unknown_is_an_error_that_says_what_was_tried(place: Place, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"neither a file nor an item\. Items of this workspace: 'mine/c/12345678-0'"
    ):
        trace(place.workspace(), "mine/nothing")
    foreign = tmp_path / "foreign.png"
    foreign.write_bytes(b"foreign")
    with pytest.raises(InputError, match="hold nothing of that content"):
        trace(place.workspace(), str(foreign))


def test_a_package_of_another_workspace_says_what_it_can(place: Place, tmp_path: Path) -> None:
    source = Provenance("r" * 32, "12" * 32, "theirs/x-0", "skin_pipeline 9")
    write_baidu(small_skin(), tmp_path / "theirs.bds", provenance=source)
    origin = trace(place.workspace(), str(tmp_path / "theirs.bds"))
    assert (origin.package.item, origin.weights.digest, origin.picture, origin.dataset) == (
        "theirs/x-0",
        "12" * 32,
        None,
        None,
    )
    assert len(origin.gaps) == 2
    assert "only the digest is known" in as_text(origin)


def test_without_a_history_the_present_is_known_and_the_past_is_a_gap(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in ("a", "b", "c"):
        write_raw(tmp_path, name, name.encode())
    place.play(1, FIRST, noted=False)
    place.play(2, SECOND, noted=False)
    now = trace(place.workspace(), "mine/c/12345678-0")
    assert now.dataset.num_train == 2
    assert {skin.sha256 for skin in now.dataset.raw_skins} == {
        hashlib.sha256(x).hexdigest() for x in (b"b", b"c")
    }
    assert now.weights.run is None
    then = trace(place.workspace(), str(tmp_path / "runs/training1/weights"))
    assert (then.weights.step, then.dataset.raw_skins) == (40, None)
    assert "before this workspace kept a history" in then.gaps[0]
    assert "what their training set held was not noted" in trace(place.workspace(), "mine/a").gaps[0]


def drawn_picture(place: Place, sha256: str) -> Plan:
    """Plan a picture that the weights of the first run made on a control image."""
    weights = place.datasets["controlnet_weights"].load()
    record = {
        **{"seed": 0, "prompt": "a keyboard skin", "weights_digest": weights.digest, "settings": {}},
        **{"base_model": "embedded", "base_model_digest": "ba" * 32, "outlines_of": "layout:four_parts"},
        **{"conditioning": "four_parts_0a1b2c3d", "conditioning_sha256": sha256},
    }
    paint = lambda tasks: [Output(record, np.zeros((8, 8, 3), np.uint8)) for _ in tasks]  # noqa: E731
    task = Task("four_parts_0a1b2c3d/x-0", {"conditioning": Item("conditioning", {}, sha256)})
    return Plan.from_tasks("inference", tasks=[task], make_worker=lambda: paint)


def test_a_picture_on_a_control_image_leads_to_its_layout_and_legends(tmp_path: Path) -> None:
    place = Place(tmp_path)
    for name in ("a", "b", "c"):
        write_raw(tmp_path, name, name.encode())
    place.play(1, FIRST)
    record = {"outlines_of": "layout:four_parts", "legends": [{"text": "发射", "quad": []}]}
    draw = lambda tasks: [Output(record, np.full((8, 8), 255, np.uint8)) for _ in tasks]  # noqa: E731
    drawing = Task("four_parts_0a1b2c3d", {})
    plan = Plan.from_tasks("control_images", tasks=[drawing], make_worker=lambda: draw)
    place.datasets["control_images"].save(plan)
    (image,) = place.datasets["control_images"].load().values()
    place.datasets["generated_skins"].save(drawn_picture(place, image.sha256))
    origin = trace(place.workspace(), "four_parts_0a1b2c3d/x-0")
    assert (origin.picture.outlines_of, origin.picture.legends) == ("layout:four_parts", ("发射",))
    assert origin.gaps == ()
    assert "1 drawn on it, no skin is behind it: 发射" in as_text(origin)

    place.datasets["generated_skins"].save(drawn_picture(place, "another"))
    origin = trace(place.workspace(), "four_parts_0a1b2c3d/x-0")
    assert (origin.picture.outlines_of, origin.picture.legends) == ("layout:four_parts", None)
    assert "on the control image 'four_parts_0a1b2c3d' is not known" in as_text(origin)


def test_json_holds_everything_and_text_counts_the_rest(place: Place) -> None:
    origin = trace(place.workspace(), "mine/c/12345678-0")
    told = json.loads(as_json(origin))
    assert told["kind"] == "origin"
    assert told["weights"]["parameters"] == {"learning_rate": 1e-3}
    assert [skin["skin"] for skin in told["dataset"]["raw_skins"]] == ["mine/b", "mine/c"]
    text = as_text(origin)
    assert all(word in text for word in ("run2", "commit2", "mine/b.png", "2 trained on, 0 held out"))
