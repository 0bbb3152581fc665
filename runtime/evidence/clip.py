"""One clip of one or more overlapping events: raw beside magnified, outlines, waveforms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from calibration.scale import Scale
from runtime.clips import WHITE, ClipEncoder, Picture, magnified_label, side_by_side, write_text
from runtime.config import Region
from runtime.evidence.ring import KeptPicture, PictureRing
from runtime.evidence.samples import SampleRing
from runtime.evidence.strip import LENGTH_S, MOST_TRACES, Trace, strip
from runtime.messages import utc_text

NOT_YET = "not magnified yet"


@dataclass(slots=True)
class Raised:
    """An event in a clip: since when it goes on, and until when; ``to_ns`` None while it is open."""

    from_ns: int
    regions: tuple[str, ...]
    """Those that show it."""
    watched: tuple[str, ...]
    """Those that it is about, whose samples are kept."""
    to_ns: int | None = None

    def is_open(self, t_ns: int) -> bool:
        return self.from_ns <= t_ns and (self.to_ns is None or t_ns <= self.to_ns)


class ClipRecording:
    """Writes the pictures between two times, in order, as the ring has them; for one thread.

    Raises OSError or av.FFmpegError when the disk refuses.
    """

    def __init__(
        self,
        encoder: ClipEncoder,
        from_ns: int,
        *,
        regions: Sequence[Region],
        scales: Mapping[str, Scale | None],
        magnifies: bool,
    ) -> None:
        """``magnifies``: whether magnified pictures are to be beside the raw ones."""
        self.events: list[Raised] = []
        self.pictures = 0
        self.begins_ns: int | None = None
        """Time of the first picture; None before it."""
        self.reached_ns = from_ns - 1
        """Pictures up to this time are written."""
        self.ends_ns = from_ns
        self._regions, self._scales, self._magnifies = tuple(regions), scales, magnifies
        self._encoder = encoder
        self._size: tuple[int, ...] | None = None

    def write_next(
        self, pictures: PictureRing, samples: SampleRing, until_ns: int, unix_s: float | None
    ) -> bool:
        """Write the next picture up to ``until_ns``; False when there is none.

        ``unix_s`` is what to add to the camera's clock for the time of day, None where that is not known.
        """
        raw = pictures.raw_after(self.reached_ns)
        if raw is None or raw.t_ns > until_ns:
            return False
        self.reached_ns = raw.t_ns
        picture = self._composed(raw, pictures.magnified_at(raw.t_ns), samples, unix_s)
        if self._size is None:
            self._size, self.begins_ns = picture.shape, raw.t_ns
        if picture.shape == self._size:
            assert self.begins_ns is not None
            self._encoder.write(picture, (raw.t_ns - self.begins_ns) / 1e9)
            self.pictures += 1
            self.ends_ns = raw.t_ns
        return True

    def finish(self) -> None:
        """Write what the encoder still holds, and close the file."""
        self._encoder.finish()

    def abandon(self) -> None:
        self._encoder.abandon()

    def _composed(
        self,
        raw: KeptPicture,
        magnified: KeptPicture | None,
        samples: SampleRing,
        unix_s: float | None,
    ) -> Picture:
        left = raw.decoded()
        right, label = left, NOT_YET
        if magnified is not None:
            right, label = magnified.decoded(), magnified_label(magnified.gain)
        open_now = {name for one in self.events if one.is_open(raw.t_ns) for name in one.regions}
        regions = outlines(self._regions, left.shape[1] / raw.width_px)
        both = side_by_side(left, right if self._magnifies else None, regions, label, open_now)
        when = f"{raw.t_ns / 1e9:.2f} s"
        if unix_s is not None:
            when = utc_text(raw.t_ns / 1e9 + unix_s)
        write_text(both, when, (8, both.shape[0] - 8), 0.45, WHITE)
        return np.vstack([both, self._strip(both.shape[1], raw.t_ns, samples)])

    def _strip(self, width_px: int, t_ns: int, samples: SampleRing) -> Picture:
        from_ns = t_ns - round(LENGTH_S * 1e9)
        names = list(dict.fromkeys(name for one in self.events for name in one.watched))
        traces = [
            Trace(name, *samples.record(name, from_ns, t_ns), self._scales.get(name))
            for name in names[:MOST_TRACES]
        ]
        raised = [
            (
                (one.from_ns - t_ns) / 1e9,
                0.0 if one.to_ns is None else min((one.to_ns - t_ns) / 1e9, 0.0),
            )
            for one in self.events
            if one.from_ns <= t_ns
        ]
        return strip(width_px, traces, [(a, b) for a, b in raised if b >= -LENGTH_S])


def outlines(regions: Sequence[Region], scale: float) -> tuple[Region, ...]:
    """The regions in a picture that was made smaller."""
    if scale == 1:
        return tuple(regions)
    return tuple(
        one.model_copy(
            update={
                name: round(getattr(one, name) * scale) for name in ("x", "y", "width", "height")
            }
        )
        for one in regions
    )
