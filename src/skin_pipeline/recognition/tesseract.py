"""Tesseract as a recogniser: the second opinion, which no training ever saw.

Text supervision trains against PP-OCR, so a better PP-OCR score may only mean that pictures learned to
please PP-OCR. Tesseract is independent of it in all that counts: another architecture (an LSTM over lines,
Smith 2007 and the 4.0 release), other training data (rendered fonts), another team.

It expects black print on white paper, about 40 px high. A crop is therefore turned into that first:

* Its colours are projected on the direction in which they differ most from the crop's border, so that red on
  green of equal lightness is as dark as black on white, and light text on dark keys becomes dark on light.
* It is scaled to one height, and surrounded by paper.

Two languages are asked one by one, and the surer answer counts. Asked together (``eng+chi_sim``) Tesseract
lets the first one answer most of the time: 天气 becomes ``RA``.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from skin_pipeline.errors import MissingWeightsError

Image = NDArray[np.uint8]

LANGUAGES = ("eng", "chi_sim")
SINGLE_LINE = 7
"""Page segmentation mode ``PSM_SINGLE_LINE``. Measured against 8 (word), 10 (character) and 13 (raw line)."""
LINE_HEIGHT_PX = 44
PAPER_PX = 10
"""White margin on each side."""
WIDEST_PX = 4096
"""Lines that would become wider are scaled to this width instead."""
SHARE_OF_INK = 99.0
"""Percentile of the distance from the background that counts as black."""
RESOLUTION_DPI = 300
"""Given to Tesseract with each picture, else it guesses and complains."""

FOLDERS = (
    "/usr/share/tesseract-ocr/5/tessdata",
    "/usr/share/tesseract-ocr/4.00/tessdata",
    "/usr/share/tessdata",
    "/usr/local/share/tessdata",
    "/opt/homebrew/share/tessdata",
)
"""Where the packages of Debian, Fedora, Arch and Homebrew put Tesseract's models."""
_IDEOGRAPH = r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]"
_SPACE_AT_IDEOGRAPH = re.compile(rf"(?<={_IDEOGRAPH})\s+|\s+(?={_IDEOGRAPH})")
_WHAT_TO_INSTALL = (
    "Install skin-pipeline with its 'tesseract' extra, and the models: on Debian and Ubuntu "
    "'apt-get install tesseract-ocr tesseract-ocr-chi-sim'; elsewhere put {files} into a folder that the "
    "environment variable TESSDATA_PREFIX names."
)


class TesseractRecognizer:
    """Tesseract through tesserocr: in this process, 5 ms a crop and language."""

    def __init__(self, folder: Path | None = None, languages: Sequence[str] = LANGUAGES) -> None:
        """Load one engine for each language.

        Args:
            folder: Holds ``<language>.traineddata`` files; by default what ``TESSDATA_PREFIX`` names, else
                where the system's packages put them.
            languages: Asked one by one; at least one.

        Raises:
            MissingWeightsError: tesserocr is not installed, or a language's model is missing.
        """
        tesserocr = _import_tesserocr(languages)
        folder = _find_models(folder, languages)
        version = tesserocr.tesseract_version().split()[1]
        self._name = f"tesseract {version} ({', '.join(languages)})"
        self._engines = [_load_engine(tesserocr, folder, language) for language in languages]

    @property
    def name(self) -> str:
        """Version and languages: ``tesseract 5.5.4 (eng, chi_sim)``."""
        return self._name

    def recognize(self, crops: Sequence[Image]) -> list[tuple[str, float]]:
        """Read crops; see :class:`skin_pipeline.recognition.recognizers.Recognizer`.

        A crop should reach little beyond its text, as a key's border is read as a bracket. Spaces beside
        ideographs are dropped.
        """
        return [self._read(crop) for crop in crops]

    def _read(self, crop: Image) -> tuple[str, float]:
        print_ = as_print(crop)
        if print_.min() == print_.max():
            return "", 0.0  # on blank paper Tesseract reads 四
        page = PillowImage.fromarray(print_)
        answers = [_ask(engine, page) for engine in self._engines]
        return max(answers, key=lambda answer: (bool(answer[0]), answer[1]))


def as_print(crop: Image) -> NDArray[np.uint8]:
    """Turn a crop of any colours into dark print on white paper.

    Args:
        crop: RGB, (H, W, 3).

    Returns:
        Gray, (h, w): lines :data:`LINE_HEIGHT_PX` high and :data:`PAPER_PX` of paper around.
    """
    gray = 255 - _ink(crop)
    height, width = gray.shape
    scale = min(LINE_HEIGHT_PX / height, WIDEST_PX / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    line = cv2.resize(gray, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    paper = (PAPER_PX,) * 4
    return np.asarray(
        cv2.copyMakeBorder(line, *paper, cv2.BORDER_CONSTANT, value=(_border_median(line),)), dtype=np.uint8
    )


def _ink(crop: Image) -> NDArray[np.uint8]:
    """Return how far each pixel is from the background towards the text, (H, W), 0 to 255."""
    background = _border_median(crop)
    offsets = crop.reshape(-1, 3).astype(np.float64) - background
    # The axis through the background along which colours spread most; its sign is arbitrary.
    axis = np.linalg.eigh(offsets.T @ offsets)[1][:, -1]
    along = offsets @ axis
    if abs(along.min()) > abs(along.max()):
        along = -along
    full = max(float(np.percentile(along, SHARE_OF_INK)), 1.0)
    ink: NDArray[np.uint8] = (255 * np.clip(along / full, 0, 1)).astype(np.uint8).reshape(crop.shape[:2])
    return ink


def _border_median(image: NDArray[np.uint8]) -> Any:
    """Return the median of a picture's outermost pixels: a number (gray) or (3,)."""
    return np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]]), axis=0)


def _ask(engine: Any, page: PillowImage.Image) -> tuple[str, float]:
    engine.SetImage(page)
    engine.SetSourceResolution(RESOLUTION_DPI)
    text = _SPACE_AT_IDEOGRAPH.sub("", " ".join(engine.GetUTF8Text().split()))
    return text, (engine.MeanTextConf() / 100 if text else 0.0)


def _load_engine(tesserocr: Any, folder: Path, language: str) -> Any:
    engine = tesserocr.PyTessBaseAPI(path=f"{folder}{os.sep}", lang=language, psm=SINGLE_LINE)
    engine.SetVariable("debug_file", os.devnull)  # "Empty page!!" of crops without text
    return engine


def _import_tesserocr(languages: Sequence[str]) -> Any:
    try:
        import tesserocr
    except ImportError as error:
        raise MissingWeightsError(
            f"Tesseract is asked for, but tesserocr is not installed ({error}). {_advice(languages)}"
        ) from error
    return tesserocr


def _find_models(folder: Path | None, languages: Sequence[str]) -> Path:
    """Return the first folder that has every language's model."""
    prefix = os.environ.get("TESSDATA_PREFIX")
    places = [folder] if folder else [Path(place) for place in ((prefix,) if prefix else FOLDERS)]
    for place in places:
        if all((place / f"{language}.traineddata").is_file() for language in languages):
            return place
    raise MissingWeightsError(
        f"Tesseract's models for {', '.join(languages)} are not in "
        f"{', '.join(str(place) for place in places)}. {_advice(languages)}"
    )


def _advice(languages: Sequence[str]) -> str:
    return _WHAT_TO_INSTALL.format(files=" and ".join(f"{language}.traineddata" for language in languages))
