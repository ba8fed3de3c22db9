import hashlib
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from skin_pipeline.items import Item, Output, Rejection, Task
from skin_pipeline.prep.screen import (
    ScreenParameters,
    find_duplicates,
    make_screener,
    measure_skin,
    reasons_to_reject,
    screen_skin,
)

from .conftest import SIDE, Animal, draw_skin

PARAMETERS = ScreenParameters(min_side_px=64)


def raw_item(path: Path, folder: Path, problem: str | None = None) -> Item:
    record = {"source": path.relative_to(folder).as_posix()} | ({"problem": problem} if problem else {})
    content = path.read_bytes() if path.is_file() else b""
    item_id = path.relative_to(folder).with_suffix("").as_posix()
    return Item(item_id, record, hashlib.sha256(content).hexdigest(), path)


def screen(path: Path, parameters: ScreenParameters = PARAMETERS) -> Output | Rejection:
    return screen_skin(raw_item(path, path.parent), parameters)


def test_every_animal_of_the_zoo_goes_on_or_is_refused_by_name(
    zoo: dict[str, Animal], zoo_folder: Path
) -> None:
    items = {name: raw_item(zoo_folder / name, zoo_folder) for name in zoo}
    # Ids are unique in a real dataset; here the name keeps plain.png and plain.jpg apart.
    tasks = [
        Task("plain" if name == "plain.png" else name, {"raw_skins": item}) for name, item in items.items()
    ]
    results = dict(zip(zoo, make_screener(PARAMETERS)(tasks), strict=True))
    records = {
        task.id: result.record
        for task, result in zip(tasks, results.values(), strict=True)
        if isinstance(result, Output)
    }
    reasons = {name: result.reason for name, result in results.items() if isinstance(result, Rejection)}
    reasons |= reasons_to_reject(records, PARAMETERS)
    accepted = set(zoo) - set(reasons)
    assert accepted == {name for name, animal in zoo.items() if animal.refused is None}
    for name, reason in reasons.items():
        assert re.search(zoo[name].refused or "never", reason), (name, reason)
        assert Path(name).name in reason or "duplicate" in reason


def test_the_record_says_what_was_read(zoo_folder: Path) -> None:
    result = screen_skin(raw_item(zoo_folder / "exif_6.png", zoo_folder), PARAMETERS)
    assert isinstance(result, Output)
    record = dict(result.record)
    assert len(record.pop("pixels_sha256")) == 64
    assert re.fullmatch("[0-9a-f]{16}", record.pop("phash"))
    assert record.pop("contrast") > 10
    assert len(record.pop("colours")) == 576
    assert 0 < record.pop("information") < 8
    assert record.pop("sharpness") > 0.02
    assert record == {
        "source": "exif_6.png",
        "width_px": SIDE,
        "height_px": 80,
        "mode": "RGB",
        "format": "PNG",
        "orientation": 6,
    }


def test_a_problem_found_when_listing_is_the_reason(tmp_path: Path) -> None:
    item = raw_item(tmp_path / "link.png", tmp_path, problem="a link that leads out of the folder")
    assert screen_skin(item, PARAMETERS) == Rejection("link.png: a link that leads out of the folder.")


def test_unreadable_and_missing_files_are_refused(tmp_path: Path) -> None:
    gone = screen(tmp_path / "gone.png")
    assert isinstance(gone, Rejection)
    assert "gone.png: the file cannot be read" in gone.reason


def test_a_skin_that_lives_by_hue_alone_is_not_blank(tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[:, :48] = (130, 60, 60)  # the same luminance as the other half, within 1
    pixels[:, 48:] = (40, 104, 74)
    Image.fromarray(pixels).save(tmp_path / "hues.png")
    assert isinstance(screen(tmp_path / "hues.png"), Output)


def judged(pixels: np.ndarray, **limits: Any) -> dict[str, str]:
    height, width = pixels.shape[:2]
    record = {"source": "a/skin.png", "width_px": width, "height_px": height, **measure_skin(pixels)}
    return reasons_to_reject({"a/skin": record}, ScreenParameters(**{"min_side_px": 64, **limits}))


def test_limits_reject_with_what_was_measured_and_expected() -> None:
    skin = np.asarray(draw_skin())
    assert judged(skin) == {}
    assert judged(skin, min_side_px=97) == {
        "a/skin": "skin.png: too small: shorter side 96 (96 x 96 px), expected at least 97."
    }
    assert judged(np.full_like(skin, 200))["a/skin"] == ("skin.png: blank: contrast 0, expected at least 2.")


def test_blur_is_reported_and_refused_only_when_asked() -> None:
    soft = np.asarray(draw_skin().resize((6, 6)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    assert judged(soft) == {}
    reason = judged(soft, sharpness={"at_least": 0.02, "action": "reject"})["a/skin"]
    assert re.fullmatch(r"skin\.png: blurred: sharpness 0\.0\d+, expected at least 0\.02\.", reason)


def test_several_faults_are_one_reason_and_limits_are_in_no_key() -> None:
    blank = np.full((40, 40, 3), 9, np.uint8)
    reason = judged(blank, information={"at_least": 1, "action": "reject"})["a/skin"]
    assert reason.count("expected at least") == 3
    strict = ScreenParameters(contrast={"at_least": 100, "action": "reject"}, num_workers=3)
    assert strict.item_parameters() == ScreenParameters().item_parameters() == {"max_pixels": 50_000_000}


def test_contrast_of_a_known_picture() -> None:
    checks = np.zeros((8, 8, 3), np.uint8)
    checks[::2, :, 1] = 100
    measures = measure_skin(checks)
    assert measures["contrast"] == 50
    assert measure_skin(np.full((8, 8, 3), 9, np.uint8))["sharpness"] == 0


def test_the_first_of_equal_skins_stays_and_is_named() -> None:
    same = {"pixels_sha256": "aa", "phash": "0" * 16}
    records = {
        "b": same | {"source": "b.png"},
        "a": same | {"source": "a.jpg"},
        "c": same | {"source": "c.png"},
    }
    reasons = find_duplicates(records)
    assert set(reasons) == {"b", "c"}
    assert all("'a' (a.jpg), which is kept" in reason for reason in reasons.values())


def test_the_worker_travels_to_another_process() -> None:
    worker = pickle.loads(pickle.dumps(make_screener(PARAMETERS)))  # noqa: S301
    (result,) = worker([Task("gone", {"raw_skins": Item("gone", {"source": "gone.png"}, "")})])
    assert result == Rejection("gone.png: there is no file to read.")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_side": 3}, "Extra inputs"),
        ({"max_pixels": 10**9}, "178956970"),
        ({"sharpness": {"at_most": 1}}, "at_least"),
        ({"contrast": {"at_least": 1, "action": "drop"}}, "reject"),
    ],
)
def test_wrong_parameters_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScreenParameters(**wrong)
