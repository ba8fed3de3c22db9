"""One self-contained HTML page of generated skins.

Pictures are embedded, nothing is fetched (a content security policy in the page forbids it), so the file can
be opened from a disk without a network, mailed, or kept as an artifact. The same pictures and records give
the same page, byte by byte. Loads no deep-learning library.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from skin_pipeline.generation.parameters import GalleryParameters
from skin_pipeline.items import Folder, Item
from skin_pipeline.pages import page_environment, webp_uri
from skin_pipeline.prep.positions import lines_of
from skin_pipeline.prep.publish import Row

_TEMPLATE = "gallery.html.jinja2"
_DIGEST_SHOWN = 12
"""Hexadecimal digits of a digest that are shown; the whole one is in the tooltip."""


@dataclass(frozen=True)
class Fact:
    """A line of a picture's record."""

    label: str
    value: str
    whole: str | None = None
    """The value in full where it is shortened."""


@dataclass(frozen=True)
class Picture:
    """A generated picture on the page."""

    uri: str
    seed: int
    prompt: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class Board:
    """Everything that was generated from one conditioning image."""

    skin: str
    conditioning: str | None
    """How the conditioning image was made; none where it is no longer there, or another one."""
    edges_uri: str | None
    """The conditioning image, white on transparent."""
    real_uri: str | None
    """The real skin, if one is behind the conditioning image."""
    prompts: tuple[tuple[str, tuple[Picture, ...]], ...]
    """Pictures by prompt, sorted by seed."""


def render_page(
    generated: Iterable[Item],
    rows: Mapping[str, Row],
    dataset: Folder,
    parameters: GalleryParameters,
    control_images: Mapping[str, Item] | None = None,
) -> str:
    """Render the page.

    Args:
        generated: Pictures with the records of :mod:`skin_pipeline.generation.worker`.
        rows: The training set's rows by skin.
        dataset: The training set.
        parameters: How to show them.
        control_images: Drawn layouts that pictures may have been conditioned on in place of skins, by id.

    Returns:
        HTML.
    """
    items = sorted(
        generated, key=lambda item: (item.record["conditioning"], item.record["prompt"], item.record["seed"])
    )
    shown = items[: parameters.max_pictures]
    by_skin = groupby(shown, key=lambda item: str(item.record["conditioning"]))
    boards = [
        _board(skin, list(group), rows.get(skin), dataset, parameters, control_images or {})
        for skin, group in by_skin
    ]
    return (
        page_environment(Path(__file__).parent)
        .get_template(_TEMPLATE)
        .render(
            title=parameters.title,
            aspect=parameters.display_aspect,
            boards=boards,
            summary=_summary(items),
            num_shown=len(shown),
            num_pictures=len(items),
        )
    )


def _board(
    skin: str,
    items: Sequence[Item],
    row: Row | None,
    dataset: Folder,
    parameters: GalleryParameters,
    control_images: Mapping[str, Item],
) -> Board:
    pictures = [_picture(item, parameters) for item in items]
    grouped = groupby(pictures, key=lambda picture: picture.prompt)
    drawn = control_images.get(skin)
    conditioning: str | None = None
    edges: np.ndarray | None = None
    used = items[0].record["conditioning_sha256"]
    if row is not None and dataset.files.get(row.conditioning_image) != used:
        row = None
    if drawn is not None and drawn.sha256 == used:
        conditioning, edges, row = "drawn layout as", drawn.load_image(), None
    elif row is not None:
        conditioning, edges = row.conditioning, _stored(dataset.path, row.conditioning_image)
    return Board(
        skin=skin,
        conditioning=conditioning,
        edges_uri=None if edges is None else _edges_uri(edges),
        real_uri=_webp_uri(_stored(dataset.path, row.image), parameters.picture_quality) if row else None,
        prompts=tuple((prompt, tuple(group)) for prompt, group in grouped),
    )


def _picture(item: Item, parameters: GalleryParameters) -> Picture:
    record = item.record
    return Picture(
        uri=_webp_uri(item.load_image(), parameters.picture_quality),
        seed=int(record["seed"]),
        prompt=str(record["prompt"]),
        facts=tuple(_facts(item.id, record)),
    )


def _facts(item_id: str, record: Mapping[str, Any]) -> Iterable[Fact]:
    yield Fact("Picture", item_id)
    yield Fact("Seed", str(record["seed"]))
    if record["negative_prompt"]:
        yield Fact("Negative prompt", str(record["negative_prompt"]))
    yield Fact("Conditioning image", str(record.get("outlines_of", record["conditioning"])))
    yield _digest("Conditioning digest", record["conditioning_sha256"])
    yield _digest("Weights digest", record["weights_digest"])
    yield Fact("Base model", str(record["base_model"]))
    for name, value in sorted(record["settings"].items()):
        if value is not None:
            yield Fact(_label(name), _plain(value))


def _summary(items: Sequence[Item]) -> list[Fact]:
    """Say what the page shows; a value only where all pictures share it."""
    records = [item.record for item in items]
    facts = [
        Fact("Pictures", str(len(items))),
        Fact("Conditioning images", str(len({record["conditioning"] for record in records}))),
        Fact("Prompts", str(len({record["prompt"] for record in records}))),
        Fact("Seeds", str(len({record["seed"] for record in records}))),
    ]
    models = {record["base_model"] for record in records}
    weights = {record["weights_digest"] for record in records}
    if len(models) == 1:
        facts.append(Fact("Base model", str(models.pop())))
    if len(weights) == 1:
        facts.append(_digest("Weights", weights.pop()))
    return facts


def _label(name: str) -> str:
    return name.removesuffix("_px").replace("_", " ").removeprefix("num ").capitalize()


def _plain(value: object) -> str:
    return " × ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _digest(label: str, digest: str) -> Fact:
    return Fact(label, digest[:_DIGEST_SHOWN], whole=digest)


def _stored(folder: Path, name: str) -> np.ndarray:
    with Image.open(folder / name) as picture:
        return np.asarray(picture.convert("RGB"))


def _edges_uri(conditioning: np.ndarray) -> str:
    """Return a conditioning image, grey or colour, as white lines on nothing, to lie over a picture."""
    alpha = lines_of(conditioning)
    encoded = io.BytesIO()
    lines = Image.fromarray(np.dstack([np.full((*alpha.shape, 3), 255, np.uint8), alpha]))
    lines.save(encoded, "WEBP", method=4, lossless=True)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"


def _webp_uri(picture: np.ndarray, quality: int) -> str:
    return webp_uri(picture, max(picture.shape[:2]), quality)
