"""PP-OCR's recogniser in PyTorch: the same weights as the text reader's, with a gradient to the pixels.

The weights are read out of an ONNX file and put into transformers' class for the same network (PP-OCRv6
small: a convolutional backbone, two SVTR blocks and a linear layer under a CTC loss), of which it gives what
an inference file hides: logits in place of probabilities, and the features that they are a linear map of.

Shapes: N crops, W pixels, T = W / 8 places in the text, C classes, D features.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from skin_pipeline.errors import MissingWeightsError
from skin_pipeline.recognition.recognizer_files import RecognizerFile, find_recognizer, open_session

CROP_HEIGHT_PX = 48
"""Height of a crop."""
WIDTH_MULTIPLE_PX = 8
"""Pixels of a crop's width for each place in the text."""
BLANK = 0
"""The class that stands for no character."""
PARITY = 1e-3
"""Largest difference of probabilities from onnxruntime's with which weights are accepted."""


class Reading(NamedTuple):
    """What the recogniser makes of crops."""

    logits: Tensor
    """(N, T, C), fp32; softmax gives what the ONNX file gives."""
    features: Tensor
    """(N, T, D), fp32; the logits are a linear map of them."""


class TorchRecognizer(nn.Module):
    """The recogniser, frozen: its weights take no gradient, its input may."""

    def __init__(self, network: Any, characters: Sequence[str], digest: str) -> None:
        """Take a network over.

        Args:
            network: transformers' ``PPOCRV6SmallRecForTextRecognition`` with its weights.
            characters: What the classes stand for; class 0 is the blank, ``""``.
            digest: sha256 of the file that the weights came from.
        """
        super().__init__()
        self.network: Any = network.requires_grad_(False).float()
        self.characters = tuple(characters)
        self.digest = digest
        self._classes = {character: index for index, character in enumerate(characters) if index}
        self.eval()

    def train(self, mode: bool = True) -> "TorchRecognizer":  # noqa: ARG002
        """Stay in evaluation mode: the statistics of its batch normalisation belong to the weights."""
        return super().train(False)

    def forward(self, crops: Tensor) -> Reading:
        """Read crops, in fp32 whatever the surroundings compute in.

        Args:
            crops: (N, 3, 48, W), RGB in [-1, 1], W a multiple of 8; what is padded is 0.
        """
        with torch.autocast(crops.device.type, enabled=False):
            hidden = self.network.model(crops.float().flip(1)).last_hidden_state  # it was trained on BGR
            features: Tensor = self.network.head.encoder(hidden).last_hidden_state
            return Reading(self.network.head.head(features), features)

    def encode(self, text: str) -> list[int] | None:
        """Return a text's classes; None where a character is none of them, or the text is empty."""
        classes = [self._classes.get(character) for character in text]
        return None if not classes or None in classes else [c for c in classes if c is not None]

    def decode(self, logits: Tensor) -> list[str]:
        """Return the likeliest text of each crop by greedy decoding: repeats once, blanks not at all."""
        texts = []
        for places in logits.argmax(-1).tolist():
            kept = [
                c for c, before in zip(places, [BLANK, *places], strict=False) if c not in (BLANK, before)
            ]
            texts.append("".join(self.characters[c] for c in kept))
        return texts


def num_places(width_px: Tensor) -> Tensor:
    """Return at how many places of the text a crop of some width is read."""
    return (width_px + WIDTH_MULTIPLE_PX - 1) // WIDTH_MULTIPLE_PX


def build_empty_recognizer(source: str = "embedded", option: str = "recognizer") -> TorchRecognizer:
    """Build a recogniser on the meta device: its network and characters, without weights.

    Args:
        source: See :func:`find_recognizer`.
        option: The full path of the parameter, for messages.

    Raises:
        MissingWeightsError: There is no such file, or it does not say what it reads.
    """
    with torch.device("meta"):
        return _recognizer_of(find_recognizer(source, option))


