"""What a long run of the daemon says: slopes, drops, latencies; a page and a picture."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from atomic_file import replaced
from benchmarks.verdicts import Mark
from machine import processor

if TYPE_CHECKING:
    from benchmarks.endurance import Sample

MOST_MB_PER_HOUR = 1.0
WARM_UP_S, WARM_UP_SHARE = 900.0, 1 / 3
"""Caches, rings and pools fill in the first quarter of an hour, or the first third of a shorter run."""
_TRUSTED_S = 1800.0  # what is left must be so long for a slope in MB an hour to mean something

_UNDER_WAY = 3
"""Frames that may be between camera and daemon when both are looked at."""

BLUE, ORANGE, GREY = "#1f6fb4", "#d9730d", "#5b6770"


def column(samples: Sequence["Sample"], name: str) -> NDArray[np.float64]:
    return np.array([getattr(one, name) for one in samples], np.float64)


def warm(samples: Sequence["Sample"]) -> list["Sample"]:
    """Without the time in which everything fills."""
    from_s = min(WARM_UP_S, WARM_UP_SHARE * samples[-1].t_s)
    return [one for one in samples if one.t_s >= from_s]


def slope_per_hour(samples: Sequence["Sample"], name: str) -> tuple[float, float, float]:
    """The median of all slopes between two samples, and its 95 % interval, an hour.

    Sen, Journal of the American Statistical Association 63, 1968: a few large values change nothing. Samples
    that follow each other are not independent, so that the interval is rather too narrow.
    """
    found = stats.theilslopes(column(samples, name), column(samples, "t_s") / 3600, alpha=0.95)
    return float(found[0]), float(found[2]), float(found[3])


def marks(samples: Sequence["Sample"]) -> list[Mark]:
    """What was promised, and what was found."""
    left = warm(samples)
    length_s = left[-1].t_s - left[0].t_s
    short = None if length_s >= _TRUSTED_S else f"only {length_s / 60:.0f} minutes after warm-up"
    slope, low, high = slope_per_hour(left, "rss_mb")
    files, files_low, files_high = slope_per_hour(left, "files")
    first, last = samples[0], samples[-1]
    lost = (last.sent - last.captured) - (first.sent - first.captured)
    gaps = last.lost - first.lost
    dropped = last.not_measured - first.not_measured
    reopened = last.reopened - first.reopened
    captured = last.captured - first.captured
    minutes = (last.t_s - first.t_s) / 60
    hz = captured / (last.t_s - first.t_s)
    return [
        Mark(
            "resident memory after warm-up",
            f"below {MOST_MB_PER_HOUR:g} MB an hour",
            f"{slope:+.2f} MB an hour ({low:+.2f} to {high:+.2f}), {left[-1].rss_mb:.0f} MB at the end",
            slope < MOST_MB_PER_HOUR,
            short,
        ),
        Mark(
            "open files after warm-up",
            "flat",
            f"{files:+.2f} an hour ({files_low:+.2f} to {files_high:+.2f}), "
            f"{min(one.files for one in left)} to {max(one.files for one in left)}",
            files_low <= 0 <= files_high,
            short,
        ),
        Mark(
            "frames that were sent and not captured",
            "none",
            f"{max(lost, 0)} of {last.sent - first.sent} in {minutes:.0f} minutes, at {hz:.2f} Hz; "
            f"{last.sent_late - first.sent_late} were sent more than 10 ms late; {reopened} times "
            "opened again",
            lost <= _UNDER_WAY and reopened == 0,
        ),
        Mark(
            "frames that the daemon says were lost, by gaps in their times",
            "none",
            f"{gaps}; {_lost_beside_late(samples)} of them where the camera's process, too, was late",
            gaps == 0,
        ),
        Mark(
            "frames that were captured and not measured",
            "none",
            f"{dropped} of {captured}",
            dropped == 0,
        ),
    ]


def _lost_beside_late(samples: Sequence["Sample"]) -> int:
    """Frames that the daemon missed at a look, or next to one, at which some had been sent late."""
    lost, late = (np.diff(column(samples, name)) for name in ("lost", "sent_late"))
    beside = np.convolve(late > 0, [1, 1, 1], "same") > 0
    return int(lost[beside].sum())


def write_page(path: Path, samples: Sequence["Sample"], size: str, rate: int) -> None:
    """Markdown with the marks, and what else was seen."""
    left = warm(samples)
    first, last = left[0], left[-1]
    share = (last.processor_s - first.processor_s) / (last.t_s - first.t_s)
    captured = max(last.captured - first.captured, 1)
    each_ms = 1000 * (last.processor_s - first.processor_s) / captured
    lines = [
        "# The daemon for a long time",
        "",
        f"Made by `python -m benchmarks.endurance --minutes {samples[-1].t_s / 60:.0f} --size {size} --rate "
        f"{rate}`; change that, not this file.",
        "",
        f"{date.today().isoformat()}, {processor()}. `tremorscope run` on a live GStreamer source of {size} px "
        f"at {rate} Hz: 16 regions of 64x64 px, an area of 384x216 px magnified, telemetry to a Mosquitto, "
        "evidence of an alert each minute. The source is a process on the same cores.",
        "",
        "| mark | wanted | found | |",
        "|---|---|---|---|",
    ]
    for mark in marks(samples):
        why = "" if mark.why is None else f"; {mark.why}"
        verdict = "holds" if mark.holds else "**fails**"
        lines.append(f"| {mark.what} | {mark.wanted} | {mark.found}{why} | {verdict} |")
    lines += [
        "",
        "![Memory, files, latencies and frames over the run](endurance.png)",
        "",
        "| after warm-up | |",
        "|---|---:|",
        f"| processor, of one core | {100 * share:.0f} % |",
        f"| the same for each frame, network included | {each_ms:.2f} ms |",
        f"| magnified | {(last.magnified - first.magnified) / (last.t_s - first.t_s):.1f} Hz |",
        f"| measured, since capture, p50 / p99 (medians of the looks) | "
        f"{_median(left, 'measured_p50_ms'):.1f} / {_median(left, 'measured_p99_ms'):.1f} ms |",
        f"| judged, p99 | {_median(left, 'judged_p99_ms'):.1f} ms |",
        f"| published, p99 | {_median(left, 'published_p99_ms'):.1f} ms |",
        f"| threads | {min(one.threads for one in left)} to {max(one.threads for one in left)} |",
        f"| alerts with evidence | {last.alerts - first.alerts} |",
        f"| pictures that evidence had no room for | {last.lost_pictures - first.lost_pictures} |",
        "",
    ]
    with replaced(path) as scratch:
        scratch.write_text("\n".join(lines), encoding="utf-8")


def _median(samples: Sequence["Sample"], name: str) -> float:
    return float(np.nanmedian(column(samples, name)))


def write_plot(path: Path, samples: Sequence["Sample"]) -> None:
    """Memory, files and threads, latencies, and frames that were lost, over time."""
    figure = Figure(figsize=(11, 9), dpi=100, layout="constrained")
    memory, files, latency, lost = figure.subplots(4, 1, sharex=True)
    minutes = column(samples, "t_s") / 60
    warm_from = warm(samples)[0].t_s / 60
    memory.plot(minutes, column(samples, "rss_mb"), color=BLUE)
    memory.set_ylabel("resident memory MB")
    files.plot(minutes, column(samples, "files"), color=BLUE, label="open files")
    files.plot(minutes, column(samples, "threads"), color=ORANGE, label="threads")
    for name, colour in (
        ("measured_p50_ms", GREY),
        ("measured_p99_ms", BLUE),
        ("published_p99_ms", ORANGE),
    ):
        label = name.removesuffix("_ms").replace("_", " ")
        latency.plot(minutes, column(samples, name), color=colour, label=label)
    latency.set_ylabel("ms since capture")
    latency.set_yscale("log")
    for name, colour in (("lost", BLUE), ("not_measured", ORANGE), ("sent_late", GREY)):
        lost.step(
            minutes, column(samples, name), color=colour, label=name.replace("_", " "), where="post"
        )
    lost.set_ylabel("frames since the start")
    lost.set_xlabel("minutes")
    for axes in (memory, files, latency, lost):
        axes.axvspan(0, warm_from, color="#eeeeee", zorder=0)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (files, latency, lost):
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper left")
    with replaced(path) as scratch:
        figure.savefig(scratch, format="png")
