"""Trace the edges of resized skins: the outline that a ControlNet is conditioned on."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, Self

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from skin_pipeline.geometry import plan_fit
from skin_pipeline.items import Item, Output, Rejection, Task, Worker
from skin_pipeline.prep.pictures import RGBPicture
from skin_pipeline.prep.resize import resize_lines
from skin_pipeline.schemas import Parameters

EdgeChannels = Literal["gray", "any"]


class EdgeParameters(Parameters):
    """How edges are traced."""

    low: float = Field(default=50, ge=0)
    """Canny's lower threshold on the gradient (Sobel 3x3, L1 norm, pixels of 0 to 255): weak edges above it
    are kept where they touch strong ones."""

    high: float = Field(default=80, ge=0)
    """Canny's upper threshold: edges above it are strong."""

    channels: EdgeChannels = "gray"
    """``gray`` looks at the grey picture; ``any`` at red, green and blue apart and keeps every edge found. It
    also finds keys that differ from their panel in hue alone, and more noise."""

    num_workers: int = Field(default=1, ge=1)
    """Processes that trace at the same time."""

    def item_parameters(self) -> dict[str, Any]:
        """Return the parameters that change the edges, as JSON, for ``Plan.parameters``."""
        return self.model_dump(mode="json", exclude={"num_workers"})

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low > self.high:
            raise ValueError(
                f"edges.low must not exceed edges.high, got low {self.low} and high {self.high}."
            )
        return self


def make_edge_tracer(parameters: EdgeParameters) -> Worker:
    """Build the worker that traces the edges of resized skins, the source ``resized_skins``."""
    return partial(_trace_batch, parameters)


def _trace_batch(parameters: EdgeParameters, tasks: Sequence[Task]) -> list[Output | Rejection]:
    return [_trace_task(task, parameters) for task in tasks]


def _trace_task(task: Task, parameters: EdgeParameters) -> Output:
    edges = trace_edges(
        task.inputs["resized_skins"].load_image(), parameters.low, parameters.high, parameters.channels
    )
    record = {
        "low": parameters.low,
        "high": parameters.high,
        "channels": parameters.channels,
        "edge_share": round(float(np.count_nonzero(edges)) / edges.size, 6),
        "size_px": [edges.shape[1], edges.shape[0]],
    }
    return Output(record, edges)


def trace_edges(
    picture: RGBPicture, low: float = 50, high: float = 80, channels: EdgeChannels = "gray"
) -> NDArray[np.uint8]:
    """Trace the edges of a picture (Canny, 1986; OpenCV's, 3x3 Sobel, L1 norm).

    Args:
        picture: uint8 RGB, (H, W, 3).
        low: Lower threshold of the hysteresis.
        high: Upper threshold.
        channels: See :class:`EdgeParameters`.

    Returns:
        uint8, (H, W): 255 on edges, 0 elsewhere.
    """
    planes = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)] if channels == "gray" else cv2.split(picture)
    edges: NDArray[np.uint8] = np.bitwise_or.reduce([cv2.Canny(plane, low, high) for plane in planes])
    return edges


def load_edges(item: Item) -> NDArray[np.uint8]:
    """Load an edge map at the size that its record states, (H, W).

    The edges of a reference skin may stand for those of a skin of another size (see
    :func:`skin_pipeline.prep.shared.shared_edges`). They are stretched to it, without blur: every key of the
    reference stays in the picture.
    """
    edges = item.load_image()
    size = tuple(item.record["size_px"])
    fit = plan_fit("stretch", (edges.shape[1], edges.shape[0]), size)
    return resize_lines(edges, fit.matrix, size)
