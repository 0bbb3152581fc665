"""Pictures with texture everywhere, for scenes that are cut from them."""

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def pictures() -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(2)
    rows, columns = np.mgrid[:500, :600]
    found = []
    for _ in range(2):
        levels = np.full((500, 600, 3), 128.0)
        for _ in range(25):
            a, b = random.uniform(-0.5, 0.5, 2)
            levels += random.uniform(3, 14, 3) * np.sin(a * columns + b * rows)[..., None]
        found.append(np.clip(levels, 0, 255).astype(np.uint8))
    return found
