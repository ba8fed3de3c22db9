"""Notes in a workspace's history what a run makes, while it makes it. Knows no Kedro."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from skin_pipeline.items import Folder, Items
from skin_pipeline.lineage.history import History, Run, Version
from skin_pipeline.lineage.workspace import CARD, read_splits

_RAW = frozenset({"raw_skins", "raw_packages"})
_PICTURES = "generated_skins"


class Recorder:
    """Remembers the digests that one run has met, and notes versions that are new."""

    def __init__(self, history: History, make_run: Callable[[], Run]) -> None:
        """Begin with a run.

        Args:
            history: Of the data folder that the run works in.
            make_run: Describes the run; asked once, when it has made something new.
        """
        self._history = history
        self._make_run = make_run
        self._run: Run | None = None
        self._digests: dict[str, str] = {}

    def note_input(self, name: str, digest: str, files: Mapping[str, str]) -> None:
        """Remember what is read; of raw files, keep the list."""
        self._digests[name] = digest
        if name in _RAW and not self._history.has_contents(digest):
            self._history.add_contents(digest, files)

    def note_output(
        self,
        name: str,
        digest: str,
        files: Mapping[str, str],
        inputs: Iterable[str],
        load: Callable[[], Any],
    ) -> None:
        """Note a version, unless it is known.

        Args:
            name: The dataset.
            digest: Of the version.
            files: sha256 by name of its files.
            inputs: Names of what its node read.
            load: Loads it.

        Raises:
            OSError: It could not be written.
        """
        self.note_input(name, digest, files)
        if (name, digest) in self._history.versions:
            return
        self._run = self._run or self._make_run()
        contents = self._contents(name, load)
        if contents is not None:
            self._history.add_contents(digest, contents)
        if name == _PICTURES:
            pictures: Items = load()
            noted = ((item.sha256, item.id, item.record) for item in pictures.values())
            self._history.add_pictures(noted, self._run)
        made_from = {source: self._digests[source] for source in inputs if source in self._digests}
        self._history.add_version(Version(name, digest, self._run, made_from))

    def _contents(self, name: str, load: Callable[[], Any]) -> dict[str, str] | None:
        """Return what is kept of a version that later ones will replace."""
        if name == "train_dataset":
            dataset: Folder = load()
            return read_splits(dataset.path)
        if name == "controlnet_weights":
            weights: Folder = load()
            card = Path(weights.path) / CARD
            return {CARD: card.read_text(encoding="utf-8")} if card.is_file() else None
        return None
