"""What TensorRT made of a graph: the layers of a plan, in which precision, and what was fused.

Reading them from a plan needs its GPU. TensorRT also lists them in its log when a build ends, which
needs none. Which kernel runs is only known on the GPU, and nothing here says how fast it is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from export.artifact import Precision

_LAYER = re.compile(
    r"^\s*Name: (?P<name>.*?), LayerType: (?P<kind>\w+), Inputs: \[(?P<inputs>.*?)\]"
    r"(?:, Constants: .*?)?, Outputs: \[(?P<outputs>.*?)\](?:, (?:TacticName|ParameterType)|$)"
    r"(?P<rest>.*)$",
    re.MULTILINE,
)
_TYPE = re.compile(r"Data ?type: (?P<type>[^,}]+)", re.IGNORECASE)
_NODE = re.compile(r"\[ONNX Layer: (.*?)\]")
_WORDS: dict[Precision, re.Pattern[str]] = {  # the lowest first
    "int8": re.compile(r"\bint8\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(half|fp16)\b", re.IGNORECASE),
    "fp32": re.compile(r"\b(float|fp32)\b", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a plan. ``nodes`` are the graph's nodes that were fused into it, by name."""

    name: str
    kind: str
    inputs: tuple[Precision, ...]
    """Of the tensors that it reads; tensors of other types are left out."""
    outputs: tuple[Precision, ...]
    nodes: tuple[str, ...]


def layers_in(log: str) -> tuple[Layer, ...]:
    """The layers that TensorRT's log lists; empty when it lists none."""
    return tuple(
        Layer(
            name=found["name"],
            kind=found["kind"],
            inputs=_precisions(found["inputs"]),
            outputs=_precisions(found["outputs"]),
            nodes=tuple(_NODE.findall(found["rest"])),
        )
        for found in _LAYER.finditer(log)
    )


def holding(layers: Iterable[Layer], node: str) -> tuple[Layer, ...]:
    """The layers that compute ``node``: more than one where TensorRT splits, say, its bias off."""
    return tuple(layer for layer in layers if node in layer.nodes)


def precision_of(layers: Iterable[Layer], node: str) -> Precision | None:
    """What ``node`` computes in: the lowest precision that it reads; None if it is not listed.

    A skip connection is fused into the convolution that it is added to, and is read in its own type.
    """
    read = [each for layer in holding(layers, node) for each in layer.inputs]
    return min(read, key=tuple(_WORDS).index, default=None)


def _precisions(tensors: str) -> tuple[Precision, ...]:
    found: list[Precision] = []
    for each in _TYPE.finditer(tensors):
        found += [name for name, words in _WORDS.items() if words.search(each["type"])]
    return tuple(found)
