"""What is compared: ways to show a frame with its motion since a reference made larger."""

from collections.abc import Callable
from functools import partial

import numpy as np

from magnifier import evaluation
from magnifier.networks import Magnifier
from magnifier.photographs import Picture

Method = Callable[[Picture, Picture, float], Picture]
"""(reference, current, gain) -> picture, all (height, width, 3) uint8."""


def unmagnified(_reference: Picture, current: Picture, _gain: float) -> Picture:
    """Doing nothing, beside which every figure stands."""
    return current


def of_network(network: Magnifier) -> Method:
    """The network's picture."""
    return partial(evaluation.magnify, network)


def phase_based() -> Method:
    """Phase-based magnification (Wadhwa et al., SIGGRAPH 2013) as the package vidmag has it.

    Of the two frames, the first is the reference; its difference filter then gives their difference.
    The package's licence allows non-commercial use: it serves to measure, nothing else.
    """
    from vidmag.cpu.phase_magnify import phase_magnify

    def magnify(reference: Picture, current: Picture, gain: float) -> Picture:
        frames = np.stack([reference, current])
        # vidmag counts what is added to the motion: gain - 1.
        shown: Picture = phase_magnify(frames, 1.0, alpha=gain - 1, r1=1.0, r2=0.0, sigma=3.0)[1]
        return shown

    return magnify
