"""The page itself: every picture, plot and clip is inside it, and it needs no network."""

import base64
import html
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from atomic_file import replaced
from runtime.config import Config
from runtime.messages import AlertMessage, Peak, Telemetry
from runtime.replay.replay import Replay
from runtime.report import pictures, plots
from runtime.report.embedded_clip import EmbeddedClip
from runtime.report.findings import Findings, Level, RegionFindings, ShapeFindings
from runtime.report.settings import settings_rows
from runtime.report.template import PAGE
from runtime.vibration.damping import FreeDecay
from runtime.vibration.tones import Tone


def write_page(
    path: Path, replay: Replay, config: Config, findings: Findings, clip: EmbeddedClip | None
) -> None:
    """Write the page. Raises Failure when the disk refuses."""
    name = Path(replay.video).name
    content = PAGE.substitute(
        title=_text(name),
        summary=_summary(replay, config, findings),
        warnings=_list(findings.warnings) if findings.warnings else "<p>None.</p>",
        clip=_clip(clip, config),
        overview=_image(pictures.outlined(replay.picture, config.regions), "jpeg", "The regions"),
        frequencies=_frequencies(config, findings),
        regions="".join(_region(one, replay.alerts, config) for one in findings.regions),
        shapes=_shapes(replay, config, findings),
        alerts=_alerts(replay),
        scales=_scales(findings),
        video=_table(["", ""], _video_rows(replay, findings)),
        settings=_table(["key", "value", "meaning"], settings_rows(config), wide=True),
        made=_text(_made(replay)),
    )
    with replaced(path) as scratch:
        scratch.write_text(content, encoding="utf-8")


def loudest_s(findings: Findings) -> float:
    """When the regions moved most: the end of the level window with the largest RMS."""
    known = [level for one in findings.regions for level in one.levels[:1]]
    return max(known, key=lambda level: level.px).at_s if known else 0.0


def _made(replay: Replay) -> str:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    engine = replay.engine or "nothing (magnification is off)"
    return f"Made by tremorscope {version('tremorscope')} on {now}; magnified by {engine}."


def _summary(replay: Replay, config: Config, findings: Findings) -> str:
    lines = []
    for one in findings.regions:
        name = f"<b>{_text(one.history.name)}</b>"
        if one.measured_share == 0:
            lines.append(f"{name} could not be measured.")
        elif not one.tones:
            lines.append(f"{name}: no frequency stands above the noise.")
        else:
            lines.append(f"{name} vibrates at {_strongest(one, config)}.")
    raised = sum(alert.type == "new" for alert in replay.alerts)
    lines.append(f"{raised or 'No'} alert{'s' if raised != 1 else ''} raised.")
    lines.append(
        f"{len(findings.warnings) or 'No'} warning{'s' if len(findings.warnings) != 1 else ''}."
    )
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _strongest(one: RegionFindings, config: Config) -> str:
    """Of a burst, what it was in its window; else what it is over the whole video."""
    tone = one.tones[0]
    if not one.is_burst or one.strongest is None:
        hz = _pm(tone.frequency_hz, tone.frequency_se_hz)
        return f"<b>{hz} Hz</b>, {_amplitude(tone, one)} along {tone.axis}, zero to peak"
    peak = one.strongest.peaks[0]
    return (
        f"<b>{_pm(peak.hz, peak.hz_se)} Hz</b>, {_peak_amplitude(peak)} along {peak.axis}, zero to peak, "
        f"in {_window(one.strongest, config)}; over the whole video it is {_amplitude(tone, one)} on "
        "average"
    )


def _window(telemetry: Telemetry, config: Config) -> str:
    return f"the {config.vibration.window_s:g} s up to {telemetry.t_s:.1f} s"


def _peak_amplitude(peak: Peak) -> str:
    size = f"{_pm(peak.amplitude_px, peak.amplitude_se_px)} px"
    if peak.amplitude_mm is not None:
        size += f" = {_pm(peak.amplitude_mm, peak.amplitude_se_mm or 0.0)} mm"
    return size


def _clip(clip: EmbeddedClip | None, config: Config) -> str:
    if clip is None:
        return "<p>Magnification is off, so there is no clip.</p>"
    still = _data(pictures.jpeg(clip.still), "image/jpeg")
    film = _data(clip.content, "video/mp4")
    settings = config.magnification
    band = (
        f", {settings.low_hz:g} to {settings.high_hz:g} Hz" if settings.mode == "band-pass" else ""
    )
    words = (
        f"Raw (left) beside motion magnified {settings.gain:g} times ({settings.mode}{band}). What is "
        "measured is measured on the raw pictures; outlines are red while an alert is open."
    )
    return (
        f'<figure><video src="{film}" poster="{still}" controls loop muted playsinline></video>'
        f'<img class="paper" src="{still}" alt="A picture of the clip">'
        f"<figcaption>{_text(words)} {_text(clip.dropped or '')}</figcaption></figure>"
    )


