"""From a picture, a package or weights back to raw files, and from a raw file to what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from skin_pipeline.errors import InputError
from skin_pipeline.items import Item
from skin_pipeline.lineage.history import Run
from skin_pipeline.lineage.stamps import Stamp, read_stamp
from skin_pipeline.lineage.workspace import CARD, Weights, Workspace, file_sha256, folder_digest, read_card

_SHORTEST_DIGEST = 16
"""A stamp in a sentence has so many digits of a digest."""


@dataclass(frozen=True)
class PackageOrigin:
    """An exported package or trial page.

    Attributes:
        file: The file that was asked about, or where the package lies in the workspace.
        dataset: Name of its dataset; None if the workspace does not hold it as it is.
        item: Id of the generated picture.
        made_by: Program and version that wrote it.
    """

    file: str
    dataset: str | None
    item: str
    made_by: str


@dataclass(frozen=True)
class PictureOrigin:
    """A generated picture.

    Attributes:
        item: Its id.
        sha256: Of its file.
        file: Where it lies; None if it does no more.
        prompt: What was asked for.
        seed: Of its noise.
        conditioning: Id of the skin whose conditioning image was used, or of a control image.
        conditioning_sha256: Of that image.
        outlines_of: What it shows the outlines of, if not of a skin: ``layout:four_parts``.
        legends: What is written on a control image that was drawn for this; None if it is a skin's.
        settings: Of the sampler.
        base_model: Name of the base model.
        base_model_digest: Of its files.
        run: What made it, if known.
    """

    item: str
    sha256: str
    file: str | None
    prompt: str
    seed: int
    conditioning: str
    conditioning_sha256: str
    outlines_of: str | None
    legends: tuple[str, ...] | None
    settings: Mapping[str, Any]
    base_model: str
    base_model_digest: str
    run: Run | None


@dataclass(frozen=True)
class WeightsOrigin:
    """A ControlNet.

    Attributes:
        digest: Of its files, or its first digits.
        folder: Where they lie, if they still do.
        run_folder: The folder of the training, if it is still there.
        step: Optimizer steps made.
        images_seen: Pictures seen.
        base_model: Name of what it was trained on.
        base_model_digest: Of that.
        parameters: All parameters of the training.
        dataset_digest: The version of the training set.
        model_version: In MLflow's registry.
        run: What trained it, if known.
    """

    digest: str
    folder: str | None
    run_folder: str | None
    step: int | None
    images_seen: int | None
    base_model: str | None
    base_model_digest: str | None
    parameters: Mapping[str, Any]
    dataset_digest: str | None
    model_version: str | None
    run: Run | None


@dataclass(frozen=True)
class RawSkin:
    """A raw file that a training set was made from.

    Attributes:
        skin: Its id.
        split: ``train`` or ``validation``.
        file: Path below the folder of raw skins; None if not known.
        sha256: Of its bytes at that time; None if not known.
        package: Path of the skin package that it was composed from, below the folder of packages.
        package_sha256: Of that.
    """

    skin: str
    split: str
    file: str | None
    sha256: str | None
    package: str | None = None
    package_sha256: str | None = None


@dataclass(frozen=True)
class DatasetOrigin:
    """A version of the training set.

    Attributes:
        digest: Of its files.
        is_current: Whether it is the one that the workspace holds.
        num_train: Skins trained on.
        num_validation: Skins held out.
        run: What published it, if known.
        raw_skins: What it was made from; None if that is not known.
    """

    digest: str
    is_current: bool
    num_train: int | None
    num_validation: int | None
    run: Run | None
    raw_skins: tuple[RawSkin, ...] | None


@dataclass(frozen=True)
class Origin:
    """Where something came from; what is not known is None and said in ``gaps``."""

    asked: str
    package: PackageOrigin | None
    picture: PictureOrigin | None
    weights: WeightsOrigin | None
    dataset: DatasetOrigin | None
    gaps: tuple[str, ...]
    kind: Literal["origin"] = "origin"


@dataclass(frozen=True)
class Training:
    """A training that a raw skin had a part in.

    Attributes:
        weights: What was trained.
        dataset_digest: The version of the training set.
        split: ``train``: the weights were trained on the skin. ``validation``: it was held out, and only
            measured with.
        pictures: Ids of pictures that these weights generated.
        packages: Files of packages made of those, by dataset.
    """

    weights: WeightsOrigin
    dataset_digest: str
    split: str
    pictures: tuple[str, ...]
    packages: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Use:
    """What came of a raw skin.

    Attributes:
        asked: What was asked.
        skins: Ids of the raw skin, or of the sheets that were composed from the package.
        file: Path below the folder of raw skins or of packages.
        sha256: Of its bytes now.
        left_out: Why the last preparation left it out, if it did.
        trainings: The weights that it had a part in.
        conditioned: Ids of pictures that its conditioning image was used for.
        gaps: What could not be told.
    """

    asked: str
    skins: tuple[str, ...]
    file: str
    sha256: str
    left_out: str | None
    trainings: tuple[Training, ...]
    conditioned: tuple[str, ...]
    gaps: tuple[str, ...]
    kind: Literal["use"] = "use"


def trace(workspace: Workspace, asked: str) -> Origin | Use:
    """Tell where a thing came from or, if it is a raw skin or package, what came of it.

    Args:
        workspace: What is known.
        asked: The path of a file (a picture, an exported package, a trial page, a raw skin or package) or of
            a folder of weights, wherever it lies: files are known by what they hold. Or the id of a generated
            picture or of a raw skin. Or a digest of weights, at least 16 digits.

    Returns:
        What is known.

    Raises:
        InputError: Nothing is known of it.
    """
    path = Path(asked)
    found: Origin | Use | None
    if path.is_dir():
        found = _trace_folder(workspace, asked, path)
    elif path.is_file():
        found = _trace_file(workspace, asked, path)
    else:
        found = _trace_name(workspace, asked)
    if found is None:
        raise InputError(_unknown(workspace, asked, path))
    return found


def _unknown(workspace: Workspace, asked: str, path: Path) -> str:
    looked = "the workspace's datasets, its history and the packages' own records"
    if path.exists():
        return (
            f"'{asked}' is not known: {looked} hold nothing of that content. Was it changed since, or "
            "made in another workspace (--env, --params data_root=FOLDER)?"
        )
    known = [*workspace.items("generated_skins"), *workspace.items("raw_skins")]
    examples = ", ".join(f"'{item_id}'" for item_id in (*known[:1], *known[-1:])) or "none yet"
    return f"'{asked}' is neither a file nor an item. Items of this workspace: {examples} …"


# --- what was asked about -------------------------------------------------------------------------------


def _trace_folder(workspace: Workspace, asked: str, path: Path) -> Origin | None:
    if read_card(path) is None:
        return None
    return _origin(workspace, asked, weights_digest=folder_digest(path), folder=path)


def _trace_file(workspace: Workspace, asked: str, path: Path) -> Origin | Use | None:
    sha256 = file_sha256(path)
    for item in workspace.items("generated_skins").values():
        if item.sha256 == sha256:
            return _origin(workspace, asked, picture=_picture(workspace, item))
    if sha256 in workspace.history.pictures:
        return _origin(workspace, asked, picture=_earlier_picture(workspace, sha256))
    for name in workspace.package_names:
        for item in workspace.items(name).values():
            if item.sha256 == sha256:
                recorded = _recorded_stamp(item)
                return _origin_of_package(workspace, asked, recorded, PackageOrigin(asked, name, item.id, ""))
    stamp = read_stamp(path)
    if stamp is not None:
        return _origin_of_package(workspace, asked, stamp, PackageOrigin(asked, None, stamp.item, ""))
    return _trace_raw(workspace, asked, sha256=sha256)


def _trace_name(workspace: Workspace, asked: str) -> Origin | Use | None:
    generated = workspace.items("generated_skins")
    if asked in generated:
        return _origin(workspace, asked, picture=_picture(workspace, generated[asked]))
    use = _trace_raw(workspace, asked, name=asked)
    if use is not None or len(asked) < _SHORTEST_DIGEST:
        return use
    digest = next((digest for digest in workspace.weights if digest.startswith(asked)), None)
    return None if digest is None else _origin(workspace, asked, weights_digest=digest)


def _recorded_stamp(item: Item) -> Stamp:
    values = item.record["provenance"]
    return Stamp(values["item"], values["weights_sha256"], values["run_id"], values["generator"])


# --- backwards ------------------------------------------------------------------------------------------


def _origin_of_package(workspace: Workspace, asked: str, stamp: Stamp, package: PackageOrigin) -> Origin:
    package = PackageOrigin(package.file, package.dataset, package.item, stamp.generator)
    generated = workspace.items("generated_skins")
    item = generated.get(stamp.item)
    if item is not None and item.record["weights_digest"].startswith(stamp.weights):
        return _origin(workspace, asked, package=package, picture=_picture(workspace, item))
    earlier = next(
        (
            sha256
            for sha256, picture in reversed(workspace.history.pictures.items())
            if picture["id"] == stamp.item and picture["record"]["weights_digest"].startswith(stamp.weights)
        ),
        None,
    )
    picture = None if earlier is None else _earlier_picture(workspace, earlier)
    return _origin(
        workspace, asked, package=package, picture=picture, weights_digest=stamp.weights, run_id=stamp.run_id
    )


def _origin(
    workspace: Workspace,
    asked: str,
    *,
    package: PackageOrigin | None = None,
    picture: tuple[PictureOrigin, str] | None = None,
    weights_digest: str = "",
    folder: Path | None = None,
    run_id: str = "",
) -> Origin:
    """Follow a picture or weights back, and say where the trail ends."""
    shown, digest = (None, weights_digest) if picture is None else picture
    weights = describe_weights(workspace, digest, folder, run_id)
    has_dataset = weights.dataset_digest is not None
    dataset = describe_dataset(workspace, weights.dataset_digest) if weights.dataset_digest else None
    gaps = []
    if package is not None and shown is None:
        gaps.append(f"The picture '{package.item}' is not in this workspace, nor in its history.")
    if not has_dataset and not weights.parameters:
        gaps.append(
            f"Of the weights {digest[:16]} only the digest is known here: their files, the folder of their "
            "training, a note of them and MLflow's record are all missing. Ask in the workspace that trained "
            "them."
        )
    elif not has_dataset:
        gaps.append(f"The weights' {CARD} names no training set of the catalog: they were trained by hand.")
    if dataset is not None:
        gaps += _gaps(dataset)
    if shown is not None and _is_drawing_gone(workspace, shown):
        gaps.append(
            f"What was written on the control image '{shown.conditioning}' is not known: another, or none, is"
            " in its place."
        )
    return Origin(asked, package, shown, weights, dataset, tuple(gaps))


def _is_drawing_gone(workspace: Workspace, picture: PictureOrigin) -> bool:
    """Tell whether a picture's conditioning image was drawn from a layout alone and is there no more."""
    if picture.outlines_of is None or picture.legends is not None:
        return False
    return not any(
        picture.conditioning in (workspace.splits(digest) or ()) for digest in workspace.training_sets()
    )


