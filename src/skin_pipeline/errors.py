"""Every error a user of skin_pipeline can meet.

Tree::

    SkinPipelineError            anything a user can mend
    ├── InputError               a picture, package or data file is not what it should be
    ├── ConfigurationError       a parameter, or a combination of parameters, makes no sense
    ├── MissingWeightsError      a model's files are not where the configuration says
    ├── IncompleteDatasetError   a dataset was not (or not wholly) written yet
    ├── StorageError             a folder cannot be written, or the disk is full
    └── TrainingError            training stopped: a child process failed, a loss is not finite

A message names the item, says what was expected and what came, and what to do about it. ``assert`` is
for what would be a bug of this project.
"""


class SkinPipelineError(ValueError):
    """Base of all errors that a user can mend."""


class InputError(SkinPipelineError):
    """A picture, package or data file is not what it should be."""


class ConfigurationError(SkinPipelineError):
    """A parameter, or a combination of parameters, makes no sense."""


class MissingWeightsError(SkinPipelineError):
    """A model's files are not where the configuration says."""


class IncompleteDatasetError(SkinPipelineError):
    """A dataset was never written, or its writing was interrupted."""


class StorageError(SkinPipelineError):
    """A folder cannot be written, or its disk is full."""


class TrainingError(SkinPipelineError):
    """Training stopped before its end."""
