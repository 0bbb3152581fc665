"""The ring of pictures: bounded in bytes whatever comes, and right about what belongs together."""

import cv2
import numpy as np
import pytest

from runtime.evidence.ring import WIDEST_PX, PictureRing, keepable


def noise(seed: int, width: int = 96, height: int = 64) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_it_never_takes_more_than_its_bytes_and_drops_the_oldest_first() -> None:
    ring = PictureRing(100_000)
    for number in range(60):
        ring.add("raw", number, noise(number))
        ring.add("magnified", number, noise(number + 100))
        assert ring.held_bytes <= 100_000
    first = ring.raw_after(-1)
    assert first is not None
    assert 0 < first.t_ns < 59
    assert ring.dropped == pytest.approx(2 * first.t_ns, abs=1)
    assert ring.dropped_to_ns in (first.t_ns, first.t_ns - 1)


def test_what_is_held_is_what_the_pictures_take() -> None:
    ring = PictureRing(10_000_000)
    for number in range(10):
        ring.add("raw", number, noise(number))
    ring.forget(4)
    held = 0
    t_ns = -1
    while (picture := ring.raw_after(t_ns)) is not None:
        held, t_ns = held + len(picture.jpeg), picture.t_ns
    assert ring.held_bytes == held
    assert ring.dropped == 0, "what nobody needs any more is not lost"
    first = ring.raw_after(-1)
    assert first is not None
    assert first.t_ns == 4


def test_beside_a_raw_picture_stands_the_newest_magnified_one_that_is_not_later() -> None:
    ring = PictureRing(10_000_000)
    for t_ns in (10, 20, 30):
        ring.add("raw", t_ns, noise(t_ns))
    ring.add("magnified", 20, noise(99))
    assert ring.magnified_at(19) is None
    for t_ns in (20, 30):
        magnified = ring.magnified_at(t_ns)
        assert magnified is not None
        assert magnified.t_ns == 20


def test_a_clock_that_goes_back_empties_it() -> None:
    ring = PictureRing(10_000_000)
    ring.add("raw", 1000, noise(1))
    ring.add("magnified", 1000, noise(2))
    ring.add("raw", 5, noise(3))
    first = ring.raw_after(-1)
    assert first is not None
    assert first.t_ns == 5
    assert ring.raw_after(5) is None
    assert ring.magnified_at(2000) is None
    assert ring.held_bytes == len(first.jpeg)


def test_a_large_picture_is_kept_smaller_and_a_snapshot_in_its_own_size() -> None:
    ring = PictureRing(10_000_000)
    ring.add("raw", 1, noise(1, 1921, 1081))
    kept = ring.raw_after(0)
    assert kept is not None
    assert kept.decoded().shape == (540, WIDEST_PX, 3)
    assert (kept.width_px, kept.height_px) == (1921, 1081)
    newest, gain = ring.newest("raw") or (None, 1.0)
    assert gain is None
    assert newest is not None
    assert newest.shape == (1081, 1921, 3)


def test_a_picture_that_is_small_enough_is_not_copied() -> None:
    picture = noise(1)
    assert keepable(picture) is picture


@pytest.mark.parametrize(
    "size_px", [(961, 600), (1280, 720), (1921, 1081), (2592, 1944), (3840, 2160), (4001, 2301)]
)
def test_a_wide_picture_is_the_mean_of_what_it_shows(size_px: tuple[int, int]) -> None:
    coarse = cv2.GaussianBlur(noise(2, 240, 135), (0, 0), 1.0)
    picture = np.asarray(cv2.resize(coarse, size_px, interpolation=cv2.INTER_CUBIC), np.uint8)
    kept = keepable(picture)
    size = (WIDEST_PX, max(round(size_px[1] * WIDEST_PX / size_px[0]), 1))
    mean = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    assert kept.shape == mean.shape
    assert np.abs(kept.astype(int) - mean).mean() < 1.0
