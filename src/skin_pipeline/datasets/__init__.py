"""Kedro datasets of this project: what kedro-datasets cannot be composed to do.

Each has ``content_manifest() -> dict[str, str]``, the sha256 of its files by name, for the lineage.
"""

from skin_pipeline.datasets.folder_dataset import FolderDataset
from skin_pipeline.datasets.items_dataset import ItemsDataset
from skin_pipeline.datasets.jsonlines_dataset import JSONLinesDataset
from skin_pipeline.datasets.page_dataset import PageDataset
from skin_pipeline.datasets.raw_skins_dataset import RawSkinsDataset
from skin_pipeline.datasets.workspaces_dataset import WorkspacesDataset

__all__ = [
    "FolderDataset",
    "ItemsDataset",
    "JSONLinesDataset",
    "PageDataset",
    "RawSkinsDataset",
    "WorkspacesDataset",
]
