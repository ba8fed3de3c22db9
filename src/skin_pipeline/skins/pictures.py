"""Decoding the pictures of a package, within limits."""

import io
import warnings
from collections.abc import Mapping

import numpy as np
from PIL import Image

from skin_pipeline.skins.findings import Findings
from skin_pipeline.skins.model import Atlas, RgbaPixels

MAX_ATLAS_PIXELS = 1 << 24
"""Pictures of more pixels are not decoded; Baidu's keyboard refuses them too."""
MAX_PACKAGE_PIXELS = 1 << 26
"""All pictures of a package together: 256 MiB as RGBA."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")


class Pictures:
    """Decodes pictures of a package when they are first asked for, each once."""

    def __init__(self, files: Mapping[str, bytes], findings: Findings) -> None:
        """Decode nothing yet."""
        self._files = files
        self._findings = findings
        self._atlases: dict[str, Atlas | None] = {}
        self._pixels_left = MAX_PACKAGE_PIXELS

    def atlas(self, path: str) -> Atlas | None:
        """Return a picture, or None (and a finding) if it cannot be decoded.

        Args:
            path: A path that is in the package.
        """
        if path not in self._atlases:
            self._atlases[path] = self._decode(path)
        return self._atlases[path]

    def _decode(self, path: str) -> Atlas | None:
        """Decode a picture, or say why not."""
        limit = min(MAX_ATLAS_PIXELS, self._pixels_left)
        try:
            pixels = decode_picture(self._files[path], limit)
        except ValueError as exc:
            self._findings.add(path, None, f"the picture cannot be used: {exc}", "what it shows is not drawn")
            return None
        self._pixels_left -= pixels.shape[0] * pixels.shape[1]
        return Atlas(path, pixels)


def decode_picture(content: bytes, max_pixels: int = MAX_ATLAS_PIXELS) -> RgbaPixels:
    """Decode a picture as RGBA.

    Args:
        content: The file.
        max_pixels: Largest width times height, checked before anything is unpacked.

    Returns:
        (H, W, 4) uint8.

    Raises:
        ValueError: It is no picture, is damaged, cut short or too large; the message says which.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ValueError(f"{width}x{height} pixels are more than {max_pixels}")
                return np.array(image.convert("RGBA"))
    except Image.DecompressionBombWarning as exc:
        raise ValueError(f"more than {max_pixels} pixels") from exc
    except Exception as exc:
        # A damaged file can fail anywhere in a decoder, with any kind of error.
        raise ValueError(
            str(exc) if isinstance(exc, ValueError) else "it is damaged or not a picture"
        ) from exc
