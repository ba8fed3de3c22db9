"""Says in words what was traced; the whole of it is in the JSON form."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from skin_pipeline.lineage.history import Run
from skin_pipeline.lineage.trace import (
    DatasetOrigin,
    Origin,
    PictureOrigin,
    RawSkin,
    Training,
    Use,
    WeightsOrigin,
)

SHOWN = 8
"""Raw files and pictures named in words; the rest are counted."""
_DIGITS = 16


def as_json(found: Origin | Use) -> str:
    """Return everything as JSON."""
    return json.dumps(asdict(found), ensure_ascii=False, indent=2)


def as_text(found: Origin | Use) -> str:
    """Return it for people, a fact a line."""
    lines = _origin(found) if isinstance(found, Origin) else _use(found)
    return "\n".join([*lines, *(f"! {gap}" for gap in found.gaps)])


def _origin(origin: Origin) -> Iterator[str]:
    if origin.package is not None:
        yield f"Package {origin.package.file}"
        yield _line(
            "dataset", origin.package.dataset or "none of this workspace: it says itself what follows"
        )
        yield _line("made by", origin.package.made_by)
    if origin.picture is not None:
        picture = origin.picture
        yield f"Picture {picture.item}"
        yield _line("file", picture.file or "no longer there")
        yield _line("sha256", picture.sha256)
        yield _line("prompt", picture.prompt)
        yield _line("seed", str(picture.seed))
        yield _line("conditioning", f"{picture.conditioning}, sha256 {picture.conditioning_sha256[:_DIGITS]}")
        yield from _drawn(picture)
        yield from _run("generated", picture.run)
    elif origin.package is not None:
        yield f"Picture {origin.package.item}"
    if origin.weights is not None:
        yield from _weights(origin.weights)
    if origin.dataset is not None:
        yield from _dataset(origin.dataset)


def _drawn(picture: PictureOrigin) -> Iterator[str]:
    """Say what a conditioning image was drawn from, if it is no skin's own."""
    if picture.outlines_of is None:
        return
    yield _line("outlines of", picture.outlines_of)
    if picture.legends is not None:
        written = f": {' '.join(picture.legends)}" if picture.legends else ""
        yield _line("legends", f"{len(picture.legends)} drawn on it, no skin is behind it{written}")


def _weights(weights: WeightsOrigin) -> Iterator[str]:
    yield f"Weights {weights.digest}"
    if weights.folder:
        yield _line("folder", weights.folder)
    if weights.run_folder:
        yield _line("training", weights.run_folder)
    if weights.step is not None:
        yield _line("trained for", f"{weights.step} steps, {weights.images_seen} pictures seen")
    if weights.base_model:
        yield _line(
            "base model", f"{weights.base_model}, digest {(weights.base_model_digest or '')[:_DIGITS]}"
        )
    if weights.model_version:
        yield _line("registered", weights.model_version)
    yield from _run("trained", weights.run)


def _dataset(dataset: DatasetOrigin) -> Iterator[str]:
    yield f"Training set {dataset.digest}"
    if dataset.num_train is not None:
        yield _line("skins", f"{dataset.num_train} trained on, {dataset.num_validation} held out")
    yield _line("now", "the current one" if dataset.is_current else "replaced by another version")
    yield from _run("published", dataset.run)
    if dataset.raw_skins is not None:
        yield f"Raw skins {len(dataset.raw_skins)}"
        yield from _some([_raw(skin) for skin in dataset.raw_skins])


def _raw(skin: RawSkin) -> str:
    parts = [skin.file or skin.skin, skin.split, f"sha256 {(skin.sha256 or 'unknown')[:_DIGITS]}"]
    if skin.package is not None:
        parts.append(f"from {skin.package}, sha256 {(skin.package_sha256 or 'unknown')[:_DIGITS]}")
    return "  ".join(parts)


def _use(use: Use) -> Iterator[str]:
    yield f"Raw skin {use.file}"
    yield _line("sha256", use.sha256)
    yield _line("skin", ", ".join(use.skins))
    if use.left_out:
        yield _line("left out", use.left_out)
    if use.conditioned:
        yield _line("control of", f"{len(use.conditioned)} pictures")
        yield from _some(use.conditioned)
    if not use.trainings:
        yield "No weights known here were trained on it."
    for training in use.trainings:
        yield from _training(training)


def _training(training: Training) -> Iterator[str]:
    yield from _weights(training.weights)
    part = "trained on it" if training.split == "train" else "held it out (it was only measured with)"
    yield _line("this skin", part)
    yield _line("training set", training.dataset_digest)
    yield _line("pictures", str(len(training.pictures)))
    yield from _some(training.pictures)
    for name, files in training.packages.items():
        yield _line(name.replace("_", " "), str(len(files)))


def _run(did: str, run: Run | None) -> Iterator[str]:
    if run is None:
        return
    name = f"run {run.id}" if run.id else "a run that MLflow does not know"
    status = f", {run.status.lower()}" if run.status else ""
    yield _line(did, f"{run.began} by {name}{status}: {run.command}")
    yield _line("code", run.code or "unknown (outside of a git checkout)")


def _line(label: str, value: str) -> str:
    return f"  {label:<13} {value}"


def _some(entries: Iterable[str]) -> Iterator[str]:
    listed = list(entries)
    yield from (f"    {entry}" for entry in listed[:SHOWN])
    if len(listed) > SHOWN:
        yield f"    … and {len(listed) - SHOWN} more (--json lists all)"
