"""Previews: a few pictures of a dataset on one sheet, a few of its records in one table."""

from __future__ import annotations

import base64
import io
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro_datasets._typing import ImagePreview, TablePreview
from PIL import Image, ImageOps

PICTURE_SUFFIX = ".png"
"""Of items that are pictures; others, such as packages, are shown by their records."""
MAX_PICTURES = 24
MAX_PIXELS = 50_000_000
"""A larger picture is left off a sheet: decoding it would take longer than looking at it."""
PREVIEW_ROWS = 8
"""Records in a table."""
_CELL_CHARACTERS = 160


def sample(values: Sequence[Any], count: int) -> list[Any]:
    """Pick ``count`` values at even distances, all of them if there are fewer."""
    if len(values) <= count:
        return list(values)
    return [values[index * len(values) // count] for index in range(count)]


def draw_contact_sheet(
    paths: Sequence[Path], *, columns: int = 6, cell_px: tuple[int, int] = (160, 120)
) -> bytes | None:
    """Draw up to 24 pictures, evenly picked, side by side.

    Args:
        paths: Picture files; one that cannot be read leaves its cell out.
        columns: Pictures in a row.
        cell_px: Width and height that each picture is fitted into.

    Returns:
        A PNG file's bytes; None when no picture could be read.
    """
    thumbnails = [
        thumbnail
        for path in sample(paths, MAX_PICTURES)
        if (thumbnail := _thumbnail(path, cell_px)) is not None
    ]
    if not thumbnails:
        return None
    columns = min(columns, len(thumbnails))
    width, height = cell_px[0] + 8, cell_px[1] + 8
    sheet = Image.new("RGB", (columns * width, math.ceil(len(thumbnails) / columns) * height), "white")
    for index, thumbnail in enumerate(thumbnails):
        left, top = index % columns * width, index // columns * height
        sheet.paste(
            thumbnail, (left + (width - thumbnail.width) // 2, top + (height - thumbnail.height) // 2)
        )
    file = io.BytesIO()
    sheet.save(file, format="PNG")
    return file.getvalue()


def _thumbnail(path: Path, size_px: tuple[int, int]) -> Image.Image | None:
    """Read a picture small; None if it is none, or is too large."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                return None
            picture.draft("RGB", (2 * size_px[0], 2 * size_px[1]))
            thumbnail = ImageOps.exif_transpose(picture).convert("RGB")
            thumbnail.thumbnail(size_px)
            return thumbnail
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def image_preview(sheet: bytes | None) -> ImagePreview:
    """Wrap a sheet for kedro-viz, which shows nothing for an empty text."""
    return ImagePreview(base64.b64encode(sheet or b"").decode())


def table_preview(records: Sequence[Mapping[str, Any]]) -> TablePreview:
    """Make a table for kedro-viz: a column for each field that any of the records has.

    Args:
        records: The rows; what is neither text nor number is shown as JSON.

    Returns:
        The table, in pandas' "split" form.
    """
    columns = list(dict.fromkeys(field for record in records for field in record))
    rows = [[_cell(record.get(column, "")) for column in columns] for record in records]
    return TablePreview({"index": list(range(len(rows))), "columns": columns, "data": rows})


def _cell(value: object) -> object:
    """Return what a cell shows of a value."""
    if isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CELL_CHARACTERS else f"{text[:_CELL_CHARACTERS]}…"
