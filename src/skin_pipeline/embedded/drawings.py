"""What the base model learns from, as arrays on disk: drawn skins, then sheets of keys with any legends.

Shapes: N drawings, S the resolution, s = S/8 latent cells, V captions a skin. Files of a folder:

* ``pictures.npy`` (N, S, S, 3) uint8, RGB; the drawing stretched to a square, as the data pipeline does it.
* ``edges.npy`` (N, S, S/8) uint8, Canny edges as packed bits.
* ``legend_cells.npy`` (N, s, s) uint8, share of a cell that lies inside a legend's box, 0–255.
* ``captions.json`` N lists of V captions, English and Chinese.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from skin_pipeline.embedded.parameters import DrawingParameters
from skin_pipeline.skins.drawn import NUM_VARIANTS, SkinStyle, describe_style, draw_skin
from skin_pipeline.skins.drawn.legend_sheets import draw_legend_sheet

CELL_PX = 8
SHEET_PITCHES_PX = ((64, 128), (48, 80))
"""Least and greatest width and height of a sheet's places for keys."""
PREFIX, SUFFIX = "a keyboard skin of ", ",iflyskin"


@dataclass(frozen=True)
class Drawing:
    """One skin or sheet as the training sees it; shapes as above, without N."""

    picture: NDArray[np.uint8]
    edges: NDArray[np.uint8]
    legend_cells: NDArray[np.uint8]
    captions: list[str]


def draw_training_skin(seed: int, parameters: DrawingParameters) -> Drawing:
    """Draw one skin, stretch it to the square and trace its edges."""
    width, height = parameters.drawn_size_px
    side = parameters.resolution_px
    skin = draw_skin(seed, width_px=width, height_px=height)
    picture = np.asarray(cv2.resize(skin.image, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    quads = [legend.quad * [side / width, side / height] for legend in skin.legends]
    texts = [legend.text for legend in skin.legends]
    return _traced(picture, quads, training_captions(skin.style, texts, seed), parameters)


def draw_training_sheet(seed: int, parameters: DrawingParameters) -> Drawing:
    """Draw one sheet of keys with any legends and trace its edges."""
    lots = np.random.default_rng(seed)
    side = parameters.resolution_px
    columns, rows = (max(1, side // int(lots.integers(*pitch, endpoint=True))) for pitch in SHEET_PITCHES_PX)
    sheet = draw_legend_sheet(seed, (side, side), (columns, rows), parameters.sheet_legends_px)
    captions = training_captions(sheet.style, sheet.texts, seed)
    return _traced(sheet.picture, sheet.quads, captions, parameters)


def _traced(
    picture: NDArray[np.uint8],
    quads: Iterable[NDArray[np.float64]],
    captions: list[str],
    parameters: DrawingParameters,
) -> Drawing:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    edges = cv2.Canny(gray, parameters.canny_low, parameters.canny_high)
    return Drawing(
        picture=picture,
        edges=np.packbits(edges > 0, axis=-1),
        legend_cells=_legend_cells(quads, picture.shape[0]),
        captions=captions,
    )


def _legend_cells(quads: Iterable[NDArray[np.float64]], side: int) -> NDArray[np.uint8]:
    mask = np.zeros((side, side), np.uint8)
    for quad in quads:
        cv2.fillConvexPoly(mask, np.round(quad).astype(np.int32), 255)
    cells = side // CELL_PX
    return np.asarray(cv2.resize(mask, (cells, cells), interpolation=cv2.INTER_AREA), np.uint8)


def training_captions(style: SkinStyle, texts: Sequence[str], seed: int) -> list[str]:
    """Return true captions of one drawing in the forms a user's prompt may take.

    Free descriptions in English and Chinese; the published form with prefix and suffix; and that form
    followed by the legends, as rows of a training file have it.
    """
    english = [describe_style(style, "en", variant) for variant in range(NUM_VARIANTS)]
    chinese = [describe_style(style, "zh", variant) for variant in range(NUM_VARIANTS)]
    published = [PREFIX + caption + SUFFIX for caption in english[:4]]
    order = np.random.default_rng(seed).permutation(len(texts))[:8]
    writing = ", writing " + ", ".join(f'"{texts[i]}"' for i in sorted(order))
    return [*english, *chinese, *published, published[0] + writing, published[1] + writing]


def draw_training_skins(parameters: DrawingParameters, folder: Path) -> None:
    """Draw all skins and sheets into the arrays of ``folder``, which must exist."""
    count, side = parameters.num_drawings, parameters.resolution_px
    cells = side // CELL_PX
    pictures = _create(folder / "pictures.npy", (count, side, side, 3))
    edges = _create(folder / "edges.npy", (count, side, side // 8))
    legend_cells = _create(folder / "legend_cells.npy", (count, cells, cells))
    captions = []
    for index, drawing in enumerate(_drawings(parameters)):
        pictures[index], edges[index] = drawing.picture, drawing.edges
        legend_cells[index] = drawing.legend_cells
        captions.append(drawing.captions)
    for array in (pictures, edges, legend_cells):
        array.flush()
    (folder / "captions.json").write_text(json.dumps(captions, ensure_ascii=False), encoding="utf-8")


def _create(path: Path, shape: tuple[int, ...]) -> Any:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)


def _drawings(parameters: DrawingParameters) -> Iterator[Drawing]:
    kinds = ((draw_training_skin, parameters.num_skins), (draw_training_sheet, parameters.num_legend_sheets))
    with ProcessPoolExecutor(parameters.num_workers, mp_context=get_context("spawn")) as pool:
        for draw, count in kinds:
            seeds = range(parameters.seed, parameters.seed + count)
            yield from pool.map(partial(draw, parameters=parameters), seeds, chunksize=16)
