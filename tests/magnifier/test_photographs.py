"""Photographs: collected once, split for good."""

import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from failure import Failure
from magnifier import photographs


def textured(seed: int, width: int = 400, height: int = 300) -> photographs.Picture:
    coarse = np.random.default_rng(seed).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (width, height)), dtype=np.uint8)


def test_a_missing_folder_is_told_with_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="tremorscope photographs"):
        photographs.load(tmp_path / "none", held_out=False)


def test_too_few_photographs_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "only.png"), textured(1))
    with pytest.raises(Failure, match="at least 2"):
        photographs.load(tmp_path, held_out=False)


def test_the_split_is_disjoint_complete_and_near_its_share(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(40)]
    for number, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), textured(number))
    kept = [name for name in names if photographs.is_held_out(name)]
    assert len(photographs.load(tmp_path, held_out=True)) == len(kept)
    assert len(photographs.load(tmp_path, held_out=False)) == 40 - len(kept)
    many = [photographs.is_held_out(f"{number}.jpg") for number in range(4000)]
    assert np.mean(many) == pytest.approx(photographs.HELD_OUT_SHARE, abs=0.02)


def test_plain_and_tiny_pictures_are_not_used() -> None:
    assert photographs.is_textured(textured(3))
    assert not photographs.is_textured(np.full((300, 400, 3), 90, np.uint8))
    assert not photographs.is_textured(textured(3, 100, 80))


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_a_package_gives_each_photograph_once_and_its_copyright(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, programs, out = tmp_path / "source", tmp_path / "bin", tmp_path / "out"
    (source / "usr/share/doc/pics").mkdir(parents=True)
    (source / "usr/share/doc/pics/copyright").write_text("CC0")
    cv2.imwrite(str(source / "small.png"), textured(5, 400, 300))
    cv2.imwrite(str(source / "large.png"), textured(5, 1600, 1200))
    cv2.imwrite(str(source / "other.png"), textured(6))
    programs.mkdir()
    script(programs / "apt-get", "touch pics_1_all.deb")
    script(programs / "dpkg", f'cp -r "{source}" "$3"')
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    photographs.collect_from_debian(out, ("pics",), lambda _: None)
    pictures = sorted(path.name for path in out.glob("*.jpg"))
    assert len(pictures) == 2
    assert any("other" in name for name in pictures)
    assert (out / "pics__copyright.txt").read_text() == "CC0"


def test_a_refusing_apt_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(tmp_path / "apt-get", "echo 'E: no such package' >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(Failure, match=r"no such package.*apt-get update"):
        photographs.collect_from_debian(tmp_path / "out", ("pics",), lambda _: None)
