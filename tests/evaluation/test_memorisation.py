import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.memorisation import TrainingPictures, thumbnail


def flat(level):
    return np.full((64, 96, 3), level, np.uint8)


@pytest.fixture
def training():
    return TrainingPictures([("dark", flat(40)), ("grey", flat(120)), ("bright", flat(220))])


def test_a_copy_is_at_no_distance_from_its_original(training):
    nearest = training.nearest(flat(120))
    assert (nearest.skin, nearest.distance, nearest.proportion) == ("grey", 0.0, 0.0)
    assert nearest.hash_bits == 0


def test_distances_are_those_of_lightness(training):
    """Between grey pictures CIELAB's distance is that of lightness alone."""
    lightness = {level: float(thumbnail(flat(level))[0, 0, 0]) for level in (40, 120, 130, 220)}
    nearest = training.nearest(flat(130))
    assert nearest.skin == "grey"
    assert nearest.distance == pytest.approx(lightness[130] - lightness[120], abs=1e-3)
    own = min(lightness[120] - lightness[40], lightness[220] - lightness[120])
    assert nearest.proportion == pytest.approx(nearest.distance / own, rel=1e-3)


def test_a_training_picture_is_not_compared_with_itself(training):
    assert training.nearest(flat(40), leave_out="dark").skin == "grey"
    assert training.nearest(flat(40), leave_out="dark").proportion == pytest.approx(1.0, abs=0.3)


def test_order_changes_nothing(training):
    pictures = [("bright", flat(220)), ("dark", flat(40)), ("grey", flat(120))]
    assert TrainingPictures(pictures).nearest(flat(90)) == training.nearest(flat(90))


def test_more_pictures_than_are_compared_at_once():
    rng = np.random.default_rng(0)
    pictures = [(f"{i:03d}", rng.integers(0, 256, (32, 32, 3), np.uint8)) for i in range(300)]
    training = TrainingPictures(pictures)
    assert training.nearest(pictures[280][1]).skin == "280"
    beside = training.nearest(pictures[280][1], leave_out="280")
    assert beside.proportion >= 1.0  # its neighbour's own neighbour is no further than it


def test_equal_training_pictures_make_no_finite_proportion():
    twins = TrainingPictures([("a", flat(100)), ("b", flat(100))])
    assert twins.nearest(flat(110)).proportion == np.inf
    assert twins.nearest(flat(100)).proportion == 0.0


def test_one_training_picture_is_too_few():
    with pytest.raises(InputError, match="at least 2"):
        TrainingPictures([("a", flat(1))])
