"""Whether a picture has the colours that its prompt names.

Colours are named in the one vocabulary of :mod:`skin_pipeline.colours`. The colour that covers most of a
keyboard is its panel's or its keys', so a picture agrees with its prompt when the name of its dominant colour
is one that the prompt gives to the panel or the keys. Colours of legends and of single keys are too small to
count.

Two figures belong beside a share of agreeing pictures: the share among real pictures (the ceiling, as names
have borders) and among pictures with another picture's prompt (chance).
"""

import re
from dataclasses import dataclass

import numpy as np

from skin_pipeline.colours import ColourName, colours_in, dominant_colours, name_colour
from skin_pipeline.prep.describe import describe_skin

_CLAUSE = re.compile(r"[,，、;；]| with ", re.IGNORECASE)
_SMALL = re.compile(r"\blegends?\b|\benter key\b|文字|字符|回车键", re.IGNORECASE)
_KEYS = re.compile(r"\bkeys\b|按键|键帽", re.IGNORECASE)
_QUOTED = re.compile(r'writing\s+("[^"]*"(?:,\s*)?)+')


@dataclass(frozen=True)
class PromptColours:
    """The colours that a prompt gives to the parts of a keyboard, by English name."""

    panel: tuple[str, ...]
    """Of the background; more than one for a gradient or a pattern."""
    keys: tuple[str, ...]

    @property
    def large(self) -> frozenset[str]:
        """The colours of the parts that can dominate a picture."""
        return frozenset(self.panel + self.keys)


def prompt_colours(prompt: str) -> PromptColours:
    """Read from a prompt which colours panel and keys should have.

    Clauses (between commas, or after "with") that speak of keys give the keys' colours, those of legends or
    of the enter key are left out, and all others give the panel's. Quoted legends are not read.

    Args:
        prompt: English or Chinese, in the words of :mod:`skin_pipeline.colours`.
    """
    panel: list[str] = []
    keys: list[str] = []
    for clause in _CLAUSE.split(_QUOTED.sub("", prompt)):
        if _SMALL.search(clause):
            continue
        part = keys if _KEYS.search(clause) else panel
        part += [colour.english for colour in colours_in(clause)]
    return PromptColours(tuple(dict.fromkeys(panel)), tuple(dict.fromkeys(keys)))


def dominant_colour(image: np.ndarray) -> ColourName:
    """Return the name of the colour that covers most of a picture, (H, W, 3) uint8 RGB."""
    (rgb, _), *_ = dominant_colours(image, k=1)
    return name_colour(rgb)


def colour_agrees(image: np.ndarray, prompt: str) -> bool | None:
    """Say whether a picture's dominant colour is one that its prompt gives to panel or keys.

    Args:
        image: (H, W, 3) uint8 RGB.
        prompt: What the picture should show.

    Returns:
        None where the prompt names no colour for either.
    """
    wanted = prompt_colours(prompt).large
    return dominant_colour(image).english in wanted if wanted else None


@dataclass(frozen=True)
class PartAgreement:
    """Whether panel and keys, each measured on its own, have the colours of the prompt.

    None where the prompt names no colour for the part; a part that cannot be found in the picture does not
    agree.
    """

    panel: bool | None
    keys: bool | None


def part_colours_agree(image: np.ndarray, prompt: str, *, stretch: float = 1.0) -> PartAgreement:
    """Say whether panel and keys have the colours that the prompt gives them.

    They are found as captions find them (:func:`skin_pipeline.prep.describe.describe_skin`), so a real skin
    agrees with its described caption by construction, as long as it is measured at the size it was described
    at.

    Args:
        image: (H, W, 3) uint8 RGB.
        prompt: What the picture should show.
        stretch: How much more the picture was scaled in x than in y.
    """
    wanted, measured = prompt_colours(prompt), describe_skin(image, stretch=stretch)
    return PartAgreement(
        panel=measured.panel in wanted.panel if wanted.panel else None,
        keys=measured.key in wanted.keys if wanted.keys else None,
    )
