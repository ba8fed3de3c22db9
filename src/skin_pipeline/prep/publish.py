"""Publish prepared skins as a training set that ``datasets.load_dataset(folder)`` reads without any script.

The folder::

    README.md                    dataset card; its YAML tells the datasets library which file is which split
    train.jsonl                  a row a skin, its columns those of :class:`Row`
    validation.jsonl             the same for held-out skins
    train_metadata.parquet       the rows once more, as the library wants them to decode both pictures
    validation_metadata.parquet
    images/                      RGB PNG, one a skin
    conditioning_images/         RGB PNG, one a skin, or a single shared one for each size

In a row, ``text`` is the caption followed by the first legends, ``…, writing "前往", "空格"``: as many as the
text encoder takes, unless told otherwise. ``legends`` holds all of them and ``box`` a quad for each, in the
same order, in the picture's pixels. ``original_size_px`` and ``crop_px`` tell SDXL what the picture was
before it was resized and cropped.
"""

import hashlib
import json
import logging
import re
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from PIL import Image
from pydantic import Field

from skin_pipeline.errors import ConfigurationError, IncompleteDatasetError, InputError
from skin_pipeline.geometry import Size, as_quads, clip_quads, quads_inside
from skin_pipeline.items import FolderPlan, Items, encode_png, json_digest, source_digest
from skin_pipeline.prep import shared
from skin_pipeline.prep.caption_quality import count_tokens, tokenizer_digest
from skin_pipeline.prep.duplicates import near_duplicate_groups
from skin_pipeline.prep.shared import SharedOutlines

ConditioningMode = Literal["shared", "per_skin", "glyph"]
QuotedLegends = Literal["fitting", "all", "none"]

SPLITS = ("train", "validation")
ROWS_AT_ONCE = 1000
"""So many rows are in memory at a time, and in a row group of the parquet files."""
CLIP_TOKENS = 77
"""CLIP's text encoder takes so many tokens, begin and end included, and cuts off what comes after."""
FRAME_TOLERANCE_PX = 1.0
"""How far a legend's quad may lie outside the picture (detectors round outwards); it is then moved inside."""

logger = logging.getLogger(__name__)

_LEGENDS_AT_END = re.compile(r', writing ((?:"[^"]*")(?:, "[^"]*")*)$')


