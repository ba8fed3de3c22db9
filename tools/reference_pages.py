"""Writes the reference pages of the documentation from what the project is made of.

Nothing on these pages is written by hand: parameters come from the pydantic models that validate ``conf/``,
datasets from the catalog, pipelines from the registry, targets from the Makefile. ``make docs`` calls it.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project
from kedro.pipeline import Pipeline
from pydantic import BaseModel

PROJECT = Path(__file__).resolve().parents[1]
_GLOBALS = "globals.yml"
_ORDER = (
    "import_packages",
    "data_prep",
    "train",
    "inference",
    "export_skins",
    "evaluate",
    "report",
    "compare",
)
_LAST = frozenset({"base_model", "demo_data", "demo_packages", "fill50k"})
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")
_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "multipleOf": "a multiple of",
}
_COUNTS = {"minItems": "at least", "maxItems": "at most"}
_NAMES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true | false",
    "null": "null",
}

PARAMETERS_HEAD = """# Parameters

Every key that `conf/base` knows, with its type, range, default and meaning. This page is made from the models
that check the configuration before a run begins: an unknown key or a value out of range ends the run at once,
with its name.

The default is what counts where no file sets the key; *conf/base* shows what the project sets. Set any key in
a file of your own (`conf/local`, or an environment of yours), or for one run:
`kedro run --params train.max_train_steps=800`.
"""
CATALOG_HEAD = """# Datasets of the catalog

What runs read and write, in the order of `conf/base/catalog.yml`. Load any of them in a notebook or in
`kedro ipython`: `catalog.load("train_dataset")`. Paths begin at the data folder, `data/` unless
`SKIN_PIPELINE_DATA` says otherwise.
"""
PIPELINES_HEAD = """# Pipelines and commands

`kedro run` runs everything from raw skins to packages; `kedro run --pipeline=NAME` one of these; `--env=NAME`
chooses a folder of `conf/` (below). A run is checked before its first node, and the same command goes on
after any interruption.
"""


@dataclass(frozen=True)
class Block:
    """A top-level key of the configuration and the model that validates it."""

    name: str
    file: str
    model: type[BaseModel]
    values: Mapping[str, Any]


# --- what there is --------------------------------------------------------------------------------------


def load_config(env: str = "local") -> OmegaConfigLoader:
    """Return the project's configuration as Kedro reads it."""
    from skin_pipeline import settings

    options: dict[str, Any] = {**settings.CONFIG_LOADER_ARGS, "env": env}
    return OmegaConfigLoader(str(PROJECT / "conf"), **options)


def load_pipelines() -> dict[str, Pipeline]:
    """Return the project's pipelines by name."""
    from skin_pipeline.pipeline_registry import register_pipelines

    configure_project("skin_pipeline")
    return register_pipelines()


def blocks(pipelines: Mapping[str, Pipeline]) -> list[Block]:
    """Return every block of parameters that some node takes, and the engine's, in the order of the files."""
    from skin_pipeline.engines import EngineParameters

    models = dict(_models(pipelines))
    found = []
    for file in sorted((PROJECT / "conf/base").glob("parameters*.yml"), key=_place):
        values = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        found += [Block(name, file.name, models[name], values[name]) for name in values if name in models]
    engine = yaml.safe_load((PROJECT / "conf/base" / _GLOBALS).read_text(encoding="utf-8"))["engine"]
    return [*found, Block("engine", _GLOBALS, EngineParameters, engine)]


def _place(file: Path) -> tuple[bool, int, str]:
    """Sort files in the order of the work; what few need comes last."""
    name = file.stem.removeprefix("parameters_")
    rank = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return name in _LAST, rank, name