def load_recognizer(source: str = "embedded", option: str = "recognizer") -> TorchRecognizer:
    """Load a recogniser and check that it reads as onnxruntime does.

    Args:
        source: See :func:`find_recognizer`.
        option: The full path of the parameter, for messages.

    Raises:
        MissingWeightsError: There is no such file, or its network is not PP-OCRv6 small's.
    """
    file = find_recognizer(source, option)
    recognizer = _recognizer_of(file)
    try:
        _copy_weights(file.path, recognizer.network)
    except _OtherNetworkError as exc:
        raise MissingWeightsError(
            f"{option} '{source}' ({file.path}) is not PP-OCRv6 small: {exc}. Only this network is known in"
            " PyTorch; the charset may be another."
        ) from exc
    _check_parity(file.path, recognizer, option)
    return recognizer


def _recognizer_of(file: RecognizerFile) -> TorchRecognizer:
    """Return a recogniser of a file's characters, with random weights."""
    from transformers.models.pp_ocrv6_small_rec.configuration_pp_ocrv6_small_rec import PPOCRV6SmallRecConfig
    from transformers.models.pp_ocrv6_small_rec.modeling_pp_ocrv6_small_rec import (
        PPOCRV6SmallRecForTextRecognition,
    )

    characters = ("", *file.characters, " ")
    network = PPOCRV6SmallRecForTextRecognition(PPOCRV6SmallRecConfig(head_out_channels=len(characters)))
    return TorchRecognizer(network, characters, file.digest)


@torch.no_grad()
def _check_parity(path: Path, recognizer: TorchRecognizer, option: str) -> None:
    """Compare with onnxruntime on one picture of noise."""
    generator = torch.Generator().manual_seed(0)
    crop = torch.rand(1, 3, CROP_HEIGHT_PX, 64, generator=generator) * 2 - 1
    expected = open_session(path).run(None, {"x": crop.flip(1).numpy()})[0]
    found = recognizer(crop).logits.softmax(-1).numpy()
    if found.shape != expected.shape or np.abs(found - expected).max() > PARITY:
        raise MissingWeightsError(
            f"{option}: the weights of '{path}' do not read as they do in onnxruntime; the file was exported"
            " in another way than PaddleOCR's own. Use the embedded recogniser."
        )


# --- from the graph into the modules ----------------------------------------------------------------------


class _OtherNetworkError(Exception):
    """The file's graph is not the network that was expected."""


@dataclass(frozen=True)
class _Layer:
    """A convolution or matrix product of the graph.

    Attributes:
        weight: As torch keeps it: (out, in, ...).
        bias: Added behind it; None where nothing is.
        norm: Batch normalisation behind it: scale, shift, mean, variance; None where it was merged.
        norm_epsilon: Its epsilon.
    """

    weight: Tensor
    bias: Tensor | None
    norm: tuple[Tensor, ...] | None = None
    norm_epsilon: float = 0.0


