import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from skin_pipeline.evaluation.parameters import EvaluationParameters
from skin_pipeline.pipelines.train.judging import FILE_NAME, PictureJudge
from skin_pipeline.prep.edges import EdgeParameters, trace_edges
from skin_pipeline.training.pictures import DrawnRow, join_rows


def draw(shift_px=0):
    picture = np.full((64, 96, 3), 230, np.uint8)
    cv2.rectangle(picture, (20 + shift_px, 16), (60 + shift_px, 44), (20, 60, 200), -1)
    return picture


@pytest.fixture
def row(tmp_path):
    """The sheet of two skins: one drawn as it should be, one drawn blank."""
    wanted = np.repeat(trace_edges(draw())[:, :, None], 3, axis=2)
    blank = np.full_like(draw(), 128)
    sheet = join_rows([DrawnRow(wanted, draw(), draw()), DrawnRow(wanted, blank, draw())])
    Image.fromarray(sheet).save(tmp_path / "step_00000002.png")
    subject = {"size_px": [96, 64], "texts": [], "boxes": []}
    return {
        "kind": "picture",
        "step": 2,
        "path": str(tmp_path / "step_00000002.png"),
        "subjects": [{"skin": "a", **subject}, {"skin": "b", **subject}],
    }


def judge(taken, dataset=Path("none")):
    return PictureJudge(dataset, EdgeParameters(), EvaluationParameters(readers=()), taken.append)


def test_a_sheet_becomes_a_row_of_scores_once(row, tmp_path):
    taken = []
    judge(taken)(row)
    scores = {"drawn_edge_f1": 0.5, "drawn_edge_precision": 1.0, "drawn_edge_recall": 0.5}
    assert taken == [row, {"kind": "validation", "step": 2, **scores}]
    kept = tmp_path / FILE_NAME
    assert json.loads(kept.read_text())["scores"] == {"step_00000002.png": scores}

    kept.write_text(kept.read_text().replace("0.5", "0.25"))  # what was judged is not judged again
    judge(taken)(row)
    assert taken[-1]["drawn_edge_f1"] == 0.25
    other = PictureJudge(Path("none"), EdgeParameters(low=60), EvaluationParameters(readers=()), taken.append)
    other(row)
    assert taken[-1]["drawn_edge_f1"] == 0.5  # but with other edges


def test_scores_join_the_validation_of_their_step(row):
    rows = [{"kind": "train", "step": 2}, {"kind": "validation", "step": 2, "validation_loss": 0.4}]
    joined = judge([]).add_to(rows, [row])
    assert joined[0] == rows[0]
    assert (joined[1]["validation_loss"], joined[1]["drawn_edge_f1"]) == (0.4, 0.5)
    (alone,) = judge([]).add_to([], [row])
    assert (alone["kind"], alone["step"], alone["drawn_edge_f1"]) == ("validation", 2, 0.5)


def test_a_damaged_sheet_does_not_end_a_training(row, caplog):
    taken = []
    judge(taken)({**row, "path": row["path"] + ".gone"})
    assert len(taken) == 1
    assert "drawn at step 2 were not judged" in caplog.text


def test_rows_of_older_trainings_tell_no_subjects(row):
    taken = []
    judge(taken)({"kind": "picture", "step": 1, "path": row["path"]})
    judge(taken)({"kind": "train", "step": 1, "loss": 0.2})
    assert len(taken) == 2


def publish(folder, **splits):
    """Write a training set with flat pictures of these levels."""
    (folder / "images").mkdir(parents=True)
    for split, levels in splits.items():
        lines = []
        for level in levels:
            picture = np.full((64, 96, 3), level, np.uint8)
            Image.fromarray(picture).save(folder / f"images/{level}.png")
            lines.append(json.dumps({"text": "", "image": f"images/{level}.png", "skin": f"grey {level}"}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


def test_pictures_that_are_training_pictures_over_again_are_named(row, tmp_path, caplog):
    """The second picture of the sheet is flat, of level 128; the first is like none."""
    dataset = publish(tmp_path / "set", train=[20, 60, 126, 250], validation=[40, 90, 190])
    scores = judge([], dataset).judge(row)
    assert scores["drawn_copied"] == 0.5
    (copy,) = scores["drawn_copies"]
    assert copy.startswith("'b' was drawn as training picture 'grey 126' (distance 0.")
    assert f"Step 2: {copy}." in caplog.text

    fresh = publish(tmp_path / "other", train=[20, 60, 250], validation=[40, 90, 190])
    (tmp_path / FILE_NAME).unlink()
    assert judge([], fresh).judge(row)["drawn_copied"] == 0.0


def test_a_training_set_with_nothing_held_out_tells_of_no_copies(row, tmp_path):
    assert "drawn_copied" not in judge([], publish(tmp_path / "set", train=[20, 126])).judge(row)