def _models(pipelines: Mapping[str, Pipeline]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield each parameters block with the type hint of a node's argument that takes it."""
    for node in {node for pipeline in pipelines.values() for node in pipeline.nodes}:
        bound = inspect.signature(node.func)
        hints = inspect.get_annotations(node.func, eval_str=True)
        inputs = (
            node._inputs
            if isinstance(node._inputs, dict)
            else dict(zip(bound.parameters, node.inputs, strict=False))
        )
        for argument, source in inputs.items():
            if source.startswith("params:"):
                yield source.removeprefix("params:"), hints[argument]


# --- parameters -----------------------------------------------------------------------------------------


def parameters_page(found: Iterable[Block]) -> str:
    """Return the page of all parameters."""
    parts = [PARAMETERS_HEAD]
    file = None
    for block in found:
        if block.file != file:
            file = block.file
            parts.append(f"## conf/base/{file}\n")
        parts.append("\n".join(_block(block)))
    return "\n".join(parts)


def _block(block: Block) -> Iterator[str]:
    schema = block.model.model_json_schema()
    yield f"### {block.name}\n"
    yield f"{_prose(inspect.getdoc(block.model) or '')}\n"
    yield from _fields(block.name, schema, schema.get("$defs", {}), block.values)


def _fields(prefix: str, schema: Mapping[str, Any], known: Mapping[str, Any], values: Any) -> Iterator[str]:
    """Yield an entry for each property, and after it those of the models inside."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}.{name}"
        value = values.get(name) if isinstance(values, Mapping) else None
        facts = [_type(field, known)]
        if not _inner(field, known):
            facts.append("required" if name in required else f"default {_shown(field.get('default'), field)}")
        if value is not None and not isinstance(value, Mapping) and value != field.get("default"):
            facts.append(f"conf/base {_shown(value, field)}")
        yield f"[`{path}`]{{#{path.replace('.', '-')}}}"
        yield f":   {'; '.join(facts)}"
        yield ""
        inside = _inner(field, known)
        described = field.get("description") or (inside[0].get("description", "") if inside else "")
        for paragraph in filter(None, _prose(described).split("\n\n")):
            yield f"    {' '.join(paragraph.split())}\n"
        for inner in inside:
            yield from _fields(path, inner, known, value)


def _inner(field: Mapping[str, Any], known: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the one model that a field holds; none where it holds plain values or one of several models."""
    choices = [choice for choice in (*field.get("anyOf", ()), field) if "$ref" in choice]
    schemas = [known[choice["$ref"].rpartition("/")[2]] for choice in choices]
    return [schema for schema in schemas if "properties" in schema][:1]


def _type(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if "$ref" in field:
        schema = known[field["$ref"].rpartition("/")[2]]
        return "a block" if "properties" in schema else _type(schema, known)
    for several in ("anyOf", "oneOf"):
        if several in field:
            return " or ".join(dict.fromkeys(_type(choice, known) for choice in field[several]))
    if "enum" in field:
        return " | ".join(f"`{json.dumps(choice).strip(chr(34))}`" for choice in field["enum"])
    if "const" in field:
        return f"`{json.dumps(field['const']).strip(chr(34))}`"
    return _plain_type(field, known)


def _plain_type(field: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    bounds = [f"{sign} {field[name]:g}" for name, sign in _BOUNDS.items() if name in field]
    counts = [f"{word} {field[name]}" for name, word in _COUNTS.items() if name in field]
    kind = field.get("type", "anything")
    if kind == "array":
        if "prefixItems" in field:
            return "a list of " + ", ".join(_type(one, known) for one in field["prefixItems"])
        inside = [field.get("items", {})]
        return " ".join(
            ["a list of", ", ".join(_type(one, known) for one in inside if one) or "anything", *counts]
        )
    if kind == "object":
        inside = field.get("additionalProperties")
        return f"names to {_type(inside, known)}" if isinstance(inside, dict) else "a block"
    name = (
        "path" if field.get("format") in {"path", "file-path", "directory-path"} else _NAMES.get(kind, kind)
    )
    return ", ".join([" ".join([name, *bounds[:1]]), *bounds[1:]])


def _shown(value: Any, field: Mapping[str, Any]) -> str:
    if value is None:
        return "`null`" if "default" in field else "none"
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return f"`{text}`" if text else '`""`'


def _prose(docstring: str) -> str:
    """Return a docstring as Markdown: double backticks are code there, too, but roles are not."""
    text = inspect.cleandoc(docstring)
    text = _ROLE.sub(lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


# --- datasets and pipelines -----------------------------------------------------------------------------


def catalog_page(config: OmegaConfigLoader, pipelines: Mapping[str, Pipeline]) -> str:
    """Return the page of all datasets."""
    nodes = {node.name: node for pipeline in pipelines.values() for node in pipeline.nodes}
    rows = []
    for name, entry in config["catalog"].items():
        if name.startswith("_"):
            continue
        makers = sorted(node.name for node in nodes.values() if name in node.outputs)
        readers = sorted(node.name for node in nodes.values() if name in node.inputs)
        rows.append(
            f"| `{name}` | {entry['metadata']['kedro-viz']['layer'].replace('_', ' ')} "
            f"| `{_short_place(entry)}` | {_kind(entry['type'])} "
            f"| {_codes(makers) or 'you'} | {_codes(readers)} |"
        )
    head = "| dataset | layer | place | kind | made by | read by |\n|---|---|---|---|---|---|"
    return "\n".join([CATALOG_HEAD, head, *rows, ""])


def _short_place(entry: Mapping[str, Any]) -> str:
    path = entry.get("filepath") or entry.get("dataset", {}).get("filepath") or "in memory"
    return str(path).removeprefix(f"{(PROJECT / 'data').as_posix()}/")


def _kind(dotted: str) -> str:
    name = dotted.rpartition(".")[2]
    return f"[{name}](datasets.md)" if dotted.startswith("skin_pipeline.") else f"`{dotted}`"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def pipelines_page(pipelines: Mapping[str, Pipeline]) -> str:
    """Return the page of pipelines, environments, commands and targets."""
    parts = [PIPELINES_HEAD]
    for name, pipeline in sorted(pipelines.items()):
        title = "`kedro run`" if name == "__default__" else f"`{name}`"
        parts.append(f"## {title}\n\n{_pipeline_prose(name)}\n")
        parts.append("| node | reads | makes |\n|---|---|---|")
        parts += [
            f"| `{node.name}` | {_codes(node.inputs)} | {_codes(node.outputs)} |" for node in pipeline.nodes
        ]
        parts.append("")
    return "\n".join([*parts, _environments(), _commands(), _targets()])


def _pipeline_prose(name: str) -> str:
    import importlib

    if name in {"__default__", "demo"}:
        first = "skin packages and raw skins" if name == "__default__" else "drawn skins"
        return (
            f"From {first} to generated skins and their packages: several of the pipelines below in one run."
        )
    module = importlib.import_module(f"skin_pipeline.pipelines.{name}.pipeline")
    return (
        _prose(inspect.getdoc(module.create_pipeline) or "")
        .split("\n\n")[0]
        .removeprefix("Return ")
        .capitalize()
    )


def _environments() -> str:
    rows = ["## Environments\n", "| `--env` | what it sets |", "|---|---|"]
    for folder in sorted((PROJECT / "conf").iterdir()):
        files = sorted(folder.glob("*.yml"))
        if folder.is_dir() and folder.name not in {"base", "local", "accelerate"} and files:
            rows.append(f"| `{folder.name}` | {_first_comment(files)} |")
    return "\n".join([*rows, ""])


def _first_comment(files: list[Path]) -> str:
    """Return what the comment at the head of an environment's first telling file says."""
    for file in files:
        lines = file.read_text(encoding="utf-8").splitlines()
        comment = [line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines)]
        if comment and not comment[0].startswith("See "):
            text = " ".join(comment)
            return text.partition(": ")[2] or text
    return _codes(file.name for file in files)


def _commands() -> str:
    import click

    from skin_pipeline.cli import cli

    parts = ["## Commands\n"]
    for name, command in sorted(cli.commands.items()):
        context = click.Context(command, info_name=f"kedro {name}")
        parts.append(f"```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _targets() -> str:
    lines = (PROJECT / "Makefile").read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([a-z-]+):.*## (.*)", line) for line in lines]
    rows = [f"| `make {target[1]}` | {target[2]} |" for target in found if target]
    return "\n".join(["## Make\n", "| target | does |", "|---|---|", *rows, ""])


def write_pages(folder: Path) -> list[Path]:
    """Write all reference pages into a folder; a page that would not change is left as it is."""
    pipelines = load_pipelines()
    pages = {
        "parameters.md": parameters_page(blocks(pipelines)),
        "catalog.md": catalog_page(load_config(), pipelines),
        "pipelines.md": pipelines_page(pipelines),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages.items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return [folder / name for name in pages]