def _gaps(dataset: DatasetOrigin) -> list[str]:
    """Say what is not known of a training set."""
    if dataset.raw_skins is None:
        return [
            f"Which skins the training set {dataset.digest[:16]} held is not known: another version is in "
            "its place, and it was made before this workspace kept a history."
        ]
    if any(skin.sha256 is None for skin in dataset.raw_skins):
        return ["The digests of some raw files are not known: they were read before a history was kept."]
    return []


def _picture(workspace: Workspace, item: Item) -> tuple[PictureOrigin, str]:
    """Describe a picture that is there; return the digest of its weights beside it."""
    noted = workspace.history.pictures.get(item.sha256)
    run = Run(**noted["run"]) if noted else None
    return _describe_picture(workspace, item.id, item.sha256, str(item.path), item.record, run)


def _earlier_picture(workspace: Workspace, sha256: str) -> tuple[PictureOrigin, str]:
    noted = workspace.history.pictures[sha256]
    return _describe_picture(workspace, noted["id"], sha256, None, noted["record"], Run(**noted["run"]))


def _describe_picture(
    workspace: Workspace,
    item_id: str,
    sha256: str,
    file: str | None,
    record: Mapping[str, Any],
    run: Run | None,
) -> tuple[PictureOrigin, str]:
    picture = PictureOrigin(
        item=item_id,
        sha256=sha256,
        file=file,
        prompt=record["prompt"],
        seed=record["seed"],
        conditioning=record["conditioning"],
        conditioning_sha256=record["conditioning_sha256"],
        outlines_of=record.get("outlines_of"),
        legends=_legends_drawn(workspace, record),
        settings=dict(record["settings"]),
        base_model=record["base_model"],
        base_model_digest=record["base_model_digest"],
        run=run,
    )
    return picture, record["weights_digest"]


