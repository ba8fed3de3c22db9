"""How well a picture follows the edges it was conditioned on.

The edges found in a picture are compared with the edges that were wanted, pixel by pixel, where a pixel
counts as matched if the other map has an edge within a tolerance (Euclidean distance between pixel centres):

* precision: the share of found edge pixels that match a wanted one. Extra edges lower it.
* recall: the share of wanted edge pixels that match a found one. Missing edges lower it.
* F1: their harmonic mean.

Recall alone says nothing, since noise has edges everywhere. Matching is by dilation, so several pixels may
match the same one; the boundary benchmark of Martin, Fowlkes and Malik (PAMI 2004) assigns them one to one
instead, which costs more and matters little for thin maps.

At tolerance 0 this is the F1 of a binary classification of pixels, as ControlNet++ (Li et al., ECCV 2024,
``eval/eval_edge.py``) reports it with torchmetrics' ``BinaryF1Score``: see :func:`controlnet_plus_plus_f1`.
Beside it they report the multi-scale structural similarity of both maps: see :func:`ms_ssim`.
:func:`controlnet_plus_plus_edges` extracts edges as their task ``canny_cv2`` does, from the real picture as
well as from the generated ones; their default task ``canny`` uses kornia's operator with the same thresholds
on blurred pictures. Their published figures come from photographs at 512x512, four pictures a condition, 20
steps and guidance 7.5; figures of two protocols do not compare.

Shapes: H, W pixels of one picture. An edge map is (H, W), uint8 or bool, an edge wherever it is not 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from skin_pipeline.errors import InputError
from skin_pipeline.prep.positions import lines_of

CONTROLNET_PLUS_PLUS_THRESHOLDS = (100, 200)
"""Canny's thresholds in ControlNet++'s ``eval/eval.py``."""
MS_SSIM_LEAST_SIDE = 176
"""Pictures need sides of so many pixels for five scales with windows of 11 pixels (Wang et al. 2003)."""

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


@dataclass(frozen=True)
class EdgeAgreement:
    """How far the edges found in one picture agree with the wanted ones; shares in [0, 1]."""

    precision: float
    recall: float
    f1: float
    num_found: int
    """Edge pixels found in the picture."""
    num_wanted: int
    """Edge pixels of the conditioning image."""


def edge_agreement(found: np.ndarray, wanted: np.ndarray, tolerance_px: int = 2) -> EdgeAgreement:
    """Compare the edges found in a picture with the wanted ones.

    Args:
        found: Edge map (H, W) of the picture.
        wanted: Edge map (H, W) of the conditioning image; a map with filled glyphs goes through
            :func:`outlines`.
        tolerance_px: Largest distance at which two edge pixels match, in pixels, 0 or more.

    Returns:
        Precision, recall and F1. Where nothing is found, nothing found is wrong (precision 1); where nothing
        is wanted, nothing is missed (recall 1); so two empty maps agree perfectly, and an empty one beside
        one that is not has F1 0.

    Raises:
        InputError: The maps are not two-dimensional or differ in size.
    """
    found, wanted = _as_edges(found), _as_edges(wanted)
    if found.shape != wanted.shape:
        raise InputError(
            f"Edge maps must be of one size: found {found.shape[1]}x{found.shape[0]} px, wanted"
            f" {wanted.shape[1]}x{wanted.shape[0]} px. Generate at the size of the conditioning image."
        )
    precision = _share(found, _dilate(wanted, tolerance_px))
    recall = _share(wanted, _dilate(found, tolerance_px))
    return EdgeAgreement(precision, recall, _f1(precision, recall), int(found.sum()), int(wanted.sum()))


def controlnet_plus_plus_f1(found: Sequence[np.ndarray], wanted: np.ndarray) -> float:
    """Return the F1 of all pictures of one conditioning image as ControlNet++ defines it.

    Tolerance 0; the pictures (four in their protocol) are flattened into one long row of pixels. The figure
    of a set is the plain mean over its conditioning images.

    Args:
        found: Edge maps (H, W), one for each picture made from the conditioning image.
        wanted: The conditioning image's edges (H, W).

    Returns:
        2TP / (2TP + FP + FN), and 0 where all maps are empty, as torchmetrics has it.
    """
    wanted = _as_edges(wanted)
    maps = [_as_edges(one) for one in found]
    true_positives = sum(int((one & wanted).sum()) for one in maps)
    positives = sum(int(one.sum()) + int(wanted.sum()) for one in maps)
    return 2 * true_positives / positives if positives else 0.0


def controlnet_plus_plus_edges(picture: np.ndarray) -> np.ndarray:
    """Extract edges as ControlNet++'s ``canny_cv2`` does: OpenCV's Canny of the colour picture, 100 and 200.

    Args:
        picture: (H, W, 3) uint8 RGB.

    Returns:
        (H, W) uint8, 255 on edges.
    """
    edges: np.ndarray = cv2.Canny(picture, *CONTROLNET_PLUS_PLUS_THRESHOLDS)
    return edges


def ms_ssim(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the multi-scale structural similarity of two edge maps (Wang et al. 2003), as ControlNet++ does.

    Computed by torchmetrics with its defaults (five scales, Gaussian windows of 11 pixels, negative
    similarities taken for 0).

    Args:
        found: Edge map (H, W) of the picture.
        wanted: Edge map (H, W) of the conditioning image.

    Returns:
        From 0 to 1, 1 for equal maps. Between maps of thin lines it is high wherever both are black, so it
        says less than F1.

    Raises:
        InputError: The maps differ in size, or a side is below :data:`MS_SSIM_LEAST_SIDE`.
    """
    found, wanted = _as_edges(found), _as_edges(wanted)
    if found.shape != wanted.shape or min(found.shape) < MS_SSIM_LEAST_SIDE:
        raise InputError(
            f"MS-SSIM needs maps of one size with sides of at least {MS_SSIM_LEAST_SIDE} px, got"
            f" {found.shape[1]}x{found.shape[0]} and {wanted.shape[1]}x{wanted.shape[0]} px."
        )
    import torch
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    first, second = (torch.from_numpy(one.astype(np.float32))[None, None] for one in (found, wanted))
    return float(multiscale_structural_similarity_index_measure(first, second, data_range=1.0))