def _frequencies(config: Config, findings: Findings) -> str:
    rows = []
    for one in findings.regions:
        if not one.tones:
            rows.append([_text(one.history.name), "none", "", "", ""])
        if one.is_burst and one.strongest is not None:
            peak = one.strongest.peaks[0]
            where = f"{one.history.name}, only {_window(one.strongest, config)}"
            hz, size = _pm(peak.hz, peak.hz_se), _peak_amplitude(peak)
            rows.append([_text(where), hz, peak.axis, size, ""])
        for number, tone in enumerate(one.tones):
            rows.append(
                [
                    _text(one.history.name),
                    _pm(tone.frequency_hz, tone.frequency_se_hz),
                    str(tone.axis),
                    _amplitude(tone, one),
                    _damping(one) if number == 0 else "",
                ]
            )
    head = ["region", "frequency (Hz)", "axis", "amplitude, zero to peak", "damping ratio"]
    return f"<p>Over the whole video, or its longest part without a gap.</p>{_table(head, rows, wide=True)}"


def _damping(one: RegionFindings) -> str:
    if isinstance(one.damping, FreeDecay):
        percent, se = 100 * one.damping.ratio, 100 * one.damping.ratio_se
        return f"{_pm(percent, se)} % of critical, from {one.damping.cycles:.0f} cycles"
    return f'<span class="quiet">none: {_text(one.damping.reason)}</span>' if one.damping else ""


def _region(one: RegionFindings, alerts: Sequence[AlertMessage], config: Config) -> str:
    box = next(region for region in config.regions if region.name == one.history.name)
    x, y = ("none" if value is None else f"{value:.2g}" for value in one.noise_px)
    words = (
        f"{box.width}x{box.height} px at {box.x},{box.y}; measured in {100 * one.measured_share:.1f} % "
        f"of the frames; median standard error of one measurement {x} px (x), {y} px (y)."
    )
    levels = _table(
        [f"largest over any {config.vibration.level_s:g} s", "", "at (s)"],
        [[level.title, _level(level), f"{level.at_s:.1f}"] for level in one.levels],
    )
    wave = _image(plots.waveform(one, alerts), "svg+xml", f"Waveform of {one.history.name}")
    lines = _image(plots.spectrum(one), "svg+xml", f"Spectrum of {one.history.name}")
    return (
        f'<section class="region"><h3>{_text(one.history.name)}</h3><p>{_text(words)}</p>'
        f'<div class="pair">{wave}{lines}</div>{levels if one.levels else ""}</section>'
    )


def _level(level: Level) -> str:
    told = f"{level.px:.3g} px{level.unit}"
    if level.mm is not None:
        told += f" = {_pm(level.mm, level.mm_se or 0.0)} mm{level.unit}"
    return told if level.hz is None else f"{told}, at {level.hz:.3g} Hz"


def _shapes(replay: Replay, config: Config, findings: Findings) -> str:
    if len(findings.regions) < 2:
        return "<p>One region has no shape.</p>"
    if not findings.shapes:
        return "<p>No two regions share a frequency.</p>"
    told = [_shape(replay, config, one) for one in findings.shapes]
    if len(findings.shapes) > 1:
        names = [f"{one.shape.frequency_hz:.3f} Hz" for one in findings.shapes]
        rows = [
            [name, *("none" if value is None else f"{value:.3f}" for value in row)]
            for name, row in zip(names, findings.macs, strict=True)
        ]
        told.append(
            "<h3>MAC between shapes</h3><p>1: the same shape; near 0: shapes that have nothing in "
            f"common.</p>{_table(['', *names], rows)}"
        )
    return "".join(told)


def _shape(replay: Replay, config: Config, one: ShapeFindings) -> str:
    shape = one.shape
    region, axis = one.points[shape.reference]
    rows = []
    for number, (name, along) in enumerate(one.points):
        ratio = shape.ratio[number]
        if not np.isfinite(ratio) or not np.isfinite(shape.ratio_se[number]):
            continue
        size = float(np.abs(ratio))
        phase_se = float(np.degrees(min(shape.ratio_se[number] / max(size, 1e-12), np.pi)))
        rows.append(
            [
                f"{_text(name)} {along}",
                f"{shape.amplitude_px[number]:.3g}",
                _pm(size, float(shape.ratio_se[number])),
                f"{round(np.degrees(np.angle(ratio)))} ± {phase_se:.0f}",
                f"{shape.coherence[number]:.2f}",
            ]
        )
    repeats = (
        ""
        if one.repeats is None
        else f" MAC of the video's first half with its second: {one.repeats:.3f}."
    )
    words = (
        f"Against {region} {axis}, which moves most. Arrows show where each region is when that one is "
        f"furthest out, enlarged; points that do not go along (coherence below .5) have none.{repeats}"
    )
    picture = _image(
        pictures.deflected(replay.picture, config.regions, one),
        "jpeg",
        f"Deflection at {shape.frequency_hz:.3f} Hz",
    )
    head = ["point", "amplitude (px)", "ratio", "phase (°)", "coherence"]
    return (
        f'<section class="region"><h3>{shape.frequency_hz:.3f} Hz</h3><p>{_text(words)}</p>'
        f'<div class="shape"><div>{picture}</div><div>{_table(head, rows)}</div></div></section>'
    )


