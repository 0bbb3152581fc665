import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from runtime.priority import stay_in_thread


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
