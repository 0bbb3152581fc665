"""How the uncertainty of what was put in shows in what comes out (JCGM 100:2008, the GUM)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def propagated(
    function: Callable[[Floats], Floats], inputs: Sequence[float], errors: Sequence[float]
) -> tuple[Floats, Floats]:
    """The results (m,) of ``function`` at the inputs (n,), and their standard uncertainties (m,).

    ``errors`` are the inputs' standard uncertainties; the inputs are taken to be independent. The
    function is evaluated one standard uncertainty above and below each input, as GUM 5.1.3, note 2,
    allows. To the slope's share comes the curvature's (first term of the note to 5.1.2): without it,
    an input at an extreme of the function, such as a tilt of zero, would count for nothing.
    """
    centre = np.asarray(inputs, dtype=np.float64)
    result = function(centre)
    variance = np.zeros_like(result)
    for step in np.diag(np.asarray(errors, dtype=np.float64)):
        above, below = function(centre + step), function(centre - step)
        variance += np.square(above - below) / 4 + np.square(above - 2 * result + below) / 2
    return result, np.sqrt(variance)
