"""The sets of pictures that are judged, and the real ones they are compared with.

Every picture is an item ``<system>/<id>`` whose record says which ``system`` made it, which ``skin`` its
conditioning image is of, its ``prompt`` and ``seed``. Systems are ``generated``, the baselines by their names
and ``real``: the real skins of those conditioning images, none where they were drawn from layouts.
``reference`` holds further real skins.
"""

from collections.abc import Mapping
from typing import Any

from skin_pipeline.errors import InputError
from skin_pipeline.items import Folder, Item, Items, json_digest
from skin_pipeline.prep.publish import Row

GENERATED, REAL, REFERENCE = "generated", "real", "reference"


def judged_pictures(generated: Items, baselines: Items, dataset: Folder, rows: Mapping[str, Row]) -> Items:
    """Bring together what is judged.

    Args:
        generated: Pictures with the records of the pipeline ``inference``.
        baselines: The same made by something else, each record with its ``system``.
        dataset: The training set.
        rows: Its rows, by skin, of those that pictures were conditioned on.

    Raises:
        InputError: There are no generated pictures.
    """
    if not generated:
        raise InputError("There are no generated skins to judge. Run `kedro run --pipeline=inference`.")
    made = [_made(item, GENERATED, item.id) for item in generated.values()]
    made += [
        _made(item, item.record["system"], item.id.partition("/")[2])
        for item in baselines.values()
        if item.id.partition("/")[2] in generated
    ]
    return Items([*made, *(_real(REAL, dataset, rows[skin]) for skin in sorted(rows))])


def reference_pictures(judged: Items, dataset: Folder, rows: Mapping[str, Row], max_reference: int) -> Items:
    """Return real skins of a split whose conditioning images were not used.

    Args:
        judged: What is judged.
        dataset: The training set.
        rows: The split's rows by skin.
        max_reference: The most of them, chosen as if by lot.
    """
    used = {item.record["skin"] for item in judged.values()}
    lots = sorted((json_digest(skin), skin) for skin in rows if skin not in used)
    return Items(_real(REFERENCE, dataset, rows[skin]) for _, skin in lots[:max_reference])


def by_system(items: Mapping[str, Item]) -> dict[str, list[Item]]:
    """Return items by the system that made them: generated, baselines, real."""
    grouped: dict[str, list[Item]] = {}
    for item in items.values():
        grouped.setdefault(str(item.record["system"]), []).append(item)
    others = sorted(grouped.keys() - {GENERATED, REAL})
    return {name: grouped[name] for name in (GENERATED, *others, REAL) if name in grouped}


def _made(item: Item, system: str, name: str) -> Item:
    record = item.record
    return _picture(system, name, item, record["conditioning"], record["prompt"], record["seed"])


def _real(system: str, dataset: Folder, row: Row) -> Item:
    stored = Item(row.skin, {}, dataset.files[row.image], dataset.path / row.image)
    return _picture(system, row.skin, stored, row.skin, row.text, None)


def _picture(system: str, name: str, stored: Item, skin: Any, prompt: Any, seed: Any) -> Item:
    record = {"system": system, "skin": skin, "prompt": prompt, "seed": seed}
    return Item(f"{system}/{name}", record, stored.sha256, stored.path)
