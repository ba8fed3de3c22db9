import numpy as np

from skin_pipeline.training.pictures import DrawnRow, cut_rows, join_rows


def test_a_sheet_of_several_sizes_is_cut_into_what_it_was_joined_from():
    rng = np.random.default_rng(0)
    sizes = [(40, 30), (24, 36), (40, 8)]
    rows = [DrawnRow(*rng.integers(0, 200, (3, height, width, 3), np.uint8)) for width, height in sizes]
    sheet = join_rows(rows)
    assert sheet.shape == (30 + 36 + 8 + 2 * 4, 3 * 44 - 4, 3)
    assert (sheet[30:34] == 255).all()
    assert (sheet[34:70, 24:44] == 255).all()
    for row, cut in zip(rows, cut_rows(sheet, sizes), strict=True):
        for name in DrawnRow._fields:
            np.testing.assert_array_equal(getattr(cut, name), getattr(row, name))
