"""What a board could do with a network at best, before anything is bought or built: an estimate."""

from collections.abc import Iterable, Sequence

from rich.table import Table

from failure import Failure
from magnifier.arithmetic import Convolution, Cost, convolutions
from magnifier.boards import BOARDS, Board
from magnifier.networks import Magnifier

DEEP = "decoder"


def groups(network: Magnifier, width_px: int, height_px: int) -> dict[str, list[Convolution]]:
    """The convolutions of a frame by the network's parts."""
    found: dict[str, list[Convolution]] = {}
    for layer in convolutions(network, width_px, height_px):
        found.setdefault(layer.name.split(".")[0], []).append(layer)
    return found


def spent(layers: Iterable[Convolution], *, eight_bits: bool) -> Cost:
    """Of some layers. In eight bits, a block's inner values move as bytes and its stream in halves."""
    total = weights = moved = 0
    for layer in layers:
        # The first convolution of a block reads the stream, the second adds to it.
        inner_read = eight_bits and layer.name.endswith(".second")
        inner_written = eight_bits and layer.name.endswith(".first")
        moved += layer.read * (1 if inner_read else 2) + layer.written * (1 if inner_written else 2)
        moved += layer.weights * (1 if eight_bits else 2)
        total += layer.multiply_accumulates
        weights += layer.weights
    return Cost(multiply_accumulates=total, parameters=weights, moved_bytes=moved)


def frame_s(board: Board, parts: dict[str, list[Convolution]], *, eight_bits: bool) -> float:
    """Seconds a frame on ``board``: for each part, what its arithmetic or its memory needs at least."""
    seconds = 0.0
    for name, layers in parts.items():
        deep = eight_bits and name == DEEP
        seconds += board.frame_s(spent(layers, eight_bits=deep), eight_bits=deep)
    return seconds


def boards_named(name: str | None) -> tuple[Board, ...]:
    """All boards, or the one of that name. Raises Failure when there is none."""
    found = tuple(board for board in BOARDS if name in (None, board.name))
    if not found:
        known = ", ".join(board.name for board in BOARDS)
        raise Failure(f'--board "{name}": is not in the table of boards; choose from: {known}')
    return found


def tables(network: Magnifier, size_px: tuple[int, int], boards: Sequence[Board]) -> list[Table]:
    """What a frame of (width, height) costs by part, and the frames a second that this allows."""
    width, height = size_px
    parts = groups(network, width, height)
    costs = Table("part", "GMAC", "MB in FP16", "MB in INT8")
    for name, layers in parts.items():
        half, eight = (spent(layers, eight_bits=deep) for deep in (False, name == DEEP))
        costs.add_row(
            name,
            f"{half.multiply_accumulates / 1e9:.2f}",
            f"{half.moved_bytes / 1e6:.0f}",
            f"{eight.moved_bytes / 1e6:.0f}",
        )
    speeds = Table("board", "FP16 frames/s", "INT8 frames/s")
    for board in boards:
        rates = (1 / frame_s(board, parts, eight_bits=eight_bits) for eight_bits in (False, True))
        speeds.add_row(board.name, *(f"{rate:.0f}" for rate in rates))
    for table in (costs, speeds):
        for column in table.columns[1:]:
            column.justify = "right"
    return [costs, speeds]