class DatasetParameters(SharedOutlines):
    """What is published, and how it is divided."""

    conditioning: ConditioningMode = "per_skin"
    """``per_skin``: each skin's own edges. ``shared``: one image for all, ``shared_image``. ``glyph``: edges
    with the legends rendered into them."""

    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the skins that is held out. Above 0 at least one skin is."""

    seed: int = 0
    """Chooses which skins are held out."""

    min_confidence: float = Field(default=0.98, ge=0, le=1)
    """Strings read with more confidence than this become legends. With ``glyph`` the strings that were
    rendered are the legends, so ``glyphs.min_confidence`` counts instead."""

    quoted_legends: QuotedLegends = "fitting"
    """Which legends a caption quotes after its description. ``fitting``: the first ones, as far as the
    caption stays within the 77 tokens that CLIP's text encoder takes. ``all``: it cuts off what is too much;
    SD3's T5 reads on. ``none``. All legends are in the column ``legends`` anyway, and the text loss reads
    them there."""

    near_duplicate_bits: int = Field(default=3, ge=0, le=16)
    """Skins whose perceptual hashes differ in so many of 64 bits, or fewer, stay on one side of the split."""


@dataclass(frozen=True)
class DatasetSources:
    """What the stages made, joined here by id."""

    selected_skins: Items
    resized_skins: Items
    edge_maps: Items
    captions: Items
    text_boxes: Items
    glyph_maps: Items

    def used(self, parameters: DatasetParameters) -> dict[str, Items]:
        """Return the items that the conditioning wanted uses, by name."""
        mode = parameters.conditioning
        left_aside = {"edge_maps" if mode == "glyph" else "glyph_maps"}
        if mode == "shared" and not parameters.needs_edges:
            left_aside.add("edge_maps")
        return {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_aside
        }

    def ids(self, parameters: DatasetParameters) -> list[str]:
        """List the skins that came through every stage that the conditioning wanted needs of each skin."""
        needed = self.used(parameters)
        if parameters.conditioning == "shared":
            needed.pop("edge_maps", None)
        first, *others = needed.values()
        return [item_id for item_id in first if all(item_id in other for other in others)]


@dataclass(frozen=True)
class Row:
    """One row of the manifest; the fields are its columns. Older training sets lack the last four."""

    text: str
    image: str
    conditioning_image: str
    box: list[list[list[float]]]
    skin: str
    conditioning: str
    original_size_px: list[int] | None = None
    """Width and height of the raw skin, before it was resized."""
    crop_px: list[int] | None = None
    """How much was cut off at the left and at the top, in pixels of the published picture."""
    outlines_of: str | None = None
    """What the conditioning image shows the outlines of, if not of the skin itself: ``layout:four_parts``,
    ``picture:lines.png`` or the id of another skin."""
    legends: list[str] | None = None
    """What is written in each quad of ``box``. In older training sets the caption quotes them all."""


@dataclass(frozen=True)
class Legend:
    """A string and its quad in the resized skin, (4, 2) as nested lists."""

    text: str
    quad: list[list[float]]


def plan_dataset(sources: DatasetSources, parameters: DatasetParameters) -> FolderPlan:
    """Plan the published folder; it is written anew only when something that it is made from has changed."""
    contents = {name: items.digest for name, items in sources.used(parameters).items()}
    if parameters.conditioning == "shared":
        outlines = shared.drawn_or_given(parameters)
        contents["shared_image"] = "" if outlines is None else outlines.sha256
    if parameters.quoted_legends == "fitting":
        contents["tokenizer"] = tokenizer_digest()
    makers = (__name__, near_duplicate_groups.__module__, count_tokens.__module__, *shared.MODULES)
    modules = {module: source_digest(module) for module in makers}
    key = json_digest([contents, parameters.model_dump(mode="json"), modules])
    return FolderPlan(partial(write_dataset, sources=sources, parameters=parameters), key)


def write_dataset(folder: Path, sources: DatasetSources, parameters: DatasetParameters) -> None:
    """Fill an empty folder with the published training set, and check it.

    Args:
        folder: An existing, empty folder.
        sources: Items of all stages.
        parameters: What to publish.

    Raises:
        IncompleteDatasetError: No skin came through all stages, or a published file is missing or wrong.
        ConfigurationError: The parameters cannot be met by these skins.
    """
    ids = sources.ids(parameters)
    if not ids:
        raise IncompleteDatasetError(
            "No skin came through all stages, so there is nothing to publish. rejected.jsonl says why each "
            "was left out."
        )
    _refuse_equal_file_names(ids)
    hashes = {item_id: sources.selected_skins[item_id].record["phash"] for item_id in ids}
    held_out = choose_validation(hashes, parameters)
    outlines = _write_conditioning_images(folder, ids, sources, parameters)
    _copy_images(folder, ids, sources)
    tally = _Tally()
    for split in SPLITS:
        members = [item_id for item_id in ids if (item_id in held_out) == (split == "validation")]
        rows = (_row(id_, outlines[id_], sources, parameters, tally.left_out) for id_ in members)
        write_manifests(folder, split, tally.count(folder, split, rows))
    _log_captions(tally, parameters.quoted_legends)
    _write_card(folder, tally, parameters)
    check_dataset(folder, hashes, parameters.near_duplicate_bits)


@dataclass
class _Tally:
    """What the card says of rows that have passed by; the rows themselves would fill the memory."""

    num_rows: Counter[str] = field(default_factory=Counter)
    sizes: Counter[Size] = field(default_factory=Counter)
    num_legends: int = 0
    num_quoted: int = 0
    num_shortened: int = 0
    """Captions that do not quote all their legends."""
    num_too_long: int = 0
    """Captions that CLIP's text encoder cuts off."""
    left_out: Counter[str] = field(default_factory=Counter)

    def count(self, folder: Path, split: str, rows: Iterable[Row]) -> Iterator[Row]:
        """Hand rows on, and count them."""
        for row in rows:
            self.num_rows[split] += 1
            self.sizes[_picture_size(folder / row.image)] += 1
            num_quoted = len(split_legends(row.text)[1])
            self.num_legends += len(row.box)
            self.num_quoted += num_quoted
            self.num_shortened += num_quoted < len(row.box)
            self.num_too_long += count_tokens(row.text) > CLIP_TOKENS
            yield row