def outlines(conditioning: np.ndarray) -> np.ndarray:
    """Reduce a conditioning image to edges one pixel wide, so that filled glyphs can be compared with edges.

    A filled area keeps its boundary (the pixels with a neighbour outside; the picture's border is no
    boundary); a line one pixel wide has no inside and stays as it is.

    Args:
        conditioning: (H, W) or (H, W, 3) uint8, white on black; where text is does not count.

    Returns:
        (H, W) bool.
    """
    filled = (lines_of(conditioning) >= 128).astype(np.uint8)
    inside = cv2.erode(filled, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    boundary: np.ndarray = filled.astype(bool) & ~inside.astype(bool)
    return boundary


def _as_edges(edge_map: np.ndarray) -> np.ndarray:
    if edge_map.ndim != 2:
        raise InputError(f"An edge map has shape (H, W), got {edge_map.shape}.")
    return edge_map.astype(bool)


def _dilate(edges: np.ndarray, radius_px: int) -> np.ndarray:
    """Return all pixels within ``radius_px`` of an edge."""
    if radius_px == 0:
        return edges
    offsets = np.arange(-radius_px, radius_px + 1)
    disk = (offsets[:, None] ** 2 + offsets[None, :] ** 2 <= radius_px**2).astype(np.uint8)
    near: np.ndarray = cv2.dilate(edges.astype(np.uint8), disk).astype(bool)
    return near


def _share(edges: np.ndarray, near: np.ndarray) -> float:
    total = int(edges.sum())
    return int((edges & near).sum()) / total if total else 1.0


def _f1(precision: float, recall: float) -> float:
    total = precision + recall
    return 2 * precision * recall / total if total else 0.0
