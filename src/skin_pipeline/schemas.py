"""The base of every parameters model.

A pipeline's parameters are YAML in ``conf/``. The type hint of a node names a subclass of
:class:`Parameters`; Kedro builds it before any node runs, so a misspelt key or a value out of range stops
the run at once. The trainer reads the same classes from the file saved beside its checkpoints.
"""

from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Validated, immutable parameters; unknown keys are errors.

    A subclass may define ``preflight(self) -> None``, which raises a
    :class:`~skin_pipeline.errors.SkinPipelineError` when the parameters are well-formed but cannot work on
    this machine (weights that are not there, say). It is called for all parameters of a run before its
    first node.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