def _log_captions(tally: _Tally, quoted: QuotedLegends) -> None:
    """Say how many captions do not quote all their legends, or are cut off by the text encoder."""
    num_rows = tally.num_rows.total()
    if tally.num_too_long:
        advice = (
            "dataset.quoted_legends: fitting quotes only what it takes"
            if quoted == "all"
            else "shorten captions.prefix or suffix, or what captions.engine says"
        )
        logger.warning(
            "%d of %d captions have more than the %d tokens that CLIP's text encoder takes, which cuts off"
            " the rest: %s.", tally.num_too_long, num_rows, CLIP_TOKENS, advice,
        )  # fmt: skip
    if tally.num_shortened and quoted == "fitting":
        logger.info(
            "%d of %d captions do not quote all their legends, to keep within %d tokens (%d of %d legends are"
            " quoted; all are in the column 'legends'). dataset.quoted_legends: all quotes all, none none.",
            tally.num_shortened, num_rows, CLIP_TOKENS, tally.num_quoted, tally.num_legends,
        )  # fmt: skip


# --- rows ---------------------------------------------------------------------------------------------


def file_name(item_id: str) -> str:
    """Return the name of a skin's published files: ``demo/skin_1`` -> ``demo__skin_1.png``."""
    return item_id.replace("/", "__") + ".png"


def _refuse_equal_file_names(ids: Iterable[str]) -> None:
    owners: dict[str, str] = {}
    for item_id in ids:
        owner = owners.setdefault(file_name(item_id), item_id)
        if owner != item_id:
            raise InputError(
                f"Skins '{owner}' and '{item_id}' would both be {file_name(item_id)}. Rename one of them."
            )


def join_legends(caption: str, legends: Sequence[str]) -> str:
    """Append quoted legends to a caption: ``…, writing "前往", "空格"``."""
    if not legends:
        return caption
    return f"{caption}, writing " + ", ".join(f'"{legend}"' for legend in legends)


def split_legends(text: str) -> tuple[str, list[str]]:
    """Undo :func:`join_legends`: return the caption and the legends, in the order of the row's quads."""
    found = _LEGENDS_AT_END.search(text)
    if found is None:
        return text, []
    return text[: found.start()], re.findall(r'"([^"]*)"', found[1])


def legends_of(text: str, legends: Sequence[str] | None) -> list[str]:
    """Return what is written in a row's quads, in their order.

    Args:
        text: The row's caption.
        legends: The row's column; None where a training set lacks it, whose captions then quote them all.
    """
    return split_legends(text)[1] if legends is None else list(legends)


def quote_legends(caption: str, legends: Sequence[str], quoted: QuotedLegends) -> str:
    """Append legends to a caption: all, none, or as many of the first as the text encoder takes.

    Args:
        caption: What is said of the skin.
        legends: In the order of the row's quads.
        quoted: Which.
    """
    if quoted == "none":
        return caption
    if quoted == "all":
        return join_legends(caption, legends)
    counts = range(1, len(legends) + 1)
    num_fitting = bisect_right(
        counts, CLIP_TOKENS, key=lambda count: count_tokens(join_legends(caption, legends[:count]))
    )
    return join_legends(caption, legends[:num_fitting])


def _row(
    item_id: str,
    control: "_Control",
    sources: DatasetSources,
    parameters: DatasetParameters,
    left_out: Counter[str],
) -> Row:
    resized = sources.resized_skins[item_id].record
    width, height = resized["size_px"]
    found = _legends(item_id, sources, parameters)
    legends = list(_publishable(found, (width, height), left_out))
    texts = [legend.text for legend in legends]
    caption = sources.captions[item_id].record["caption"]
    return Row(
        text=quote_legends(caption, texts, parameters.quoted_legends),
        image=f"images/{file_name(item_id)}",
        conditioning_image=control.published,
        box=[legend.quad for legend in legends],
        skin=item_id,
        conditioning=parameters.conditioning,
        original_size_px=list(resized["source_size_px"]),
        crop_px=[max(0, round(-shift)) for *_, shift in resized["matrix"]],
        outlines_of=control.outlines_of,
        legends=texts,
    )


def _legends(item_id: str, sources: DatasetSources, parameters: DatasetParameters) -> list[Legend]:
    if parameters.conditioning == "glyph":
        rendered = sources.glyph_maps[item_id].record["rendered"]
        return [Legend(glyph["text"], glyph["quad"]) for glyph in rendered]
    boxes = sources.text_boxes[item_id].record["boxes"]
    least = parameters.min_confidence
    return [Legend(box["text"], box["quad"]) for box in boxes if box["confidence"] > least]


