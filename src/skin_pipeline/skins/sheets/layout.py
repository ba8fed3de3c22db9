"""What lies where on a sheet.

A layout is a YAML file: the side of the (square) sheet in units of its own, and named cells with their
rectangles and what each shows. Sheets of any size are scaled from it.
"""

from importlib import resources
from importlib.resources.abc import Traversable
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from skin_pipeline.errors import ConfigurationError
from skin_pipeline.schemas import Parameters
from skin_pipeline.skins.model import KeyboardKind, Rect

Element = Literal["keyboard", "panel", "background", "bar", "key", "cap", "list", "candidate"]
Corners = tuple[
    Annotated[float, Field(ge=0)],
    Annotated[float, Field(ge=0)],
    Annotated[float, Field(gt=0)],
    Annotated[float, Field(gt=0)],
]

SHIPPED = ("whole_keyboard", "four_parts", "key_elements")
"""Layouts that come with the package; any other name is the path of a file."""


class Cell(Parameters):
    """A rectangle of a sheet and the element that it shows."""

    rect: Corners
    """x, y, width, height in the layout's units."""

    element: Element
    """``keyboard`` with its bar; ``panel`` with its keys; its ``background`` alone; the ``bar`` alone; a
    ``key`` with its legend; its ``cap`` without; the ``list`` beside nine keys; the first ``candidate``."""

    keyboard: KeyboardKind
    """The keyboard that the element is taken from."""

    keys: tuple[str, ...] = ()
    """For ``key`` and ``cap``: functions of keys, or texts they write; the first that the keyboard has is
    shown, and stands for all keys of its function."""

    state: Literal["normal", "pressed"] = "normal"
    """For ``key`` and ``cap``: idle or pressed."""

    otherwise: Literal["reject", "panel"] = "reject"
    """What to do with a skin that lacks the element: leave the skin out, or show its panel there."""

    @model_validator(mode="after")
    def _names_keys(self) -> Self:
        if (self.element in {"key", "cap"}) != bool(self.keys):
            raise ValueError(
                f"keys: expected for 'key' and 'cap' only, got {self.keys} for '{self.element}'."
            )
        return self

    @property
    def place(self) -> Rect:
        """The rectangle, in the layout's units."""
        return Rect(*self.rect)


class SheetLayout(Parameters):
    """What lies where on a sheet."""

    size: Annotated[int, Field(ge=64, le=8192)]
    """Side of the sheet in the layout's units."""

    cells: Annotated[dict[str, Cell], Field(min_length=1)]
    """What is shown, by name."""

    @model_validator(mode="after")
    def _cells_are_apart(self) -> Self:
        for name, cell in self.cells.items():
            if cell.place.right > self.size or cell.place.bottom > self.size:
                raise ValueError(
                    f"cell '{name}' ends at {cell.place.right}, {cell.place.bottom}; expected <= {self.size}."
                )
        for (name, cell), (other_name, other) in combinations(self.cells.items(), 2):
            if not cell.place.intersection(other.place).is_empty:
                raise ValueError(f"cells '{name}' and '{other_name}' overlap; expected them apart.")
        return self

    def place(self, name: str, size_px: int) -> Rect:
        """Return where a cell lies on a sheet of a size, in whole pixels."""
        scale, rect = size_px / self.size, self.cells[name].place
        x, y = round(rect.x * scale), round(rect.y * scale)
        return Rect(x, y, round(rect.right * scale) - x, round(rect.bottom * scale) - y)

    @property
    def keyboards(self) -> tuple[KeyboardKind, ...]:
        """The keyboards that its cells are taken from."""
        return tuple(dict.fromkeys(cell.keyboard for cell in self.cells.values()))


def load_layout(name: str) -> SheetLayout:
    """Read a layout.

    Args:
        name: One of :data:`SHIPPED`, or the path of a YAML file.

    Raises:
        ConfigurationError: There is no such file, or it does not say a layout; the message says where.
    """
    file: Traversable = layout_folder() / f"{name}.yml" if name in SHIPPED else Path(name)
    if not file.is_file():
        raise ConfigurationError(
            f"Sheet layout '{name}' was not found: expected one of {', '.join(SHIPPED)} or the path of a"
            " YAML file."
        )
    try:
        return SheetLayout.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as exc:
        raise ConfigurationError(f"Sheet layout '{name}' cannot be used: {exc}") from exc


def layout_folder() -> Traversable:
    """Return the folder of the shipped layouts."""
    return resources.files("skin_pipeline.skins.sheets") / "layouts"
