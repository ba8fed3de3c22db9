"""The node of the export_dataset pipeline."""

from skin_pipeline.items import Folder, FolderPlan
from skin_pipeline.prep.export import ExportParameters, plan_export


def export_dataset(train_dataset: Folder, parameters: ExportParameters) -> FolderPlan:
    """Plan the shards of a published training set.

    Args:
        train_dataset: The training set.
        parameters: Format and number of files.

    Returns:
        The plan of ``exported_dataset``; the folder is compared with the training set before it takes its
        place.
    """
    return plan_export(train_dataset, parameters)
