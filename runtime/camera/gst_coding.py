"""Which pictures a codec made from others, as what goes into a pipeline's decoders tells."""

from collections import deque
from typing import Any

_REMEMBERED = 64  # key frames; those between a decoder and the end of the pipeline are fewer


class Coding:
    """Listens at every video decoder of a pipeline, also at those that it makes when its stream begins."""

    def __init__(self, gst: Any, pipeline: Any) -> None:
        self._gst = gst
        self._keys: deque[int] = deque(maxlen=_REMEMBERED)  # their presentation times
        self._predicts = False
        pipeline.connect(
            "deep-element-added", lambda _bin, _sub_bin, element: self._listen(element)
        )
        pipeline.iterate_recurse().foreach(self._listen)

    def is_predicted(self, time: int) -> bool:
        """Of the picture with this presentation time, as its buffer has it (ns).

        One whose time was changed on its way (``videorate``) counts as predicted: it must not be taken
        for a key frame.
        """
        # Another thread may append meanwhile, but not within this: numbers are compared under Python's lock.
        return self._predicts and time not in self._keys

    def _listen(self, element: Any) -> None:
        factory = element.get_factory()
        kind = "" if factory is None else factory.get_metadata(self._gst.ELEMENT_METADATA_KLASS)
        pad = element.get_static_pad("sink")
        if pad is not None and "Decoder" in kind and "Video" in kind:
            pad.add_probe(self._gst.PadProbeType.BUFFER, self._coded)

    def _coded(self, _pad: Any, info: Any) -> Any:
        """A coded picture, in the thread that decodes it."""
        buffer = info.get_buffer()
        if buffer.has_flags(self._gst.BufferFlags.DELTA_UNIT):
            self._predicts = True
        else:
            self._keys.append(buffer.pts)
        return self._gst.PadProbeReturn.OK
