"""LPIPS with its published weights."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from failure import Failure
from magnifier import lpips
from magnifier.photographs import Picture


@pytest.fixture(scope="module")
def distance(tmp_path_factory: pytest.TempPathFactory) -> lpips.Lpips:
    return lpips.Lpips(tmp_path_factory.mktemp("lpips") / "alexnet.safetensors", print)


def picture() -> Picture:
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (12, 12, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_equal_pictures_have_no_distance(distance: lpips.Lpips) -> None:
    assert distance(picture(), picture()) == 0


def test_blur_counts_more_than_the_same_error_in_brightness(distance: lpips.Lpips) -> None:
    sharp = picture()
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 3), np.uint8)
    error = np.sqrt(np.mean((sharp.astype(float) - blurred) ** 2))
    brighter = np.clip(sharp.astype(float) + error, 0, 255).astype(np.uint8)
    assert distance(sharp, blurred) > 3 * distance(sharp, brighter)


def test_other_content_than_the_known_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips, "MEMBER_SHA256", "0" * 64)
    with pytest.raises(Failure, match="not used"):
        lpips.Lpips(tmp_path / "w.safetensors", print)
    assert not list(tmp_path.iterdir())


def test_nothing_but_arrays_is_unpickled() -> None:
    import pickle

    with pytest.raises(Failure, match="not only arrays"):
        lpips._from_archive(pickle.dumps(Path))
