"""The estimate for boards."""

from dataclasses import replace

import pytest

from export.plan import boards_named, frame_s, parts
from failure import Failure
from magnifier import networks
from magnifier.arithmetic import cost


def test_the_parts_cost_what_the_whole_costs() -> None:
    network = networks.build("twofold")
    found = parts(network, 640, 360, "fp16")
    assert [part.name for part in found] == ["filter", "encoder", "manipulator", "decoder", "head"]
    whole = cost(network, 640, 360)
    assert sum(part.cost.multiply_accumulates for part in found) == whole.multiply_accumulates
    states, encoder, *others = (part.cost.moved_bytes for part in found)
    assert states == 4 * 4 * 32 * 160 * 90  # two states of four bytes, each read and written
    assert encoder / 2 + sum(others) == whole.moved_bytes


def test_eight_bits_move_three_quarters_of_a_block_s_bytes() -> None:
    network = networks.build("twofold")
    half, eight = (
        next(part.cost for part in parts(network, 1920, 1080, each) if part.name == "decoder")
        for each in ("fp16", "int8")
    )
    assert eight.moved_bytes / half.moved_bytes == pytest.approx(0.75, abs=0.01)
    assert eight.multiply_accumulates == half.multiply_accumulates


def test_encoder_and_filter_are_in_full_precision_whatever_the_graph_is() -> None:
    network = networks.build("proposed")
    for first, second in zip(
        parts(network, 640, 360, "int8"), parts(network, 640, 360, "fp32"), strict=True
    ):
        assert (first == second) == (first.name in ("filter", "encoder"))


def test_fewer_bits_and_bigger_boards_are_faster() -> None:
    network = networks.build("twofold")
    int8, fp16, fp32 = (parts(network, 1280, 720, each) for each in ("int8", "fp16", "fp32"))
    (nano,), (agx,) = boards_named("Orin Nano 8GB"), boards_named("AGX Orin 64GB")
    assert frame_s(nano, int8) < frame_s(nano, fp16) < frame_s(nano, fp32)
    assert frame_s(agx, fp16) < frame_s(nano, fp16) / 2


def test_arithmetic_is_the_limit_where_memory_is_fast() -> None:
    network = networks.build("twofold")
    (nano,) = boards_named("Orin Nano 8GB")
    fast_memory = replace(nano, memory_gb_s=1e9)
    whole = parts(network, 640, 360, "fp32")
    gmac = sum(part.cost.multiply_accumulates for part in whole) / 1e9
    assert frame_s(fast_memory, whole) == pytest.approx(2 * gmac / (1e3 * nano.fp32_tflops))


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Failure, match="choose from: Orin Nano 8GB"):
        boards_named("Raspberry Pi")