def _legends_drawn(workspace: Workspace, record: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return what is written on the control image of a picture; None if it is none, or there no more."""
    drawn = workspace.items("control_images").get(record["conditioning"])
    if drawn is None or drawn.sha256 != record["conditioning_sha256"]:
        return None
    return tuple(legend["text"] for legend in drawn.record["legends"])


def describe_weights(
    workspace: Workspace, digest: str, folder: Path | None = None, run_id: str = ""
) -> WeightsOrigin:
    """Tell all that is known of weights.

    Args:
        workspace: What is known.
        digest: Of their files, or its first 16 digits.
        folder: Where they lie, if not in the workspace.
        run_id: MLflow's run that trained them, if something says so.
    """
    known = next(
        (weights for weights in workspace.weights.values() if weights.digest.startswith(digest)), None
    )
    if known is None:
        card = (read_card(folder) if folder else None) or {}
        known = Weights(digest, card, folder)
    run = _run_of_weights(workspace, known, run_id)
    base = known.card.get("base_model", {})
    return WeightsOrigin(
        digest=known.digest,
        folder=None if known.folder is None else str(known.folder),
        run_folder=None if known.run_folder is None else str(known.run_folder),
        step=known.card.get("step"),
        images_seen=known.card.get("images_seen"),
        base_model=base.get("name"),
        base_model_digest=base.get("sha256"),
        parameters=known.card.get("parameters", {}),
        dataset_digest=known.dataset_digest or workspace.tracking.trained_on(known.digest),
        model_version=workspace.tracking.model_version(known.digest),
        run=run,
    )


def _run_of_weights(workspace: Workspace, weights: Weights, run_id: str) -> Run | None:
    """Return the run that trained weights, from whatever knows of it, with its status where MLflow tells."""
    made = workspace.history.versions.get(("controlnet_weights", weights.digest))
    run_id = weights.source_run or run_id or (made.run.id or "" if made else "")
    tracked = workspace.tracking.run(run_id) if run_id else None
    if made is not None and (made.run.id or "") == run_id:
        return replace(made.run, status=None if tracked is None else tracked.status)
    return tracked or workspace.tracking.maker("controlnet_weights", weights.digest)


def describe_dataset(workspace: Workspace, digest: str) -> DatasetOrigin:
    """Tell all that is known of a version of the training set."""
    current = workspace.folder("train_dataset")
    made = workspace.history.versions.get(("train_dataset", digest))
    splits = workspace.splits(digest)
    return DatasetOrigin(
        digest=digest,
        is_current=current is not None and current.digest == digest,
        num_train=None if splits is None else sum(split == "train" for split in splits.values()),
        num_validation=None if splits is None else sum(split != "train" for split in splits.values()),
        run=made.run if made else workspace.tracking.maker("train_dataset", digest),
        raw_skins=None if splits is None else tuple(_raw_skins(workspace, digest, splits)),
    )


def _raw_skins(workspace: Workspace, digest: str, splits: Mapping[str, str]) -> Iterable[RawSkin]:
    files = workspace.raw_files(digest) or {}
    names = _by_id(files)
    packages = workspace.raw_files(digest, "raw_packages") or {}
    package_names = _by_id(packages)
    for skin, split in splits.items():
        file = names.get(skin)
        package = package_names.get(skin.removeprefix("sheets/")) if skin.startswith("sheets/") else None
        yield RawSkin(
            skin,
            split,
            file,
            None if file is None else files[file],
            package,
            None if package is None else packages[package],
        )


def _by_id(files: Iterable[str]) -> dict[str, str]:
    """Return the path by id: paths without suffix, and whole paths, as ids are where stems are not unique."""
    paths = list(files)
    stems = {path.removesuffix(Path(path).suffix): path for path in paths}
    return {**stems, **{path: path for path in paths}}


# --- forwards -------------------------------------------------------------------------------------------


def _trace_raw(
    workspace: Workspace, asked: str, *, name: str | None = None, sha256: str | None = None
) -> Use | None:
    """Find a raw skin or package by its id, its path or its bytes; return what came of it."""
    for dataset in ("raw_skins", "raw_packages"):
        for item in workspace.items(dataset).values():
            source = str(item.record["source"])
            if item.sha256 == sha256 or name in (item.id, source):
                skins = (item.id,) if dataset == "raw_skins" else (f"sheets/{item.id}",)
                return _use(workspace, asked, skins, source, item.sha256)
    return _trace_gone(workspace, asked, name, sha256)


def _trace_gone(workspace: Workspace, asked: str, name: str | None, sha256: str | None) -> Use | None:
    """Find a raw skin that is no longer among the raw files, but was once trained on."""
    for digest in reversed(workspace.training_sets()):
        files = workspace.raw_files(digest) or {}
        for skin, file in _by_id(files).items():
            if skin in (workspace.splits(digest) or {}) and (files[file] == sha256 or name in (skin, file)):
                return _use(workspace, asked, (skin,), file, files[file])
    return None


def _use(workspace: Workspace, asked: str, skins: tuple[str, ...], file: str, sha256: str) -> Use:
    trainings, gaps = [], []
    for weights in workspace.weights.values():
        splits = None if weights.dataset_digest is None else workspace.splits(weights.dataset_digest)
        if splits is None:
            gaps.append(
                f"Whether the weights {weights.digest[:16]} were trained on it is not known: what their "
                "training set held was not noted."
            )
            continue
        assert weights.dataset_digest is not None
        found = [splits[skin] for skin in skins if skin in splits]
        if not found:
            continue
        trainings.append(_training(workspace, weights, weights.dataset_digest, found[0]))
        used = _sha256_then(workspace, weights.dataset_digest, file)
        if used is not None and used != sha256:
            gaps.append(
                f"The weights {weights.digest[:16]} were trained on other bytes of that name (sha256"
                f" {used[:16]}); the file has changed since."
            )
    reasons = workspace.rejections()
    return Use(
        asked=asked,
        skins=skins,
        file=file,
        sha256=sha256,
        left_out=next((reasons[skin] for skin in skins if skin in reasons), None),
        trainings=tuple(trainings),
        conditioned=tuple(
            item.id
            for item in workspace.items("generated_skins").values()
            if item.record["conditioning"] in skins
        ),
        gaps=tuple(gaps),
    )


def _sha256_then(workspace: Workspace, dataset_digest: str, file: str) -> str | None:
    """Return the digest of a raw file's bytes when a version of the training set was made."""
    for dataset in ("raw_skins", "raw_packages"):
        files = workspace.raw_files(dataset_digest, dataset) or {}
        if file in files:
            return files[file]
    return None


def _training(workspace: Workspace, weights: Weights, dataset_digest: str, split: str) -> Training:
    pictures = [
        item.id
        for item in workspace.items("generated_skins").values()
        if item.record["weights_digest"] == weights.digest
    ]
    packages = {
        name: tuple(
            str(item.path)
            for item in workspace.items(name).values()
            if item.record["provenance"]["weights_sha256"] == weights.digest
        )
        for name in workspace.package_names
    }
    return Training(
        describe_weights(workspace, weights.digest),
        dataset_digest,
        split,
        tuple(pictures),
        {name: files for name, files in packages.items() if files},
    )
