"""What a board could do with a network at best, before anything is bought or built: an estimate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import get_args

from rich.table import Table

from export.artifact import Precision
from failure import Failure
from magnifier.arithmetic import Convolution, Cost, convolutions, features
from magnifier.boards import BOARDS, Board
from magnifier.networks import Magnifier

STATE_BYTES = 16
"""For each feature: the filter's two states in float32, each read and written."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the network in the graph of one precision: what it computes in, and its cost."""

    name: str
    precision: Precision
    cost: Cost


def parts(
    network: Magnifier, width_px: int, height_px: int, precision: Precision
) -> tuple[Part, ...]:
    """The filter's states and the convolutions of a frame, by the network's parts."""
    layers: dict[str, list[Convolution]] = {}
    for layer in convolutions(network, width_px, height_px):
        layers.setdefault(layer.name.split(".")[0], []).append(layer)
    states = STATE_BYTES * features(network, width_px, height_px)
    found = [Part("filter", "fp32", Cost(0, 0, moved_bytes=states))]
    for name, of_part in layers.items():
        computed = _computed(name, precision)
        found.append(Part(name, computed, _spent(of_part, computed)))
    return tuple(found)


def frame_s(board: Board, of: Iterable[Part]) -> float:
    """Seconds a frame on ``board``: for each part, what its arithmetic or its memory needs at least."""
    return sum(board.frame_s(part.cost, part.precision) for part in of)


def boards_named(name: str | None) -> tuple[Board, ...]:
    """All boards, or the one of that name. Raises Failure when there is none."""
    found = tuple(board for board in BOARDS if name in (None, board.name))
    if not found:
        known = ", ".join(board.name for board in BOARDS)
        raise Failure(f'--board "{name}": is not in the table of boards; choose from: {known}')
    return found


def tables(network: Magnifier, size_px: tuple[int, int], boards: Sequence[Board]) -> list[Table]:
    """What a frame of (width, height) costs by part, and the frames a second that this allows."""
    precisions: tuple[Precision, ...] = get_args(Precision)
    graphs = {each: parts(network, *size_px, each) for each in precisions}
    costs = Table("part", "GMAC", *(f"MB in {each.upper()}" for each in precisions))
    for same_part in zip(*graphs.values(), strict=True):
        costs.add_row(
            same_part[0].name,
            f"{same_part[0].cost.multiply_accumulates / 1e9:.2f}",
            *(f"{part.cost.moved_bytes / 1e6:.0f}" for part in same_part),
        )
    speeds = Table("board", *(f"{each.upper()} frames/s" for each in precisions))
    for board in boards:
        rates = (1 / frame_s(board, graph) for graph in graphs.values())
        speeds.add_row(board.name, *(f"{rate:.0f}" for rate in rates))
    for table in (costs, speeds):
        for column in table.columns[1:]:
            column.justify = "right"
    return [costs, speeds]


def _computed(part: str, precision: Precision) -> Precision:
    """What a part computes in, in a graph of ``precision`` (decision 007)."""
    if part == "encoder" or precision == "fp32":
        return "fp32"
    return precision if part == "decoder" else "fp16"


def _spent(layers: Iterable[Convolution], computed: Precision) -> Cost:
    """Of some layers. In eight bits, a block's inner values move as bytes and its stream in halves."""
    value_bytes = 4 if computed == "fp32" else 2
    weight_bytes = 1 if computed == "int8" else value_bytes
    total = weights = moved = 0
    for layer in layers:
        # The first convolution of a block reads the stream, the second adds to it.
        inner_read = computed == "int8" and layer.name.endswith(".second")
        inner_written = computed == "int8" and layer.name.endswith(".first")
        moved += layer.read * (1 if inner_read else value_bytes)
        moved += layer.written * (1 if inner_written else value_bytes)
        moved += layer.weights * weight_bytes
        total += layer.multiply_accumulates
        weights += layer.weights
    return Cost(multiply_accumulates=total, parameters=weights, moved_bytes=moved)
