import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skin_pipeline.skins.export.stacks import Cell, Stack, plan_stacks
from skin_pipeline.skins.model import Rect

REGION = Rect(0, 0, 100, 60)
rects = st.builds(Rect, st.integers(0, 90), st.integers(0, 50), st.integers(1, 40), st.integers(1, 30))


def leaves(node):
    return [node] if isinstance(node, Cell) else [leaf for part in node.parts for leaf in leaves(part)]


def check_tree(node):
    """Parts of a row fill it from left to right, parts of a column from top to bottom; kinds alternate."""
    if isinstance(node, Cell):
        return
    if node.is_row:
        edges = [(part.rect.x, part.rect.right) for part in node.parts]
        assert all(part.rect.y == node.rect.y and part.rect.height == node.rect.height for part in node.parts)
        assert (edges[0][0], edges[-1][1]) == pytest.approx((node.rect.x, node.rect.right))
    else:
        edges = [(part.rect.y, part.rect.bottom) for part in node.parts]
        assert all(part.rect.x == node.rect.x and part.rect.width == node.rect.width for part in node.parts)
        assert (edges[0][0], edges[-1][1]) == pytest.approx((node.rect.y, node.rect.bottom))
    assert all(one[1] == pytest.approx(two[0]) for one, two in itertools.pairwise(edges))
    for part in node.parts:
        assert not isinstance(part, Stack) or part.is_row != node.is_row
        check_tree(part)


def test_rows_of_keys_keep_their_rectangles_and_gaps_become_empty_cells():
    cells = [Cell("a", Rect(0, 0, 40, 20)), Cell("b", Rect(50, 0, 50, 20)), Cell("c", Rect(10, 30, 80, 30))]
    tree = plan_stacks(cells, REGION)
    assert {cell.name: cell.rect for cell in tree.cells()} == {cell.name: cell.rect for cell in cells}
    assert sum(leaf.name is None for leaf in leaves(tree.root)) == 4
    assert (tree.trimmed, tree.hidden) == ((), ())
    check_tree(tree.root)


def test_a_key_over_two_rows_makes_columns():
    cells = [Cell("list", Rect(0, 0, 20, 40)), Cell("1", Rect(20, 0, 40, 20)), Cell("2", Rect(60, 0, 40, 20)),
             Cell("3", Rect(20, 20, 80, 20)), Cell("enter", Rect(0, 40, 100, 20))]  # fmt: skip
    tree = plan_stacks(cells, REGION)
    assert {cell.name: cell.rect for cell in tree.cells()} == {cell.name: cell.rect for cell in cells}
    assert not tree.trimmed


def test_of_keys_that_overlap_the_smallest_piece_is_cut_off():
    tree = plan_stacks([Cell("wide", Rect(0, 0, 60, 60)), Cell("narrow", Rect(55, 0, 45, 60))], REGION)
    assert {cell.name: cell.rect for cell in tree.cells()} in (
        {"wide": Rect(0, 0, 60, 60), "narrow": Rect(60, 0, 40, 60)},
        {"wide": Rect(0, 0, 55, 60), "narrow": Rect(55, 0, 45, 60)},
    )
    assert len(tree.trimmed) == 1


def test_of_keys_in_one_place_the_last_is_kept():
    tree = plan_stacks([Cell("under", Rect(5, 5, 20, 20)), Cell("over", Rect(5, 5, 20, 20))], REGION)
    assert [cell.name for cell in tree.cells()] == ["over"]
    assert tree.hidden == ("under",)


def test_what_leaves_the_region_is_cut_off():
    tree = plan_stacks([Cell("in", Rect(90, 0, 30, 60)), Cell("out", Rect(200, 0, 5, 5))], REGION)
    assert [(cell.name, cell.rect) for cell in tree.cells()] == [("in", Rect(90, 0, 10, 60))]
    assert (tree.trimmed, tree.hidden) == (("in",), ("out",))


@settings(max_examples=120, deadline=None)
@given(st.lists(rects, min_size=1, max_size=14))
def test_any_rectangles_become_a_sound_tree(places):
    cells = [Cell(str(index), rect) for index, rect in enumerate(places)]
    tree = plan_stacks(cells, REGION)
    check_tree(tree.root)
    found = {cell.name: cell.rect for cell in tree.cells()}
    assert set(found) | set(tree.hidden) == {cell.name for cell in cells}
    for cell in cells:
        if cell.name in found:
            assert found[cell.name].intersection(cell.rect) == found[cell.name]
            if cell.name not in tree.trimmed:
                assert found[cell.name] == cell.rect
