"""The project's pipelines by name."""

import importlib
import pkgutil

from kedro.pipeline import Pipeline

from skin_pipeline import pipelines as pipelines_package

FROM_RAW_SKINS = ("data_prep", "train", "inference", "export_skins")
"""From raw skins to generated skins and their packages, in this order."""


def register_pipelines() -> dict[str, Pipeline]:
    """Collect the pipelines of all packages in ``skin_pipeline.pipelines``, and combine them.

    Kedro's ``find_pipelines`` is not used: asked for one pipeline, it knows only packages of that name, and
    would not find ``demo``.

    Returns:
        Each package's pipeline by its name; ``__default__``: raw skins and skin packages in, generated skins
        and their packages out; ``demo``: the same from drawn skins; ``fill50k``: circles in place of skins,
        from drawing them to measuring what was generated.
    """
    names = [module.name for module in pkgutil.iter_modules(pipelines_package.__path__) if module.ispkg]
    pipelines: dict[str, Pipeline] = {name: _create(name) for name in names}
    pipelines["__default__"] = _union(pipelines, ("import_packages", *FROM_RAW_SKINS))
    pipelines["demo"] = _union(pipelines, ("demo_data", *FROM_RAW_SKINS))
    pipelines["fill50k"] = _union(pipelines, ("fill50k", "train", "inference"))
    return pipelines


def _create(name: str) -> Pipeline:
    """Create the pipeline of one package."""
    module = importlib.import_module(f"{pipelines_package.__name__}.{name}")
    pipeline: Pipeline = module.create_pipeline()
    return pipeline


def _union(pipelines: dict[str, Pipeline], names: tuple[str, ...]) -> Pipeline:
    """Combine pipelines; Kedro orders their nodes by what they need."""
    return sum((pipelines[name] for name in names if name in pipelines), start=Pipeline([]))