def _publishable(legends: Iterable[Legend], size: Size, left_out: Counter[str]) -> Iterator[Legend]:
    """Yield the legends that a row can state, and count the others by reason."""
    for legend in legends:
        if not legend.text.strip():
            left_out["empty"] += 1
        elif '"' in legend.text:
            left_out["with a quotation mark"] += 1
        elif not quads_inside(legend.quad, size, FRAME_TOLERANCE_PX).all():
            left_out["cut off by the frame"] += 1
        else:
            yield Legend(legend.text, clip_quads(legend.quad, size)[0].round(2).tolist())


# --- files --------------------------------------------------------------------------------------------


def _copy_images(folder: Path, ids: Iterable[str], sources: DatasetSources) -> None:
    (folder / "images").mkdir()
    for item_id in ids:
        path = sources.resized_skins[item_id].path
        assert path is not None, "a resized skin has a picture"
        shutil.copyfile(path, folder / "images" / file_name(item_id))


@dataclass(frozen=True)
class _Control:
    """A published conditioning image: its path, and what it shows the outlines of if not of its own skin."""

    published: str
    outlines_of: str | None


def _write_conditioning_images(
    folder: Path, ids: Sequence[str], sources: DatasetSources, parameters: DatasetParameters
) -> dict[str, _Control]:
    """Write the conditioning images as RGB; return them by skin."""
    (folder / "conditioning_images").mkdir()
    if parameters.conditioning == "shared":
        return _write_shared_conditioning_images(folder, ids, sources, parameters)
    items = sources.glyph_maps if parameters.conditioning == "glyph" else sources.edge_maps
    return {
        item_id: _Control(
            _write_conditioning_image(folder, file_name(item_id), items[item_id].load_image()),
            items[item_id].record.get("outlines_of"),
        )
        for item_id in ids
    }


def _write_shared_conditioning_images(
    folder: Path, ids: Sequence[str], sources: DatasetSources, parameters: DatasetParameters
) -> dict[str, _Control]:
    """Write what is shared once for each size; return it by skin."""
    image = shared.shared_edge_map(sources.edge_maps, parameters)
    own_size = tuple(image.record["size_px"])
    sizes = {item_id: tuple(sources.resized_skins[item_id].record["size_px"]) for item_id in ids}
    published = {}
    for width, height in sorted(set(sizes.values())):
        suffix = "" if (width, height) == own_size else f"_{width}x{height}"
        name = file_name(image.id + suffix)
        lines = shared.load_outlines(shared.with_size(image, (width, height)))
        published[width, height] = _write_conditioning_image(folder, name, lines)
    return {
        item_id: _Control(published[size], image.record["outlines_of"]) for item_id, size in sizes.items()
    }


def _write_conditioning_image(folder: Path, name: str, image: np.ndarray) -> str:
    """Write a conditioning image, (H, W) or (H, W, 3), as RGB; return the published path."""
    published = f"conditioning_images/{name}"
    colours = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image
    (folder / published).write_bytes(encode_png(colours))
    return published


def write_manifests(folder: Path, split: str, rows: Iterator[Row]) -> None:
    """Write a split's rows twice, some at a time; a split without rows has no parquet file.

    Args:
        folder: The published folder.
        split: One of :data:`SPLITS`.
        rows: Their pictures may be written while they are asked for.
    """
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as lines, ExitStack() as stack:
        write_metadata: Callable[[Sequence[Row]], None] | None = None
        while some := list(islice(rows, ROWS_AT_ONCE)):
            lines.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in some)
            if write_metadata is None:
                path = folder / f"{split}_metadata.parquet"
                write_metadata = stack.enter_context(_metadata_writer(path))
            write_metadata(some)


@contextmanager
def _metadata_writer(path: Path) -> Iterator[Callable[[Sequence[Row]], None]]:
    """Write rows for the library's folder loader, which decodes the columns named ``*_file_name``.

    Parquet states its types; from JSON the loader would guess those of ``box``, and fail if no row has any.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    quads = pa.list_(pa.list_(pa.list_(pa.float64())))
    columns = [
        *((name, pa.string()) for name in ("text", "image_file_name", "conditioning_image_file_name")),
        ("box", quads),
        *((name, pa.string()) for name in ("skin", "conditioning")),
        *((name, pa.list_(pa.int64())) for name in ("original_size_px", "crop_px")),
        ("outlines_of", pa.string()),
        ("legends", pa.list_(pa.string())),
    ]
    named = {"image": "image_file_name", "conditioning_image": "conditioning_image_file_name"}
    schema = pa.schema(columns)
    with pq.ParquetWriter(path, schema) as writer:

        def write(rows: Sequence[Row]) -> None:
            records = [{named.get(name, name): value for name, value in asdict(row).items()} for row in rows]
            writer.write_table(pa.Table.from_pylist(records, schema=schema))

        yield write


_CARD = """\
---
pretty_name: Keyboard skins
task_categories:
- text-to-image
tags:
- controlnet
- keyboard-skins
{configs}
---

