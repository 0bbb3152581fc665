from pathlib import Path

import cv2
import numpy as np
import pytest
from daemons import config, daemon
from threadpoolctl import threadpool_info, threadpool_limits
from videos import burst, moving, write_video

from runtime.priority import stay_in_thread
from runtime.replay.replay import replay


def blas_threads() -> set[int]:
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


def test_measuring_has_no_helpers_that_wait_for_work() -> None:
    assert np.ones((2, 2)).dot(np.ones(2)).tolist() == [2, 2]  # its BLAS is loaded
    threadpool_limits(2, user_api="blas")
    if blas_threads() != {2}:
        pytest.skip("numpy's BLAS has one thread at most here")
    cv2.setNumThreads(2)
    stay_in_thread()
    assert blas_threads() == {1}
    assert cv2.getNumThreads() == 1


def test_a_daemon_and_a_replay_measure_without_them(tmp_path: Path) -> None:
    settings = config(write_video(tmp_path / "clip.mkv", moving(burst(1.0, 0.0, 1.0))))
    for measure in (
        daemon(settings).run,
        lambda: replay(settings, None, None, lambda _share: None),
    ):
        cv2.setNumThreads(2)
        measure()
        assert cv2.getNumThreads() == 1
