"""What ``pipeline.py`` found, as verdicts and as a page."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from benchmarks import four_cameras, latency, magnification_rate, per_frame
from benchmarks.film import Size
from benchmarks.four_cameras import AtOnce
from benchmarks.growth import MOST_EXPONENT, MOST_MEMORY, Growth
from benchmarks.latency import Delays, percentile
from benchmarks.magnification_rate import CLASSICAL, OTHERS, OURS, Rates
from benchmarks.per_frame import MOST_COPIES, MOST_MS, PerFrame
from benchmarks.verdicts import Mark, percent, row
from machine import board, processor

RATES, DELAYS, GROWTH = "results-rate.png", "results-latency.png", "results-growth.png"
FRAME_MS = 1e3 / 30


@dataclass(frozen=True, slots=True)
class Results:
    """What every part found."""

    rates: list[Rates]
    per_frame: PerFrame
    grown: list[Growth]
    length: Growth
    delays: list[Delays]
    at_once: tuple[AtOnce, ...]
    load: float
    """How many processes wanted the processor when it began; other programs' work is in every figure."""
    minutes: float

    @property
    def engine_ms(self) -> float:
        """That the daemon's network takes for a frame at the first size, alone."""
        return 1e3 / self.rates[0].hz(OURS)


def marks(results: Results) -> Iterator[Mark]:
    """The verdicts."""
    cost = results.per_frame
    yield Mark(
        f"processor time a frame of everything but the network, 1080p, {per_frame.REGIONS} regions",
        f"at most {MOST_MS:g} ms",
        f"{cost.total_ms:.2f} ms",
        cost.total_ms <= MOST_MS,
    )
    yield Mark(
        "the same, over one copy of the frame",
        f"at most {MOST_COPIES:g}",
        f"{cost.copies:.1f} copies of {cost.copy_ms:.2f} ms",
        cost.copies <= MOST_COPIES,
    )
    for one in results.delays:
        limit_ms = one.two_frames_ms + results.engine_ms
        p99_ms = percentile(one.from_motion_ms, 99)
        yield Mark(
            f"from a motion's first frame to its MQTT message at {one.rate_hz} Hz, 99th percentile",
            f"below two frame times and the engine's time, {limit_ms:.0f} ms; every motion told",
            f"{p99_ms:.0f} ms; {one.missed} of {one.motions} not told",
            p99_ms < limit_ms and one.missed == 0,
        )
    fastest = results.delays[-1]
    yield Mark(
        f"1080p at {fastest.rate_hz} Hz out of GStreamer: frames not measured while the network runs",
        "none",
        f"{fastest.snapshot.frames.not_measured} dropped, {fastest.snapshot.camera.lost} lost before, of "
        f"{fastest.snapshot.frames.captured}",
        fastest.missed_frames == 0,
    )
    for grown in results.grown:
        _, _, exponent = grown.fit
        yield Mark(
            f"time a frame over the {grown.of}",
            f"linear: exponent at most {MOST_EXPONENT:g}",
            f"{exponent:.2f}; off a straight line by {percent(grown.off_the_line, 0)} at most",
            exponent <= MOST_EXPONENT,
        )
    shortest, longest = results.length.points[0], results.length.points[-1]
    yield Mark(
        "peak memory over the length of the video",
        f"flat: within {percent(MOST_MEMORY - 1, 0)}",
        f"{shortest.peak_mib:.0f} MiB for {shortest.amount:g} s, {longest.peak_mib:.0f} MiB for "
        f"{longest.amount:g} s",
        longest.peak_mib <= MOST_MEMORY * shortest.peak_mib,
    )


def page(results: Results) -> Iterator[str]:
    """The lines of RESULTS.md."""
    named = board(Path("/")) or processor()
    yield "# The pipeline, measured\n"
    yield "Made by `python -m benchmarks.pipeline`; change that, not this file.\n"
    yield (
        f"{date.today().isoformat()}, {named}, {platform.machine()}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, OpenCV {cv2.__version__}, ONNX Runtime {onnxruntime.__version__}; "
        f"{results.minutes:.0f} minutes, load of the machine before {results.load:.1f}. Cameras are GStreamer "
        "pipelines that show rendered pictures; no figure is from a real camera or a Jetson.\n"
    )
    yield "| mark | wanted | found | |"
    yield "|---|---|---|---|"
    yield from map(row, marks(results))
    yield "\n## Magnified frames a second\n"
    yield from _rates(results.rates)
    yield "\n## Everything but the network\n"
    yield from _per_frame(results.per_frame)
    yield "\n## From a motion to its message\n"
    yield from _delays(results.delays, results.engine_ms)
    yield "\n## Four cameras at once\n"
    yield from _at_once(results.at_once)
    yield "\n## Growth\n"
    yield from _growth(results.grown, results.length)