# Keyboard skins for ControlNet training

{num_train} skins to train on and {num_validation} held out, {sizes}. Skins that are
nearly the same (perceptual hashes within {near_duplicate_bits} of 64 bits) are on one side of the split.

```python
from datasets import load_dataset

skins = load_dataset("path/of/this/folder")
```

| column | holds |
|---|---|
| `text` | {quoted} |
| `image` | the skin, RGB |
| `conditioning_image` | {conditioning}, RGB, of the same size |
| `legends` | all legends that can be read in the picture |
| `box` | a quad for each legend, in order: corners (x, y) in pixels, clockwise from the top left |
| `skin` | the skin's id: its path in the raw folder, without suffix |
| `conditioning` | `{mode}` |
| `original_size_px` | width and height of the raw skin, before it was resized |
| `crop_px` | what was cut off at the left and at the top, in pixels of `image`; (0, 0) where nothing was |
| `outlines_of` | what `conditioning_image` shows the outlines of, where not of the skin itself |

`train.jsonl` and `validation.jsonl` hold the same rows, with paths in place of pictures.

Legends: {num_legends} in all. {left_out}
"""

_QUOTED_IN_WORDS = {
    "fitting": 'caption, then the first legends, as many as CLIP takes: `…, writing "前往", "空格"`',
    "all": 'caption, then the legends: `…, writing "前往", "空格"`',
    "none": "caption, without legends",
}
_CONDITIONING_IN_WORDS = {
    "per_skin": "the skin's own edges (Canny)",
    "shared": "one image of outlines, the same for all rows of a size",
    "glyph": "edges (Canny) with the legends rendered into them",
}


def card_configs(splits: Iterable[str]) -> str:
    """Return the part of a card's YAML that tells the datasets library which file is which split."""
    splits = list(splits)
    files = [f"  - {split}_metadata.parquet" for split in splits]
    paths = [
        f"  - split: {split}\n    path: [{split}_metadata.parquet, images/*.png, conditioning_images/*.png]"
        for split in splits
    ]
    header = ["configs:", "- config_name: default", "  metadata_filenames:"]
    return "\n".join([*header, *files, "  data_files:", *paths])