def _copy_weights(path: Path, network: nn.Module) -> None:
    """Fill transformers' modules from the graph: both list layers in the order in which they compute.

    Layers of one block may be listed in another order in the two, so each module takes the first layer left
    that has its shape.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    layers, norms = _layers(graph, constants), _layer_norms(graph, constants)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            norm = _norm_behind(network, name)
            _fill(module, norm, _take(layers, module.weight.shape, name))
        elif isinstance(module, nn.LayerNorm):
            if not norms:
                raise _OtherNetworkError(f"nothing is left for '{name}'")
            scale, shift, module.eps = norms.pop(0)
            module.weight.data.copy_(scale)
            module.bias.data.copy_(shift)
    if layers or norms:
        raise _OtherNetworkError(f"{len(layers) + len(norms)} layers have no place in it")


def _take(layers: list[_Layer], shape: torch.Size, name: str) -> _Layer:
    for place, layer in enumerate(layers):
        if layer.weight.shape == shape:
            return layers.pop(place)
    raise _OtherNetworkError(f"no layer of shape {tuple(shape)} is left for '{name}'")


def _norm_behind(network: nn.Module, name: str) -> nn.BatchNorm2d | None:
    """Return the batch normalisation that belongs to a convolution, its neighbour in the same module."""
    parent = network.get_submodule(name.rpartition(".")[0])
    return next((child for child in parent.children() if isinstance(child, nn.BatchNorm2d)), None)


@torch.no_grad()
def _fill(module: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | None, layer: _Layer) -> None:
    module.weight.copy_(layer.weight)
    bias = layer.bias if layer.bias is not None else torch.zeros(len(layer.weight))
    if norm is None:
        if module.bias is not None:
            module.bias.copy_(bias)
        elif layer.bias is not None:
            raise _OtherNetworkError("a bias has no place")
        return
    if layer.norm is None:  # merged into the convolution: what is left of it is the shift
        spread = torch.full_like(bias, 1 - norm.eps)
        layer = _Layer(
            layer.weight, None, (torch.ones_like(bias), bias, torch.zeros_like(bias), spread), norm.eps
        )
    assert layer.norm is not None
    norm.eps = layer.norm_epsilon
    for target, value in zip(
        (norm.weight, norm.bias, norm.running_mean, norm.running_var), layer.norm, strict=True
    ):
        assert target is not None
        target.copy_(value)


def _layers(graph: Any, constants: dict[str, Tensor]) -> list[_Layer]:
    """Return the graph's convolutions and matrix products by a constant, in order."""
    users: dict[str, list[Any]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    layers = []
    for node in graph.node:
        if node.op_type not in ("Conv", "MatMul") or node.input[1] not in constants:
            continue
        weight = constants[node.input[1]]
        bias = constants[node.input[2]] if len(node.input) > 2 else None
        norm, epsilon = None, 0.0
        for user in users[node.output[0]]:
            if user.op_type == "Add":
                added = [constants[name].flatten() for name in user.input if name in constants]
                bias = added[0] if added else bias
            if user.op_type == "BatchNormalization":
                norm = tuple(constants[name] for name in user.input[1:5])
                epsilon = next(a.f for a in user.attribute if a.name == "epsilon")
        layers.append(_Layer(weight.t() if node.op_type == "MatMul" else weight, bias, norm, epsilon))
    return layers


def _layer_norms(graph: Any, constants: dict[str, Tensor]) -> list[tuple[Tensor, Tensor, float]]:
    """Return scale, shift and epsilon of each layer normalisation, written out as ``x / s * a + b``.

    There ``s`` is the root of the variance plus epsilon, which is not the same in all of them.
    """
    makers = {name: node for node in graph.node for name in node.output}

    def follows(node: Any, op_type: str) -> bool:
        found = (_maker(makers, name) for name in node.input if name not in constants)
        return any(maker is not None and maker.op_type == op_type for maker in found)

    def operands(op_type: str, behind: str) -> Iterator[Tensor]:
        for node in graph.node:
            if node.op_type == op_type and follows(node, behind):
                vectors = [constants[name] for name in node.input if name in constants]
                yield from (vector for vector in vectors if vector.ndim == 1 and len(vector) > 1)

    def epsilons() -> Iterator[float]:
        for node in graph.node:
            added = _maker(makers, node.input[0]) if node.op_type == "Sqrt" else None
            if added is not None:
                yield from (constants[name].item() for name in added.input if name in constants)

    return list(zip(operands("Mul", "Div"), operands("Add", "Mul"), epsilons(), strict=True))


def _maker(makers: dict[str, Any], name: str) -> Any:
    """Return the node that made a tensor, seen through identities; None for an input of the graph."""
    node = makers.get(name)
    while node is not None and node.op_type == "Identity":
        node = makers.get(node.input[0])
    return node