def _rates(rates: list[Rates]) -> Iterator[str]:
    turns = len(rates[0].frame_s[OURS])
    yield (
        f"Medians of {turns} turns; in each turn every method has its turn, in one process, on all cores. "
        "Networks are the released weights in single precision, as `tremorscope export` writes them, all in "
        "the daemon's ONNX Runtime engine: picture in, magnified picture out, reference kept in the state. "
        "The classical method is phase-based magnification (Wadhwa et al. 2013) by vidmag, on its processor "
        f"path: it takes a clip as a whole, here {magnification_rate.CLIP} frames, and filters with two "
        "decay rates.\n"
    )
    yield (
        "| method | "
        + " | ".join(f"{_size(one.size_px)}, frames/s" for one in rates)
        + " | times |"
    )
    yield "|---|" + "---:|" * (len(rates) + 1)
    for method in (OURS, *OTHERS.values(), CLASSICAL):
        if method not in rates[0].frame_s:
            wanting = (
                "not installed: `pip install -e '.[compare]'`; its licence: non-commercial use"
            )
            yield f"| {method} | {wanting} |" + " |" * len(rates)
            continue
        ours = [one.hz(OURS) / one.hz(method) for one in rates]
        cells = [f"{one.hz(method):.2f}" for one in rates]
        cells.append(" and ".join(f"{ratio:.1f}" for ratio in ours))
        yield f"| {method} | {' | '.join(cells)} |"
    yield (
        "\n*times*: how many frames this kit magnifies while the method magnifies one. How good the "
        "pictures are: [magnifier/RESULTS.md](../magnifier/RESULTS.md).\n"
    )
    yield f"![Magnified frames a second]({RATES})"


def _per_frame(cost: PerFrame) -> Iterator[str]:
    yield (
        f"{per_frame.WIDTH}x{per_frame.HEIGHT}, {per_frame.REGIONS} regions of "
        f"{per_frame.SIDE_PX}x{per_frame.SIDE_PX} px, {per_frame.RATE_HZ:g} Hz, evidence kept, telemetry "
        f"{'published' if cost.published else 'made and dropped, without a broker'}; processor time of one "
        f"core, medians of {len(cost.turns)} turns of {cost.frames} frames (`python -m "
        "benchmarks.per_frame`).\n"
    )
    yield "| station | ms a frame | of a 33 ms frame | copies of the frame |"
    yield "|---|---:|---:|---:|"
    for name, ms in sorted(cost.stations_ms.items(), key=lambda item: -item[1]):
        yield f"| {name} | {ms:.3f} | {percent(ms / FRAME_MS, 1)} | {ms / cost.copy_ms:.2f} |"
    share = percent(cost.total_ms / FRAME_MS, 1)
    yield f"| **all** | **{cost.total_ms:.3f}** | **{share}** | **{cost.copies:.2f}** |"
    if not cost.from_gstreamer:
        yield "\nFrames did not come out of GStreamer's buffers, which is not installed."


