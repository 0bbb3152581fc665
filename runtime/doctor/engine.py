"""What would magnify, held against its sidecar, loaded and tried on a picture."""

import time
from collections.abc import Iterator

import numpy as np

from failure import Failure
from machine import is_jetson
from runtime.config import Config
from runtime.doctor.finding import Finding
from runtime.engine import Engine
from runtime.engine.choice import engine_for
from runtime.engine.tensorrt import TensorRtEngine
from runtime.frame import Frame
from runtime.magnification import Magnifier

_TRIAL_PX = (640, 360)


def engine_findings(config: Config) -> Iterator[Finding]:
    """Load what the daemon would load, and magnify three frames with it."""
    settings = config.magnification
    if not settings.enabled:
        yield Finding("engine", "good", "magnification is switched off")
        return
    engine = engine_for(settings)
    try:
        took_ms = _took_ms(config, engine)
    except Failure as failure:
        yield Finding("engine", "failed", f"{engine.description}: {failure}")
        return
    finally:
        engine.close()
    text = f"{engine.description}; a frame took {took_ms:.0f} ms"
    wanted = isinstance(engine, TensorRtEngine) or settings.engine == "onnxruntime"
    if wanted or not is_jetson():
        yield Finding("engine", "good", text)
    else:
        yield Finding("engine", "warning", text, "make a TensorRT engine: tremorscope build")


def _took_ms(config: Config, engine: Engine) -> float:
    """Of the third frame: the first plans the memory."""
    area = config.magnification.area
    right, down = (0, 0) if area is None else (area.x + area.width, area.y + area.height)
    width, height = engine.size_px or config.camera.size or _TRIAL_PX
    shape = (max(height, down), max(width, right), 3)
    random = np.random.default_rng(1)
    magnifier = Magnifier(config.magnification, engine)
    begun_s = 0.0
    for number in range(3):
        image = random.integers(0, 255, shape, np.uint8)
        begun_s = time.monotonic()
        magnifier.process(Frame(number, number * 33_000_000, image))
    return 1e3 * (time.monotonic() - begun_s)
