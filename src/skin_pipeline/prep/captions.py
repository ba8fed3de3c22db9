"""Write the captions of skins: measured ones, or BLIP's.

A caption is ``<prefix> <what the engine says><suffix>``. The ``described`` engine says what it measured and
needs no weights; the ``blip`` engine loads any BLIP captioning model.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from skin_pipeline.base_models import resolve_weights
from skin_pipeline.items import Output, Rejection, Task, Worker
from skin_pipeline.prep.blip import BlipCaptioner, BlipParameters, weights_digest
from skin_pipeline.prep.describe import describe_skin
from skin_pipeline.schemas import Parameters

DESCRIBED_MODEL = "measured colours and key shapes"


class CaptionParameters(Parameters):
    """Which engine captions skins, and what stands before and after its words."""

    engine: Literal["described", "blip"] = "described"
    """``described`` measures colours and key shapes; ``blip`` loads the model below."""

    prefix: str = "a keyboard skin of"
    """Every caption begins so."""

    suffix: str = ",iflyskin"
    """Every caption ends so: the trigger word of the set."""

    blip: BlipParameters = BlipParameters()
    """Only for the engine ``blip``."""

    batch_size: int = Field(default=8, ge=1)
    """Skins captioned at once."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that caption at the same time; leave it at 1 for BLIP on a GPU."""

    def preflight(self) -> None:
        """Find the weights before any item is captioned.

        Raises:
            MissingWeightsError: ``blip.model`` is no usable folder, or a hub id that cannot be had.
        """
        if self.engine == "blip":
            resolve_weights(self.blip.model, "captions.blip.model", "config.json")

    def shared_digests(self) -> dict[str, str]:
        """Return the digest of what all items are made with, by name, for ``Plan.shared``."""
        if self.engine == "described":
            return {}
        return {"blip": weights_digest(self.blip.model)}

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change a caption, as JSON, for ``Plan.parameters``."""
        unused = {"batch_size", "num_workers"} | ({"blip"} if self.engine == "described" else set())
        parameters = self.model_dump(mode="json", exclude=unused)
        if "blip" in parameters:
            parameters["blip"].pop("device")
        return parameters


Say = Callable[[Sequence[Task]], list[tuple[str, dict[str, Any]]]]
"""An engine: returns words and attributes for each task of a batch."""


def make_captioner(parameters: CaptionParameters) -> Worker:
    """Build the worker that captions skins; the engine ``blip`` loads its model now.

    Args:
        parameters: Engine and framing.

    Returns:
        A worker for tasks with the source ``resized_skins``.
    """
    if parameters.engine == "described":
        return partial(_caption_batch, parameters, DESCRIBED_MODEL, _describe)
    captioner = BlipCaptioner(parameters.blip, prompt=parameters.prefix)
    return partial(_caption_batch, parameters, parameters.blip.model, partial(_ask_blip, captioner.caption))


def _caption_batch(
    parameters: CaptionParameters, model: str, say: Say, tasks: Sequence[Task]
) -> list[Output | Rejection]:
    return [
        Output(
            {
                "caption": compose_caption(words, parameters.prefix, parameters.suffix),
                "engine": parameters.engine,
                "model": model,
                "prefix": parameters.prefix,
                "suffix": parameters.suffix,
                "attributes": attributes,
            }
        )
        for words, attributes in say(tasks)
    ]


def _describe(tasks: Sequence[Task]) -> list[tuple[str, dict[str, Any]]]:
    described = []
    for task in tasks:
        skin = task.inputs["resized_skins"]
        matrix = skin.record["matrix"]
        description = describe_skin(skin.load_image(), stretch=matrix[0][0] / matrix[1][1])
        described.append((description.text, description.attributes))
    return described


def _ask_blip(
    caption: Callable[[Sequence[Any]], list[str]], tasks: Sequence[Task]
) -> list[tuple[str, dict[str, Any]]]:
    said = caption([task.inputs["resized_skins"].load_image() for task in tasks])
    return [(words, {}) for words in said]


def compose_caption(words: str, prefix: str, suffix: str) -> str:
    """Put an engine's words between prefix and suffix.

    Args:
        words: What the engine said; it may begin with the prefix, and it may be empty.
        prefix: Stands before, with a space between.
        suffix: Stands after, with nothing between: it brings its own comma.

    Returns:
        The caption, without repetitions and with single spaces.
    """
    words = collapse_repetitions(words)
    if words.lower().startswith(prefix.lower()):
        words = words[len(prefix) :]
    words = words.strip(" ,.")
    # With nothing to say, "a keyboard skin of" would hang in the air.
    head = prefix if words else re.sub(r"\s+(of|with)$", "", prefix)
    return f"{head} {words}".strip() + suffix


def collapse_repetitions(text: str) -> str:
    """Write every word or phrase that is said several times in a row once.

    ``a bald bald bald man with a hat with a hat`` becomes ``a bald man with a hat``.

    Args:
        text: Words separated by spaces; punctuation counts as part of its word, but for the comparison.

    Returns:
        The text with single spaces.
    """
    words = text.split()
    keys = [word.lower().strip(".,;:!?\"'") or word for word in words]
    length = 1
    while 2 * length <= len(words):
        start = 0
        while start + 2 * length <= len(words):
            if keys[start : start + length] == keys[start + length : start + 2 * length]:
                del words[start : start + length], keys[start : start + length]
            else:
                start += 1
        length += 1
    return " ".join(words)