def _delays(delays: list[Delays], engine_ms: float) -> Iterator[str]:
    size = _size(latency.SIZE_PX)
    yield (
        f"The daemon in a process of its own on a live GStreamer camera of {size}, {latency.REGIONS} regions "
        f"of {latency.SIDE_PX}x{latency.SIDE_PX} px, evidence kept, "
        f"{_size((latency.AREA.width, latency.AREA.height))} of the picture magnified meanwhile, Mosquitto, "
        f"and a subscriber in another process. The picture jumps by {latency.MOVED_PX:g} px for "
        f"{latency.MOVED_S:g} s at times drawn by chance; one rule is on `displacement_px` above "
        f"{latency.THRESHOLD_PX:g} without hold time, so the motion's first frame can decide. A rule on a "
        "level (RMS, PPV) adds the level's own rise and the rule's hold time, which [MARKS.md](MARKS.md) "
        "tells, and up to 0.1 s, as levels are judged ten times a second.\n"
    )
    yield (
        "*from the motion*: from the capture of its first frame, by the film's own clock, to the receipt; "
        "it holds GStreamer, hand-over, measurement, rules, the alert synced to disk twice (memory and "
        "outbox), broker and subscriber. *from the deciding frame*: from the capture of the frame on which "
        "the alert was raised. Medians and 99th percentiles in ms.\n"
    )
    yield (
        "| rate | motions told | from the motion, p50 | p99 | from the deciding frame, p50 | p99 | within "
        "two frame times | measured, p50 | p99 | frames missed | magnified |"
    )
    yield "|---:|" + "---:|" * 10
    for one in delays:
        figures = [
            percentile(values, share)
            for values in (one.from_motion_ms, one.from_deciding_ms)
            for share in (50, 99)
        ]
        spread = one.snapshot.latencies.measured
        inside = "- | -" if spread is None else f"{spread.p50_ms:.1f} | {spread.p99_ms:.1f}"
        magnified = one.snapshot.magnified_hz
        yield (
            f"| {one.rate_hz} Hz | {one.motions - one.missed} of {one.motions} | "
            + " | ".join(f"{value:.1f}" for value in figures)
            + f" | {percent(one.soon, 0)} of {one.two_frames_ms:.0f} ms | {inside} | {one.missed_frames} | "
            f"{0.0 if magnified is None else magnified:.1f} Hz |"
        )
    yield (
        f"\nThe mark allows the engine's time besides, {engine_ms:.0f} ms a frame alone, but no alert waits "
        "for the engine: *within two frame times* says what holds without it. *measured*: from capture until "
        "the displacements are there, of the newest 1024 frames.\n"
    )
    yield f"![How many messages had come after how long]({DELAYS})"


def _at_once(at_once: tuple[AtOnce, ...]) -> Iterator[str]:
    yield (
        f"{four_cameras.CAMERAS} daemons in processes of their own, each on its own live GStreamer camera of "
        f"{four_cameras.RATE_HZ} Hz, {four_cameras.REGIONS} regions of "
        f"{four_cameras.SIDE_PX}x{four_cameras.SIDE_PX} px, evidence kept, telemetry published. The largest "
        f"of {', '.join(map(_size, four_cameras.SIZES_PX))} that loses no frame without magnification, then "
        "the same with it. *cores*: processor time over time, with what stands in for the camera (pictures "
        "out of the page cache).\n"
    )
    yield (
        "| picture | magnification | camera | comes, Hz | measured, Hz | lost | dropped | magnified, Hz | "
        "cores | judged after, p99 |"
    )
    yield "|---|---|---:|" + "---:|" * 7
    for one in at_once:
        for number, each in enumerate(one.cameras):
            yield (
                f"| {_size(one.size_px)} | {'on' if one.magnified else 'off'} | {number} | "
                f"{each.camera_hz:.1f} | {each.measured_hz:.1f} | {each.lost} | {each.not_measured} | "
                f"{each.magnified_hz:.1f} | {each.cores:.2f} | {each.judged_p99_ms:.0f} ms |"
            )
    yield (
        f"\nOver {at_once[-1].seconds:g} s. *lost*: by gaps in the frames' times, before the daemon had them; "
        "*dropped*: because the measurement was behind."
    )


def _growth(grown: list[Growth], length: Growth) -> Iterator[str]:
    yield (
        "Each amount in a process of its own. Time is processor time of all threads for a frame, everything "
        "but the network and the broker, or the network alone; the median of turns. Fitted is t = a + b n^p "
        "(a at least 0, least squares of relative errors), so that what a frame costs at any amount is not "
        "taken for growth; *plain slope* is that of log t over log n, a included; *off a line*: how far a "
        "point lies off the best a + b n.\n"
    )
    yield "| what grows | else | from | to | time a frame | a | p | plain slope | off a line | peak memory |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for one in (*grown, length):
        first, last = one.points[0], one.points[-1]
        a, _, exponent = one.fit
        fitted = f"{a:.1f} ms | {exponent:.2f} | {one.slope:.2f} | {percent(one.off_the_line, 0)}"
        if one is length:
            fitted = "- | - | - | -"
        yield (
            f"| {one.of} | {one.fixed} | {first.amount:,.0f} | {last.amount:,.0f} | {first.ms:.2f} to "
            f"{last.ms:.2f} ms | {fitted} | {first.peak_mib:.0f} to {last.peak_mib:.0f} MiB |"
        )
    yield f"\n![Time and memory over regions, pixels and length]({GROWTH})"


def _size(size_px: Size) -> str:
    return f"{size_px[0]}x{size_px[1]}"