def _alerts(replay: Replay) -> str:
    if not replay.alerts:
        return "<p>None was raised.</p>"
    t_s = replay.regions[0].t_s
    line = plots.time_line(replay.alerts, t_s[0], t_s[-1])
    rows = []
    for alert in replay.alerts:
        level = "missing" if alert.value is None else f"{alert.value:.3g}"
        told = f"{alert.quantity} {level} (threshold {alert.threshold:g})"
        if alert.reason is not None:
            told += f": {alert.reason}"
        where = ", ".join(alert.regions) or "camera"
        hz = "" if alert.dominant_hz is None else f"{alert.dominant_hz:.3f}"
        row = [f"{alert.t_s:.2f}", alert.type, alert.rule, where, told, hz]
        rows.append([_text(cell) for cell in row])
    head = ["time (s)", "step", "rule", "region", "reading", "frequency (Hz)"]
    picture = _image(line, "svg+xml", "Alerts over time")
    return f'<div class="overview">{picture}</div>' + _table(head, rows, wide=True)


def _scales(findings: Findings) -> str:
    rows = []
    for one in findings.regions:
        scale = one.history.scale
        cells = ["none: pixels only", ""]
        if scale is not None:
            cells = [
                f"{_pm(scale.x_mm_per_px, scale.x_se_mm_per_px)}",
                f"{_pm(scale.y_mm_per_px, scale.y_se_mm_per_px)}",
            ]
        rows.append([_text(one.history.name), *cells])
    return _table(["region", "x (mm per px)", "y (mm per px)"], rows)


def _video_rows(replay: Replay, findings: Findings) -> list[list[str]]:
    facts = replay.facts
    t_s = np.array(replay.regions[0].t_s)
    rate = "unknown" if findings.rate_hz is None else f"{findings.rate_hz:.4g} Hz"
    half = (
        "" if findings.rate_hz is None else f"; vibration up to {findings.rate_hz / 2:.4g} Hz shows"
    )
    steps_ms = 1000 * np.diff(t_s)
    jitter = f"{steps_ms.min():.1f} to {steps_ms.max():.1f} ms" if len(steps_ms) else "none"
    announced = "none" if facts.nominal_rate_hz is None else f"{facts.nominal_rate_hz:.4g} Hz"
    bits = "" if facts.bits_a_second is None else f", {facts.bits_a_second / 1e6:.1f} Mbit/s"
    rows = [
        ("file", f"{Path(replay.video).name}, {facts.bytes / 1e6:.1f} MB"),
        ("pictures", f"{replay.frames} of {replay.size_px[0]}x{replay.size_px[1]} px"),
        ("length", f"{t_s[-1] - t_s[0]:.2f} s"),
        ("frame rate from time stamps", f"{rate}{half}"),
        ("frame rate that the file announces", announced),
        ("time between frames", jitter),
        ("coding", f"{facts.codec}, {facts.pixel_format}, {facts.container}{bits}"),
        ("damage", replay.damage or "none found"),
    ]
    return [[_text(one), _text(other)] for one, other in rows]


def _amplitude(tone: Tone, one: RegionFindings) -> str:
    told = f"{_pm(tone.amplitude_px, tone.amplitude_se_px)} px"
    in_mm = one.history.amplitude_mm(tone)
    return told if in_mm is None else f"{told} = {_pm(*in_mm)} mm"


def _pm(value: float, se: float) -> str:
    """A value and its standard error, with the digits that the error leaves meaning."""
    if not (se > 0 and np.isfinite(se)):
        return f"{value:.4g}"
    digits = min(max(1 - int(np.floor(np.log10(se))), 0), 9)
    return f"{value:.{digits}f} ± {se:.{digits}f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, wide: bool = False) -> str:
    """Cells are markup already. On a phone the cells of a wide one stand below each other."""
    top = "".join(f"<th>{_text(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-name="{_text(name)}">{cell}</td>'
            for name, cell in zip(head, row, strict=True)
        )
        + "</tr>\n"
        for row in rows
    )
    top = f"<thead><tr>{top}</tr></thead>" if any(head) else ""
    kind = ' class="wide"' if wide else ""
    return f"<table{kind}>{top}<tbody>\n{body}</tbody></table>"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(one)}</li>" for one in sentences) + "</ul>"


def _image(content: bytes, kind: str, words: str) -> str:
    return f'<img src="{_data(content, f"image/{kind}")}" alt="{_text(words)}">'


def _data(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _text(value: str) -> str:
    return html.escape(value)
