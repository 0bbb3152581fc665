"""The scale command and its file: what is printed and kept, and which files are refused."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from test_scale import LENGTH
from typer.testing import CliRunner

import tremorscope
from calibration.scale_file import made, read, write
from failure import Failure

RUNNER = CliRunner()
KNOWN = ("100,200", "500,500", "--length-mm", "2500", "--length-se-mm", "6")
SQUARE = ("100,100", "300,100", "300,300", "100,300")
SIDES = ("--width-mm", "400", "--width-se-mm", "1", "--height-mm", "800", "--height-se-mm", "1")
OPTICS = ("--distance-mm", "5050", "--distance-se-mm", "5", "--focal-mm", "50", "--focal-se-mm")
SIZE = ("--size", "1280x720")


def scale(*words: str) -> str:
    """What ``tremorscope scale`` prints; a Failure is raised."""
    done = RUNNER.invoke(tremorscope.app, ["scale", *words])
    if isinstance(done.exception, Failure):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_scale_is_printed_and_kept_with_how_and_when(tmp_path: Path) -> None:
    out = tmp_path / "deck.scale.json"
    told = scale("length", *KNOWN, *SIZE, "--click-se-px", "1.5", "--out", str(out))
    assert "at 300,350 px" in told
    assert "x: 5 ± 0.024 mm/px (0.49 %)" in told
    assert 'scale = "deck.scale.json"' in told
    stored = read(out)
    assert stored.method == LENGTH
    assert stored.scale == LENGTH.at((300, 350)) == stored.at((1, 1))
    assert stored.size_px == (1280, 720)
    assert datetime.fromisoformat(stored.date).utcoffset() is not None


def test_a_scale_is_only_printed_without_a_file(tmp_path: Path) -> None:
    told = scale("rectangle", *SQUARE, *SIDES, *SIZE)
    assert "x: 2 ± " in told
    assert "y: 4 ± " in told
    told = scale("camera", *OPTICS, "0.5", "--pixel-um", "4", "--pixel-se-um", "0", *SIZE)
    assert "at 640,360 px" in told
    assert "x: 0.4 ± 0.004" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("length", "1;2", *KNOWN[1:], *SIZE), '1;2: write a point as X,Y in px, such as "412'),
        (("length", *KNOWN, "--size", "big"), "--size big: write it as WIDTHxHEIGHT"),
        (("length", *KNOWN, "--size", "400x400"), "500,500 lies outside a picture of 400x400 px"),
        (("length", *KNOWN[:3], "0", *KNOWN[4:], *SIZE), "--length-mm 0.0: input should be great"),
        (("length", "5,5", "5,5", *KNOWN[2:], *SIZE), "both points are the same"),
        (("rectangle", *SQUARE[::-1], *SIDES, *SIZE), "do not go round a rectangle"),
    ],
)
def test_input_that_cannot_be_is_told(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(Failure, match=told):
        scale(*words)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "deck.scale.json"
    write(path, made(LENGTH, (1280, 720)))
    return path


def test_a_missing_file_is_told_with_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"none\.json: there is no such .* with: tremorscope scale$"):
        read(tmp_path / "none.json")
    with pytest.raises(Failure, match="cannot be read"):
        read(tmp_path)


def test_a_damaged_file_is_told_with_its_line(kept: Path) -> None:
    kept.write_text(kept.read_text()[:-20])
    with pytest.raises(Failure, match=r"is not a scale file .*line \d+ .*; make it again with"):
        read(kept)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("scale_version", 2, "scale_version: "),
        ("method", {"name": "guess"}, "method: "),
        ("colour", 1, "colour: "),
        ("size_px", [1280], "size_px.1: "),
    ],
)
def test_a_file_of_another_kind_is_told_with_the_key(
    key: str, value: object, told: str, kept: Path
) -> None:
    kept.write_text(json.dumps({**json.loads(kept.read_text()), key: value}))
    with pytest.raises(Failure, match=rf"not a scale file of this version \({told}"):
        read(kept)


@pytest.mark.parametrize("part", ["scale", "method"])
def test_a_number_changed_by_hand_is_told(part: str, kept: Path) -> None:
    content = json.loads(kept.read_text())
    name = {"scale": "x_mm_per_px", "method": "length_mm"}[part]
    content[part][name] *= 1.01
    kept.write_text(json.dumps(content))
    with pytest.raises(Failure, match="its scale is not what its inputs give"):
        read(kept)
