"""A replaced file is the old one or the new one."""

from pathlib import Path

import pytest

from atomic_file import replaced
from failure import Failure


def test_the_new_content_takes_the_old_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    for content in ("old", "new"):
        with replaced(path) as scratch:
            scratch.write_text(content)
    assert path.read_text() == "new"
    assert [each.name for each in path.parent.iterdir()] == ["file.json"]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")

    def write_half() -> None:
        with replaced(path) as scratch:
            scratch.write_text("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  # the writer's own
        write_half()
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file.json"]


def test_a_disk_that_refuses_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(Failure, match=r"cannot be written.*another place"),
        replaced(tmp_path / "file" / "below.json") as scratch,
    ):
        scratch.write_text("x")
