import cv2
import numpy as np
import pytest

from skin_pipeline.errors import InputError
from skin_pipeline.evaluation.memorisation import COPY_SHARE, TrainingPictures, copy_limit, is_copy, thumbnail


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


def drawings(numbers):
    """Return blocks of colour as unlike each other as skins are, one a number."""
    blocks = [np.random.default_rng(number).integers(0, 256, (4, 6, 3), np.uint8) for number in numbers]
    return [block.repeat(16, axis=0).repeat(16, axis=1) for block in blocks]


def test_the_limit_of_copies_is_half_of_what_real_pictures_keep(training):
    distances = [training.nearest(flat(level)).distance for level in (50, 90, 200)]
    found = copy_limit(training, [flat(level) for level in (50, 90, 200)])
    assert found == pytest.approx(COPY_SHARE * sorted(distances)[1])


def test_a_copied_training_picture_is_below_the_limit_and_fresh_or_dull_ones_are_not():
    learnt = drawings(range(40))
    training = TrainingPictures([(str(number), picture) for number, picture in enumerate(learnt)])
    limit = copy_limit(training, drawings(range(100, 110)))
    rough = learnt[7].astype(int) + np.random.default_rng(0).integers(-24, 25, learnt[7].shape)
    assert is_copy(training.nearest(learnt[7]), limit)
    assert is_copy(training.nearest(rough.clip(0, 255).astype(np.uint8)), limit)
    assert min(training.nearest(picture).distance for picture in drawings(range(200, 230))) > limit
    assert training.nearest(np.mean(learnt, axis=0).astype(np.uint8)).distance > limit


def circle(ground, left):
    picture = np.full((64, 64, 3), ground, np.uint8)
    return cv2.circle(picture, (left, 32), 6, (255, 255, 255), -1)


def test_an_empty_picture_of_the_right_colour_is_near_and_no_copy():
    """As measured on circles after two steps of training, before anything could be learned by heart."""
    grounds = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
    training = TrainingPictures([(str(one), circle(one, 16)) for one in grounds])
    limit = copy_limit(training, [circle((200, 200, 40), 40)])
    empty = np.full((64, 64, 3), grounds[0], np.uint8)
    empty[:, ::2] += 3
    assert training.nearest(empty).distance < limit
    assert not is_copy(training.nearest(empty), limit)
    assert is_copy(training.nearest(circle((205, 45, 45), 16)), limit)
