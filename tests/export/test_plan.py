"""The estimate for boards."""

import pytest

from export.plan import boards_named, frame_s, groups, spent
from failure import Failure
from magnifier import networks
from magnifier.arithmetic import cost


def test_the_parts_cost_what_the_whole_costs() -> None:
    network = networks.build("twofold")
    parts = groups(network, 640, 360)
    assert list(parts) == ["encoder", "manipulator", "decoder", "head"]
    of_parts = [spent(layers, eight_bits=False) for layers in parts.values()]
    whole = cost(network, 640, 360)
    assert sum(each.multiply_accumulates for each in of_parts) == whole.multiply_accumulates
    assert sum(each.moved_bytes for each in of_parts) == whole.moved_bytes


def test_eight_bits_move_three_quarters_of_a_block_s_bytes() -> None:
    decoder = groups(networks.build("twofold"), 1920, 1080)["decoder"]
    half, eight = (spent(decoder, eight_bits=eight_bits) for eight_bits in (False, True))
    assert eight.moved_bytes / half.moved_bytes == pytest.approx(0.75, abs=0.01)
    assert eight.multiply_accumulates == half.multiply_accumulates


def test_eight_bits_and_bigger_boards_are_faster() -> None:
    parts = groups(networks.build("twofold"), 1280, 720)
    (nano,), (agx,) = boards_named("Orin Nano 8GB"), boards_named("AGX Orin 64GB")
    assert frame_s(nano, parts, eight_bits=True) < frame_s(nano, parts, eight_bits=False)
    assert frame_s(agx, parts, eight_bits=False) < frame_s(nano, parts, eight_bits=False) / 2


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Failure, match="choose from: Orin Nano 8GB"):
        boards_named("Raspberry Pi")
