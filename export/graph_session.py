"""A streaming graph in ONNX Runtime, frame after frame, while it is made and judged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from export.imitation import imitated
from export.streaming import INPUTS

FIRST = (1.0, (1.0, 1.0))
"""Gain and rates of a first frame: it fills the states and is shown as it is."""
STATIC = (1.0, 0.05)
Pictures = Sequence[NDArray[np.uint8]]
Outputs = dict[str, NDArray[Any]]
"""By name: ``magnified`` (height, width, 3) uint8, states and the rest in float."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive frames of one camera, (height, width, 3) uint8, and the gain to show them with."""

    frames: Pictures
    gain: float


class GraphSession:
    """Keeps the graph's states from call to call; a new picture size begins anew.

    Half precision is imitated: a processor would leave out its rounding. Eight-bit layers are computed as
    the float arithmetic that their Q/DQ pairs describe: the processor's own eight-bit kernels may
    saturate where TensorRT's do not.
    """

    def __init__(
        self, model: onnx.ModelProto, encoder_stride: int, watched: Sequence[str] = ()
    ) -> None:
        if watched:
            model = onnx.ModelProto.FromString(model.SerializeToString())
            for name in watched:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
        model = imitated(model)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        # Threads that spin while they wait slow down whatever else runs, torch beside it above all.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._names = [each.name for each in self._session.get_outputs()]
        (states,) = (each for each in self._session.get_inputs() if each.name == "fast")
        self._channels: int = states.shape[1]
        self._stride = encoder_stride
        self.states: list[NDArray[np.float32]] = []
        """Of the temporal filter, before the next frame."""

    def step(self, frame: NDArray[np.uint8], gain: float, follow: tuple[float, float]) -> Outputs:
        """Every output of the graph, and what is watched, by name."""
        knobs = np.array([gain], np.float32), np.array(follow, np.float32)
        feeds = (frame, *knobs, *self.states)
        outputs = self._session.run(None, dict(zip(INPUTS, feeds, strict=True)))
        named = dict(zip(self._names, outputs, strict=True))
        self.states = [named["fast_next"], named["slow_next"]]
        return named

    def begin(self, frame: NDArray[np.uint8]) -> Outputs:
        """The first frame of a run, which fills the states."""
        height, width = frame.shape[:2]
        shape = (1, self._channels, -(-height // self._stride), -(-width // self._stride))
        self.states = [np.zeros(shape, np.float32), np.zeros(shape, np.float32)]
        gain, follow = FIRST
        return self.step(frame, gain, follow)

    def play(self, run: Run) -> Iterator[Outputs]:
        """The outputs of every frame but the first, against a slowly following reference."""
        first, *others = run.frames
        self.begin(first)
        for frame in others:
            yield self.step(frame, run.gain, STATIC)
