import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from skin_pipeline.items import Item, Output, Task
from skin_pipeline.prep.edges import EdgeParameters, make_edge_tracer, trace_edges

from .conftest import draw_skin


@pytest.fixture
def square() -> np.ndarray:
    picture = np.full((64, 64, 3), 60, np.uint8)
    picture[16:48, 16:48] = 180
    return picture


def test_a_square_is_outlined(square: np.ndarray) -> None:
    edges = trace_edges(square)
    assert set(np.unique(edges)) == {0, 255}
    rows, columns = np.nonzero(edges)
    assert (rows.min(), columns.min()) in {(15, 15), (16, 16)}
    assert (rows.max(), columns.max()) in {(47, 47), (48, 48)}
    assert not edges[20:44, 20:44].any()


def test_gray_edges_are_the_plain_opencv_call() -> None:
    picture = np.asarray(draw_skin(3))
    expected = cv2.Canny(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 50, 80)
    np.testing.assert_array_equal(trace_edges(picture, 50, 80), expected)


def test_keys_of_equal_luminance_need_any_channel(square: np.ndarray) -> None:
    square[:], square[16:48, 16:48] = (130, 60, 60), (40, 107, 60)
    assert not trace_edges(square).any()
    assert trace_edges(square, channels="any").any()


def test_higher_thresholds_keep_fewer_edges() -> None:
    picture = np.asarray(draw_skin(4, (256, 256)).resize((128, 128)))
    shares = [np.count_nonzero(trace_edges(picture, low, low * 1.6)) for low in (20, 100, 400)]
    assert shares[0] > shares[1] > shares[2]


def test_the_worker_records_thresholds_and_share(tmp_path: Path, square: np.ndarray) -> None:
    Image.fromarray(square).save(tmp_path / "skin.png")
    worker = pickle.loads(pickle.dumps(make_edge_tracer(EdgeParameters())))  # noqa: S301
    (output,) = worker([Task("skin", {"resized_skins": Item("skin", {}, "", tmp_path / "skin.png")})])
    assert isinstance(output, Output)
    share = np.count_nonzero(trace_edges(square)) / 64**2
    assert output.record == {
        "low": 50,
        "high": 80,
        "channels": "gray",
        "edge_share": round(share, 6),
        "size_px": [64, 64],
    }
    np.testing.assert_array_equal(output.image, trace_edges(square))


def test_thresholds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"low must not exceed edges\.high, got low 90.0 and high 80"):
        EdgeParameters(low=90)
