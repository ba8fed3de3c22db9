"""Reading skins: parameters, frames of the quads, records."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.geometry import apply_affine, plan_fit
from skin_pipeline.items import Item, Output, Task, Worker, canonical_json
from skin_pipeline.prep.text import TextParameters, box_record, make_text_reader
from skin_pipeline.recognition.read_text import ReadText
from skin_pipeline.skins.drawn import DrawnSkin, draw_skin

SOURCE_SIZE = (1080, 810)


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> TextParameters:
    return TextParameters(cache_folder=tmp_path_factory.mktemp("ocr"))


@pytest.fixture(scope="module")
def worker(parameters: TextParameters) -> Worker:
    return make_text_reader(parameters)


@pytest.fixture(scope="module")
def skin() -> DrawnSkin:
    return draw_skin(7, width_px=SOURCE_SIZE[0], height_px=SOURCE_SIZE[1], layout="9_key")


@pytest.fixture(scope="module")
def skin_file(skin: DrawnSkin, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "skin.png"
    assert cv2.imwrite(str(path), cv2.cvtColor(skin.image, cv2.COLOR_RGB2BGR))
    return path


def task(path: Path, fit: str) -> Task:
    matrix = plan_fit(fit, SOURCE_SIZE, (256, 256)).matrix.tolist()
    screened = Item("skin", {"source": "skin.png"}, "0" * 64, path)
    resized = Item("skin", {"matrix": matrix, "size_px": [256, 256]}, "1" * 64)
    return Task("skin", {"screened_skins": screened, "resized_skins": resized})


@pytest.fixture(scope="module")
def outputs(worker: Worker, skin_file: Path) -> list[Output]:
    """Read one skin three times: padded, cropped, cropped."""
    results = worker([task(skin_file, fit) for fit in ("pad", "crop", "crop")])
    assert all(isinstance(result, Output) for result in results)
    return [result for result in results if isinstance(result, Output)]


def test_a_skins_legends_are_recorded_in_both_frames(outputs: list[Output], skin: DrawnSkin) -> None:
    output = outputs[0]
    assert output.image is None
    assert output.record["engine"].startswith("paddleocr 3.")
    assert output.record["model"] == "PP-OCRv6_small_det + PP-OCRv6_small_rec"
    boxes = {box["text"]: box for box in output.record["boxes"]}
    legends = {legend.text: legend for legend in skin.legends if len(legend.text) > 1}
    assert len(legends) >= 8
    assert legends.keys() <= boxes.keys()
    scale, top = 256 / 1080, (256 - 810 * 256 / 1080) / 2
    for text, legend in legends.items():
        source = np.array(boxes[text]["source_quad"])
        assert np.abs(source.mean(axis=0) - legend.quad.mean(axis=0)).max() < 5, text
        np.testing.assert_allclose(boxes[text]["quad"], source * scale + (0, top), atol=0.02)


def test_what_a_crop_cuts_off_is_recorded_outside_the_frame(outputs: list[Output]) -> None:
    x = np.array([box["quad"] for box in outputs[1].record["boxes"]])[..., 0]
    assert x.min() < 0
    assert x.max() > 256


def test_records_are_json_and_repeatable(outputs: list[Output]) -> None:
    assert canonical_json(outputs[1].record) == canonical_json(outputs[2].record)


def test_a_box_maps_by_the_matrix() -> None:
    quad = np.array([[10.0, 20], [30, 20], [30, 40], [10, 40]])
    matrix = [[0.5, 0, 3], [0, 0.25, 1]]
    record = box_record(ReadText("A", 0.9876543, quad), quad, matrix)
    assert record["confidence"] == 0.987654
    assert record["recognised"] == {"text": "A", "confidence": 0.987654}
    corrected = box_record(ReadText("w", 0.99, quad, ("W", 0.5)), quad, matrix)
    assert (corrected["text"], corrected["recognised"]) == ("w", {"text": "W", "confidence": 0.5})
    assert record["source_quad"] == quad.tolist()
    assert record["quad"] == apply_affine(matrix, quad).tolist() == [[8, 6], [18, 6], [18, 11], [8, 11]]


def test_missing_weights_stop_before_anything_is_read(tmp_path: Path) -> None:
    parameters = TextParameters(
        weights="folders", detection_folder=tmp_path / "det", recognition_folder=tmp_path / "rec"
    )
    with pytest.raises(MissingWeightsError, match=r"det has no inference\.yml"):
        parameters.preflight()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "folders"}, "give both"),
        ({"weights": "folders", "detection_folder": "here"}, "give both"),
        ({"detection_folder": "here"}, "count only with"),
        ({"detection_sides_px": []}, "one or more lengths"),
        ({"detection_sides_px": [32]}, "at least 64"),
        ({"pixel_threshold": 1.5}, "less than 1"),
        ({"threshold": 0.2}, "Extra inputs are not permitted"),
    ],
)
def test_senseless_parameters_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TextParameters.model_validate(values)


def test_places_and_processes_do_not_change_an_item(parameters: TextParameters, tmp_path: Path) -> None:
    elsewhere = TextParameters(cache_folder=tmp_path, num_workers=4)
    assert elsewhere.item_parameters() == parameters.item_parameters()
    assert elsewhere.shared_digests() == parameters.shared_digests()
    assert TextParameters(unclip_ratio=2).item_parameters() != parameters.item_parameters()
