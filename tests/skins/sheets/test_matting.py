import numpy as np
import pytest

from skin_pipeline.skins.drawn import draw_skin
from skin_pipeline.skins.model import Rect
from skin_pipeline.skins.sheets.matting import fill_smoothly, lift_cap, lift_legend, panel_beneath


@pytest.fixture(scope="module", params=[1, 2, 3, 12])
def keyboard(request):
    """A drawn keyboard's picture and the places of its keys."""
    skin = draw_skin(request.param, width_px=480, height_px=360)
    return skin.image, [Rect(x, y, right - x, bottom - y) for x, y, right, bottom in skin.key_boxes]


def laid(layer, ground):
    alpha = layer[..., 3:] / 255
    return layer[..., :3] * alpha + ground * (1 - alpha)


def region(picture, place):
    return picture[int(place.y) : int(np.ceil(place.bottom)), int(place.x) : int(np.ceil(place.right))]


def test_filling_keeps_what_is_known_and_lies_between():
    picture = np.zeros((40, 60, 1), dtype=np.float32)
    picture[:, 30:] = 100
    known = np.ones((40, 60), dtype=bool)
    known[10:30, 10:50] = False
    filled = fill_smoothly(picture, known)
    assert (filled[known] == picture[known]).all()
    row = filled[20, 10:50, 0]
    assert row.min() >= 0
    assert row.max() <= 100
    assert row[0] < 20
    assert row[-1] > 80


def test_filling_a_plain_picture_changes_nothing():
    picture = np.full((33, 47, 3), 77, dtype=np.float32)
    known = np.random.default_rng(0).random((33, 47)) < 0.1
    assert fill_smoothly(picture, known) == pytest.approx(picture, abs=1e-3)


def test_panel_is_untouched_beside_the_keys(keyboard):
    picture, keys = keyboard
    panel = panel_beneath(picture, keys, margin_px=1)
    beside = np.ones(picture.shape[:2], dtype=bool)
    for key in keys:
        beside[
            int(key.y) - 1 : int(np.ceil(key.bottom)) + 1, int(key.x) - 1 : int(np.ceil(key.right)) + 1
        ] = False
    assert (panel[beside] == picture[beside]).all()


def test_cap_on_its_panel_is_the_picture(keyboard):
    picture, keys = keyboard
    panel = panel_beneath(picture, keys)
    for key in keys:
        again = laid(lift_cap(picture, panel, key), region(panel, key))
        difference = np.abs(again - region(picture, key))
        assert difference.mean() < 1.5


def test_legend_on_its_bare_cap_is_the_picture(keyboard):
    picture, keys = keyboard
    panel = panel_beneath(picture, keys)
    num_lifted = 0
    for key in keys:
        seen, cap = region(picture, key), lift_cap(picture, panel, key)
        bare, legend = lift_legend(seen, cap[..., 3] == 255, Rect(0, 0, seen.shape[1], seen.shape[0]))
        if legend is None:
            assert bare is seen
            continue
        num_lifted += 1
        assert np.abs(laid(legend.pixels, bare) - seen).mean() < 1.0
    assert num_lifted >= 0.9 * len(keys)


def test_bare_cap_is_plain_where_the_legend_was():
    cap = np.full((60, 90, 3), 240, dtype=np.uint8)
    cap[20:40, 30:34] = cap[20:40, 50:54] = (10, 20, 200)
    bare, legend = lift_legend(cap, np.ones((60, 90), dtype=bool), Rect(0, 0, 90, 60))
    assert np.abs(bare.astype(int) - 240).max() <= 1
    assert legend.colour == (10, 20, 200, 255)
    assert legend.box == Rect(30, 20, 24, 20)


def test_a_border_along_the_caps_edge_is_no_legend():
    cap = np.full((60, 90, 3), 240, dtype=np.uint8)
    cap[2:58, 2:88] = 100
    cap[4:56, 4:86] = 240
    bare, legend = lift_legend(cap, np.ones((60, 90), dtype=bool), Rect(0, 0, 90, 60))
    assert legend is None
    assert (bare == cap).all()


def test_a_key_without_a_cap_has_a_transparent_one():
    picture = np.full((100, 100, 3), 200, dtype=np.uint8)
    picture[45:55, 48:52] = 0
    key = Rect(20, 20, 60, 60)
    assert not lift_cap(picture, panel_beneath(picture, [key]), key)[..., 3].any()
