"""Compositing has known answers: keys are drawn here in a known style, spoilt, and lettered anew."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from skin_pipeline.colours import to_lab
from skin_pipeline.errors import ConfigurationError, InputError
from skin_pipeline.geometry import quad_sizes
from skin_pipeline.recognition.crops import straighten
from skin_pipeline.recognition.recognizers import PaddleRecognizer
from skin_pipeline.recognition.weights import embedded_weights
from skin_pipeline.skins.contrast import contrast_with
from skin_pipeline.skins.drawn.legends import em_for, write
from skin_pipeline.skins.legends import composite_legends, refuse_missing_characters
from skin_pipeline.typefaces import font_path

WIDTH, HEIGHT = 240, 176
PANEL, CAP, INK = (40, 60, 90), (232, 226, 214), (112, 26, 54)
TEXTS = (("Q", "W", "E", "R"), ("Shift", "空格", "中文", "123"), ("返回", "Go", "发送", "k"))


@dataclass
class Board:
    """A drawn board and what is written on it."""

    bare: np.ndarray
    """Without legends, (H, W, 3)."""
    drawn: np.ndarray
    texts: list[str]
    quads: np.ndarray


def draw_board(ink=INK, cap=CAP, latin="humanist", chinese="sans_sc_bold", shadow=None, texts=TEXTS):
    """Draw keys in rows; a legend has a shadow, (x, y, levels), if that is given."""
    bare = np.full((HEIGHT, WIDTH, 3), PANEL, np.uint8)
    rows, columns = len(texts), len(texts[0])
    pitch = WIDTH / columns, HEIGHT / rows
    for row in range(rows):
        for column in range(columns):
            corner = round(column * pitch[0]) + 4, round(row * pitch[1]) + 4
            far = round((column + 1) * pitch[0]) - 4, round((row + 1) * pitch[1]) - 4
            cv2.rectangle(bare, corner, far, cap, -1)
    drawn, quads = bare.copy(), []
    for index, text in enumerate(text for row in texts for text in row):
        centre = (index % columns + 0.5) * pitch[0], (index // columns + 0.5) * pitch[1]
        font = font_path(latin if text.isascii() else chinese)
        em = em_for(text, font, 17, 42)
        if shadow is not None:
            soft = np.zeros_like(bare)
            write(soft, text, font, em, (centre[0] + shadow[0], centre[1] + shadow[1]), (255, 255, 255))
            share = cv2.GaussianBlur(soft, (0, 0), 1.0) / 255 * shadow[2]
            drawn = np.rint(drawn * (1 - share)).astype(np.uint8)
        quads.append(write(drawn, text, font, em, centre, ink))
    return Board(bare, drawn, [text for row in texts for text in row], np.stack(quads))


def smear(board, seed=0):
    """Return a board as a model in training leaves it: strokes lost, blurred, of changing colour."""
    rng = np.random.default_rng(seed)
    noise = cv2.resize(
        rng.normal(0, 1, (HEIGHT // 5, WIDTH // 5, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    kept = (
        cv2.resize(rng.random((HEIGHT // 5, WIDTH // 5)), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
        < 0.55
    )
    shown = np.where(kept[..., None], board.drawn, board.bare).astype(np.float32)
    return np.clip(cv2.GaussianBlur(shown, (0, 0), 1.4) + 6 * noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def board():
    return draw_board()


@pytest.fixture(scope="module")
def spoilt(board):
    return smear(board)


@pytest.fixture(scope="module")
def composited(board, spoilt):
    return composite_legends(spoilt, board.quads, board.texts)


@pytest.fixture(scope="module")
def reader():
    return PaddleRecognizer(embedded_weights())


def read(picture, board, reader):
    return [text for text, _ in reader.recognize([straighten(picture, quad) for quad in board.quads])]


def test_a_recogniser_reads_what_it_could_not_before(board, spoilt, composited, reader):
    before, after = read(spoilt, board, reader), read(composited.picture, board, reader)
    assert sum(map(str.__eq__, before, board.texts)) <= 5
    assert after == board.texts


def test_each_legend_stands_out_from_what_lies_beside_it(composited):
    assert min(legend.contrast for legend in composited.legends) >= 4.5
    for legend in composited.legends:
        left, top = np.floor(legend.line.quad.min(axis=0)).astype(int)
        right, bottom = np.ceil(legend.line.quad.max(axis=0)).astype(int)
        cut = composited.picture[top:bottom, left:right]
        far = np.linalg.norm(to_lab(cut) - to_lab(legend.ink), axis=2)
        assert far.min() < 6, "the ink is there, undiluted"
        assert contrast_with(legend.ink, cut[far > 45], 0.15) >= 4.5


def test_the_ink_is_the_pictures_own(board, composited):
    clean = composite_legends(board.drawn, board.quads, board.texts)
    assert {legend.ink for legend in clean.legends} == {INK}
    (ink,) = {legend.ink for legend in composited.legends}
    assert np.linalg.norm(to_lab(ink) - to_lab(INK)) < 30


def test_a_legend_of_another_colour_keeps_it(board):
    picture = board.drawn.copy()
    cut = picture[-60:, 60:120]
    cut[(cut == CAP).all(axis=2)] = (30, 30, 34)
    is_ink = np.linalg.norm(to_lab(cut) - to_lab(INK), axis=2) < 30
    cut[is_ink] = (250, 200, 60)
    inks = [legend.ink for legend in composite_legends(picture, board.quads, board.texts).legends]
    assert np.linalg.norm(to_lab(inks[9]) - to_lab((250, 200, 60))) < 12
    assert {ink for index, ink in enumerate(inks) if index != 9} == {INK}


@pytest.mark.parametrize(("latin", "chinese"), [("serif_sc", "sans_sc_regular"), ("rounded", "sans_sc_bold")])
def test_the_typeface_is_the_one_that_is_drawn(latin, chinese):
    board = draw_board(latin=latin, chinese=chinese)
    lines = [legend.line for legend in composite_legends(board.drawn, board.quads, board.texts).legends]
    assert {line.font for line in lines if line.text.isascii()} == {font_path(latin)}
    assert {line.font for line in lines if not line.text.isascii()} == {font_path(chinese)}


def test_nothing_remains_of_what_was_drawn(board):
    """Other texts are written over the board; where these have no ink, the bare keys show."""
    others = ["O", "M", "F", "K", "Ghost", "生活", "自然", "147", "作者", "Ox", "花园", "h"]
    made = composite_legends(board.drawn, board.quads, others)
    covered = sum(legend.line.coverage(0, 0, WIDTH, HEIGHT) for legend in made.legends)
    is_bare = cv2.dilate(covered, np.ones((3, 3))) == 0
    before = np.abs(board.drawn.astype(int) - board.bare).max(axis=2)[is_bare]
    after = np.abs(made.picture.astype(int) - board.bare).max(axis=2)[is_bare]
    assert (before > 60).sum() > 200
    assert (after > 8).sum() <= 10
    assert after.max() <= 30


def test_what_is_not_a_legend_stays(board, spoilt, composited):
    reach = 12
    far = np.ones(spoilt.shape[:2], bool)
    for quad in board.quads:
        left, top = np.floor(quad.min(axis=0)).astype(int) - reach
        right, bottom = np.ceil(quad.max(axis=0)).astype(int) + reach
        far[max(0, top) : bottom, max(0, left) : right] = False
    assert far.sum() > 1000
    np.testing.assert_array_equal(composited.picture[far], spoilt[far])


def test_the_same_input_gives_the_same_pixels(board, spoilt, composited):
    before = spoilt.copy()
    again = composite_legends(spoilt, board.quads.tolist(), board.texts)
    np.testing.assert_array_equal(again.picture, composited.picture)
    np.testing.assert_array_equal(spoilt, before)


def test_a_row_has_one_size_and_one_baseline_whatever_the_quads(board):
    rng = np.random.default_rng(3)
    loose = board.quads + rng.normal(0, 0.5, board.quads.shape)
    loose[1] += [(-6, -6), (6, -6), (6, 6), (-6, 6)]
    lines = [legend.line for legend in composite_legends(board.drawn, loose, board.texts).legends]
    assert len({line.em_px for line in lines[:4]}) == 1
    for row in (lines[:4], lines[5:7]):
        assert len({line.origin[1] for line in row}) == 1
    assert {line.degrees for line in lines} == {0.0}


def test_pale_ink_is_made_as_much_darker_as_need_be():
    pale = draw_board(ink=(190, 170, 176))
    made = composite_legends(pale.drawn, pale.quads, pale.texts)
    (ink,) = {legend.ink for legend in made.legends}
    assert 4.5 <= contrast_with(ink, np.asarray([CAP], np.uint8)) < 6
    assert np.ptp(ink) > 3, "it keeps its hue"


def test_restless_keys_get_a_plate_and_stay_legible():
    """No ink has enough contrast with a cap of black and white."""
    board = draw_board()
    stripes = (np.indices(board.bare.shape[:2]).sum(axis=0) // 3 % 2 * 255).astype(np.uint8)
    noisy = np.where((board.bare == CAP).all(axis=2)[..., None], stripes[..., None], board.bare)
    made = composite_legends(noisy, board.quads, board.texts)
    assert min(legend.plate for legend in made.legends) > 0
    assert min(legend.contrast for legend in made.legends) >= 4.5


def test_a_shadow_is_found_and_drawn_again():
    kind = {"ink": (250, 250, 250), "cap": (120, 150, 120)}
    board = draw_board(**kind, shadow=(1, 1, 0.8))
    made = composite_legends(board.drawn, board.quads, board.texts)
    assert made.shadow is not None
    assert made.shadow.is_dark
    assert made.shadow.step[1] > 0
    plain = draw_board(**kind)
    assert composite_legends(plain.drawn, plain.quads, plain.texts).shadow is None


def test_turned_and_upright_legends_are_set_as_they_run(reader):
    board = draw_board(texts=(("Shift", "Enter"), ("Space", "Home")))
    centre = (WIDTH / 2 - 0.5, HEIGHT / 2 - 0.5)
    matrix = cv2.getRotationMatrix2D(centre, 4, 1)
    leaning = cv2.warpAffine(board.drawn, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    quads = (board.quads - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    made = composite_legends(leaning, quads, board.texts)
    assert {round(legend.line.degrees, 1) for legend in made.legends} == {-4.0}
    assert [reader.recognize([straighten(made.picture, quad)])[0][0] for quad in quads] == board.texts

    upright = np.rot90(board.drawn, -1).copy()
    quads = np.stack([HEIGHT - board.quads[..., 1], board.quads[..., 0]], axis=2)
    seen = np.roll(quads, 1, axis=1)  # text readers start at the picture's own top left
    assert (quad_sizes(seen)[:, 1] > 1.5 * quad_sizes(seen)[:, 0]).all()
    made = composite_legends(upright, seen, board.texts)
    assert {legend.line.degrees for legend in made.legends} == {90.0}
    crops = [np.rot90(straighten(made.picture, quad)) for quad in seen]
    assert [text for text, _ in reader.recognize(crops)] == board.texts


def test_a_picture_without_legends_is_a_copy(board):
    made = composite_legends(board.drawn, np.zeros((0, 4, 2)), [])
    np.testing.assert_array_equal(made.picture, board.drawn)
    assert made.picture is not board.drawn


def test_characters_that_cannot_be_written_are_named(board):
    with pytest.raises(
        ConfigurationError, match=r"The legend '囧途' .* no glyph for 囧\. Name another font in"
    ):
        composite_legends(board.drawn, board.quads[:2], ["Go", "囧途"])
    with pytest.raises(ConfigurationError, match=r"narrow\.otf has no glyph for 中, 文"):
        refuse_missing_characters(["Go", "中文"], font_path("narrow"))


def test_wrong_quads_are_refused_by_name(board):
    with pytest.raises(InputError, match="There are 12 quads but 11 legends"):
        composite_legends(board.drawn, board.quads, board.texts[1:])
    with pytest.raises(InputError, match="quad of the legend 'Q' lies partly outside the picture of 240x176"):
        composite_legends(board.drawn, board.quads[:1] - (60, 0), ["Q"])
    with pytest.raises(InputError, match=r"quad of the legend 'Q' is 0\.0 x 0\.0 px"):
        composite_legends(board.drawn, board.quads[:1] * 0, ["Q"])