def _write_card(folder: Path, tally: _Tally, parameters: DatasetParameters) -> None:
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(tally.left_out.items()))
    card = _CARD.format(
        configs=card_configs([split for split in SPLITS if tally.num_rows[split]]),
        num_train=tally.num_rows["train"],
        num_validation=tally.num_rows["validation"],
        sizes=_sizes_in_words(tally.sizes),
        near_duplicate_bits=parameters.near_duplicate_bits,
        conditioning=_CONDITIONING_IN_WORDS[parameters.conditioning],
        mode=parameters.conditioning,
        quoted=_QUOTED_IN_WORDS[parameters.quoted_legends],
        num_legends=tally.num_legends,
        left_out=f"Left out: {counts}." if counts else "None was left out.",
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def _sizes_in_words(counts: Mapping[Size, int]) -> str:
    if len(counts) == 1:
        ((width, height),) = counts
        return f"{width} x {height} pixels each"
    listed = ", ".join(f"{count} of {width} x {height}" for (width, height), count in sorted(counts.items()))
    return f"{listed} pixels"


# --- split --------------------------------------------------------------------------------------------


def choose_validation(hashes: Mapping[str, str], parameters: DatasetParameters) -> set[str]:
    """Choose which skins are held out; near-duplicates stay together.

    Groups are ranked by a digest of the seed and their first id, so that one skin more moves few others.

    Args:
        hashes: Perceptual hash by id.
        parameters: Share, seed and what counts as a near-duplicate.

    Returns:
        Ids, ``validation_share`` of all as nearly as whole groups allow; one group at least, never all.

    Raises:
        ConfigurationError: Something is to be held out, but all skins belong to one group.
    """
    if parameters.validation_share == 0:
        return set()
    groups = near_duplicate_groups(hashes, parameters.near_duplicate_bits)
    if len(groups) == 1:
        raise ConfigurationError(
            f"dataset.validation_share is {parameters.validation_share}, but nothing can be held out: the "
            f"{len(hashes)} skins that are left count as near-duplicates of each other (or are just one). "
            "Bring other skins, lower dataset.near_duplicate_bits, or set dataset.validation_share to 0."
        )
    ranked = sorted(
        groups, key=lambda group: hashlib.sha256(f"{parameters.seed}/{group[0]}".encode()).digest()
    )
    wanted = max(1, round(parameters.validation_share * len(hashes)))
    held_out: set[str] = set()
    for group in ranked[:-1]:  # the last is for training, whatever the share
        if len(held_out) + len(group) <= wanted:
            held_out.update(group)
    return held_out or set(sorted(ranked, key=len)[0])


# --- check --------------------------------------------------------------------------------------------


def check_dataset(folder: Path, hashes: Mapping[str, str], near_duplicate_bits: int) -> None:
    """Check a published folder as a reader would meet it.

    Args:
        folder: Has the layout that this module's docstring shows.
        hashes: Perceptual hash by skin.
        near_duplicate_bits: What counts as a near-duplicate.

    Raises:
        IncompleteDatasetError: There are no training rows, a file is missing, unlisted or not RGB, the
            pictures of a row differ in size, its quads do not match its legends or lie outside, or
            near-duplicates are on both sides of the split.
    """
    split_by_skin: dict[str, str] = {}
    listed: set[str] = set()
    for split in SPLITS:
        for row in _read_rows(folder / f"{split}.jsonl"):
            _check_row(folder, row)
            split_by_skin[row["skin"]] = split
            listed.update((row["image"], row["conditioning_image"]))
    if "train" not in split_by_skin.values():
        raise IncompleteDatasetError(
            "train.jsonl has no rows. Lower dataset.validation_share or bring more skins."
        )
    _check_nothing_unlisted(folder, listed)
    _check_split(split_by_skin, hashes, near_duplicate_bits)


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def _check_row(folder: Path, row: Mapping[str, Any]) -> None:
    skin = row["skin"]
    size, control_size = (_picture_size(folder / row[column]) for column in ("image", "conditioning_image"))
    if size != control_size:
        raise IncompleteDatasetError(
            f"Skin '{skin}': the picture is {size} pixels and its conditioning image {control_size}; "
            "they must be equal."
        )
    legends = legends_of(row["text"], row.get("legends"))
    if len(legends) != len(row["box"]):
        raise IncompleteDatasetError(
            f"Skin '{skin}': {len(legends)} legends and {len(row['box'])} quads; each legend needs its own."
        )
    try:
        inside = quads_inside(as_quads(row["box"]), size)
    except InputError as exc:
        raise IncompleteDatasetError(f"Skin '{skin}': {exc}") from exc
    if not inside.all():
        outside = legends[int(np.argmin(inside))]
        raise IncompleteDatasetError(
            f"Skin '{skin}': the quad of \"{outside}\" lies outside the picture of {size} pixels."
        )


def _picture_size(path: Path) -> Size:
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            if picture.mode != "RGB":
                raise IncompleteDatasetError(
                    f"{path.parent.name}/{path.name}: expected RGB, got {picture.mode}."
                )
            return picture.size
    except OSError as exc:
        raise IncompleteDatasetError(f"{path.parent.name}/{path.name} is missing or no PNG ({exc}).") from exc


def _check_nothing_unlisted(folder: Path, listed: set[str]) -> None:
    found = {path.relative_to(folder).as_posix() for path in folder.glob("*images/*")}
    if found - listed:
        raise IncompleteDatasetError(
            f"No row lists {sorted(found - listed)[0]} ({len(found - listed)} such files)."
        )


def _check_split(split_by_skin: Mapping[str, str], hashes: Mapping[str, str], bits: int) -> None:
    for group in near_duplicate_groups({skin: hashes[skin] for skin in split_by_skin}, bits):
        if len({split_by_skin[skin] for skin in group}) > 1:
            raise IncompleteDatasetError(
                f"Near-duplicates are on both sides of the split: {', '.join(map(repr, group[:4]))}. "
                "The score on validation skins would be too good."
            )
