"""A window of displacement becomes numbers: levels, spectrum, frequencies, damping, shapes.

Pure functions over time stamps and values, one concept a file; ``window.py`` keeps the newest samples
of a region and calls them.
"""

from runtime.vibration.levels import Levels
from runtime.vibration.spectrum import Spectrum, amplitude_spectrum
from runtime.vibration.tones import Tone, dominant_frequency, dominant_tone
from runtime.vibration.window import VibrationWindow

__all__ = [
    "Levels",
    "Spectrum",
    "Tone",
    "VibrationWindow",
    "amplitude_spectrum",
    "dominant_frequency",
    "dominant_tone",
]
