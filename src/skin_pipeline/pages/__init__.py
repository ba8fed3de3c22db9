"""What the self-contained HTML pages of this project have in common: template settings, look, pictures.

A page embeds everything it shows and fetches nothing, so it can be opened from a disk without a network,
mailed, or kept as an artifact.
"""

import base64
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

SHARED = Path(__file__).parent
"""Holds ``page.css.jinja2``: colours for light and dark surroundings, type, tables."""


def page_environment(folder: Path) -> Environment:
    """Return the settings for templates of a folder, which may include the shared ones.

    What is filled in is escaped, and a name that is not given is an error.
    """
    return Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def webp_uri(picture: npt.NDArray[np.uint8], max_side_px: int, quality: int) -> str:
    """Return a picture as a data URI, no side longer than ``max_side_px``.

    Args:
        picture: (H, W, 3) RGB or (H, W).
        max_side_px: Larger pictures are shrunk.
        quality: 1 to 100.
    """
    small = Image.fromarray(picture)
    small.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    small.save(encoded, "WEBP", method=4, quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
