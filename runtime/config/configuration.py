"""The configuration of one daemon: what a TOML file may say, and the defaults of everything else.

Models only; reading a file and telling its errors with line and mend is in ``file.py``. The longer tables
have files of their own beside this one.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from runtime.config.alerts import DEFAULT_ALERT, Alert
from runtime.config.evidence import Evidence
from runtime.config.health import Health
from runtime.config.home_assistant import HomeAssistant
from runtime.config.mqtt import Mqtt
from runtime.config.page import Page
from runtime.config.recovery import Recovery
from runtime.config.section import Name, PositiveSeconds, Section


class Rectangle(Section):
    """A rectangle of the picture in whole pixels; x to the right, y down, from the top left."""

    x: int = Field(ge=0, title="Left edge (px)")
    y: int = Field(ge=0, title="Top edge (px)")
    width: int = Field(ge=8, title="Width (px)")
    height: int = Field(ge=8, title="Height (px)")

    def overlaps(self, other: "Rectangle") -> bool:
        """Whether they have a pixel in common."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def lies_in(self, width: int, height: int) -> bool:
        """Whether it lies wholly in a picture of this size."""
        return self.x + self.width <= width and self.y + self.height <= height


class Camera(Section):
    """Where frames come from."""

    source: str = Field(
        min_length=1,
        title="Source",
        description='A video file, a device such as /dev/v4l/by-id/..., "csi:0", "rtsp://...", '
        'or "gst: <pipeline>".',
    )
    width: int | None = Field(None, ge=16, title="Wanted width of a live camera (px)")
    height: int | None = Field(None, ge=16, title="Wanted height of a live camera (px)")
    rate_hz: float | None = Field(
        None, gt=0, le=1000, title="Wanted frame rate of a live camera (Hz)"
    )
    format: Literal["auto", "raw", "mjpeg", "mjpeg-software"] = Field(
        "auto",
        title="What a USB camera sends",
        description="auto takes raw pictures where the camera has them at rate_hz, else MJPEG. "
        "mjpeg-software decodes on the processor even where there is hardware for it.",
    )
    automatic: bool = Field(
        False,
        title="Let a CSI or USB camera change exposure, gain, white balance and focus",
        description="Otherwise they are held: a brightness that changes is measured as motion.",
    )
    exposure_s: Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)] | None = Field(
        None,
        title="Exposure of each picture (s)",
        description="Set in a CSI or USB camera; of another, say what it is set to. None: what the "
        "camera has chosen two seconds after it was opened. A warning tells where it takes much of a fast "
        "vibration's amplitude away.",
    )
    gain: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None,
        title="Gain of a CSI camera (a factor) or a USB camera (its own unit)",
        description="None: what the camera has chosen two seconds after it was opened.",
    )
    focus: int | None = Field(
        None,
        ge=0,
        title="Focus of a USB camera (its own unit)",
        description="None: what the camera has chosen two seconds after it was opened.",
    )
    real_time: bool = Field(
        True, title="Play a file at its own rate", description="false: as fast as possible."
    )
    mask: tuple[Rectangle, ...] = Field(
        (),
        title="Parts of the picture that nobody may see",
        description="They are black before anything is measured, shown or stored. They must lie in the "
        "picture, and not on a region.",
    )

    @property
    def size(self) -> tuple[int, int] | None:
        """Wanted width and height, where both are given."""
        return None if self.width is None or self.height is None else (self.width, self.height)

    @model_validator(mode="after")
    def _held_or_automatic(self) -> "Camera":
        held = [key for key in ("exposure_s", "gain", "focus") if getattr(self, key) is not None]
        if self.automatic and held:
            raise ValueError(
                f"automatic = true leaves {held[0]} to the camera; remove one of the two"
            )
        return self


class Region(Rectangle):
    """A part of the picture whose motion is measured. It should hold texture in x and y."""

    name: Name
    reference: bool = Field(
        False,
        title="Shows something still",
        description="The camera's shake is measured on such regions and taken out of all others: a "
        "translation from one, a similarity from two, an affine map from three or more. Rules that "
        "name no regions do not watch it.",
    )
    scale: Path | None = Field(
        None,
        title="File of millimetres per pixel",
        description="Written by tremorscope scale, for the surface that this region shows. Without "
        "one, nothing is told in millimetres.",
    )
    baseline_hz: Annotated[float, Field(gt=0, le=500, allow_inf_nan=False)] | None = Field(
        None,
        title="Natural frequency of what this region shows (Hz)",
        description="Telemetry tells the shift against it. Without one, it is learned.",
    )


class Magnification(Section):
    """What the eye is shown."""

    enabled: bool = Field(True, title="Magnify at all")
    gain: Annotated[float, Field(ge=1, le=500, allow_inf_nan=False)] = Field(
        20.0, title="Gain", description="Output motion = gain x input motion; 1 shows the input."
    )
    mode: Literal["static", "dynamic", "band-pass"] = Field(
        "static",
        title="Mode",
        description="What motion is magnified: against a slowly following reference (static), "
        "against the frame before (dynamic), or inside a frequency band (band-pass).",
    )
    low_hz: Annotated[float, Field(ge=0.001, le=500, allow_inf_nan=False)] = Field(
        0.5, title="Lower edge of the pass band (Hz)"
    )
    high_hz: Annotated[float, Field(ge=0.001, le=500, allow_inf_nan=False)] = Field(
        5.0, title="Upper edge of the pass band (Hz)"
    )
    reference_s: PositiveSeconds = Field(
        20.0, title="Time constant with which the static reference follows the picture (s)"
    )
    area: Rectangle | None = Field(
        None,
        title="Part of the picture that is magnified",
        description="The rest passes through unchanged; none means the whole picture.",
    )
    engine: Literal["auto", "tensorrt", "onnxruntime"] = Field(
        "auto",
        title="What runs the network",
        description="TensorRT runs the engine that `tremorscope build` made beside the graph, such "
        "as twofold-640x360.engine beside twofold-640x360.onnx. auto takes it where it works, "
        "and ONNX Runtime where it does not, and says why.",
    )
    graph: Path | None = Field(None, title="Another streaming ONNX graph than the shipped one")
    threads: int = Field(0, ge=0, le=64, title="Threads of the engine, 0 for its own choice")

    @model_validator(mode="after")
    def _band_is_ordered(self) -> "Magnification":
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz = {self.low_hz:g} must be below high_hz = {self.high_hz:g}")
        return self


class Vibration(Section):
    """How a window of displacement becomes numbers."""

    window_s: PositiveSeconds = Field(10.0, title="Length of the spectrum's window (s)")
    report_every_s: PositiveSeconds = Field(1.0, title="Time between two telemetry messages (s)")
    level_s: PositiveSeconds = Field(
        2.0, title="Length of the window for RMS and peak, which alerts are judged on (s)"
    )
    low_hz: Annotated[float, Field(ge=0.01, le=500, allow_inf_nan=False)] = Field(
        0.5, title="Lower edge of the band of velocity and acceleration (Hz)"
    )
    high_hz: Annotated[float, Field(gt=0, le=500, allow_inf_nan=False)] | None = Field(
        None,
        title="Upper edge of the band of velocity and acceleration (Hz)",
        description="None, or more than the frame rate allows, means 0.8 of the Nyquist frequency.",
    )
    learn_baseline_s: Annotated[float, Field(gt=0, le=30 * 86400, allow_inf_nan=False)] = Field(
        600.0,
        title="Time over which a region's natural frequency is learned (s)",
        description="For regions without baseline_hz; then telemetry tells the shift against it.",
    )

    @model_validator(mode="after")
    def _band_is_ordered(self) -> "Vibration":
        if self.high_hz is not None and self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz = {self.low_hz:g} must be below high_hz = {self.high_hz:g}")
        return self


class Storage(Section):
    """What is kept on this machine."""

    directory: Path | None = Field(
        None,
        title="Folder for undelivered alerts",
        description="None: $STATE_DIRECTORY under systemd, else ~/.local/state/tremorscope.",
    )
    outbox_mb: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False)] = Field(
        512.0,
        title="Most that messages may take on the disk while the broker is away (MB)",
        description="The oldest telemetry makes room for what is new, then the oldest alerts do. A region's "
        "telemetry takes about 2 kB each time it is reported.",
    )

    def folder(self, camera: str) -> Path:
        """Where one camera's files go."""
        if self.directory is not None:
            return self.directory / camera
        # systemd names the folder that it made for the service.
        state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        return (Path(state) if state else Path.home() / ".local/state/tremorscope") / camera


class Config(Section):
    """Everything that one daemon, which serves one camera, needs to know."""

    name: Name = Field("camera", title="Name of this camera in topics and messages")
    camera: Camera
    regions: tuple[Region, ...] = Field(min_length=1, title="Measured regions")
    magnification: Magnification = Magnification()
    vibration: Vibration = Vibration()
    alerts: tuple[Alert, ...] = Field(
        (DEFAULT_ALERT,), title="Alert rules; one on signal_to_noise when none is given"
    )
    health: Health = Health()
    recovery: Recovery = Recovery()
    evidence: Evidence = Evidence()
    mqtt: Mqtt = Mqtt()
    home_assistant: HomeAssistant = HomeAssistant()
    storage: Storage = Storage()
    page: Page = Page()

    @property
    def evidence_folder(self) -> Path:
        """Where this camera's evidence goes."""
        if self.evidence.folder is not None:
            return self.evidence.folder / self.name
        return self.storage.folder(self.name) / "events"

    def watched(self, rule: Alert) -> tuple[str, ...]:
        """The regions that a rule watches; without any named, all that are no references."""
        return rule.regions or tuple(one.name for one in self.regions if not one.reference)

    @model_validator(mode="after")
    def _home_assistant_has_a_broker(self) -> "Config":
        if self.home_assistant.enabled and not self.mqtt.enabled:
            raise ValueError(
                "home_assistant.enabled = true needs a broker; set mqtt.enabled = true, or switch it off"
            )
        return self

    @model_validator(mode="after")
    def _something_is_measured(self) -> "Config":
        if all(region.reference for region in self.regions):
            raise ValueError(
                "every region is a reference, so nothing is measured; add a region on the structure, "
                "or remove reference = true"
            )
        return self

    @model_validator(mode="after")
    def _nothing_is_measured_under_a_mask(self) -> "Config":
        for number, mask in enumerate(self.camera.mask):
            for region in self.regions:
                if mask.overlaps(region):
                    raise ValueError(
                        f'region "{region.name}" lies partly under camera.mask[{number}], where every '
                        "picture is black; move one of the two"
                    )
        return self

    @model_validator(mode="after")
    def _millimetres_have_a_scale(self) -> "Config":
        for rule in self.alerts:
            for region in self.regions:
                watched = region.name in self.watched(rule)
                if rule.needs_millimetres and watched and region.scale is None:
                    what = rule.quantity if rule.profile is None else rule.profile
                    raise ValueError(
                        f'alert "{rule.name}" is on {what}, but region "{region.name}" has '
                        "no scale; give the region one, or name in the alert the regions that have"
                    )
        return self

    @model_validator(mode="after")
    def _names_are_unique_and_known(self) -> "Config":
        names = [region.name for region in self.regions]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two regions are named "{name}"; give each its own name')
        rules = [rule.name for rule in self.alerts]
        for rule in self.alerts:
            if rules.count(rule.name) > 1:
                raise ValueError(f'two alerts are named "{rule.name}"; give each its own name')
            watched = len(self.watched(rule))
            if rule.at_least_regions > watched:
                raise ValueError(
                    f'alert "{rule.name}" wants {rule.at_least_regions} regions together and watches '
                    f"{watched}; lower at_least_regions, or let it watch more regions"
                )
            for wanted in rule.regions:
                if wanted not in names:
                    raise ValueError(
                        f'alert "{rule.name}" watches region "{wanted}", which is not configured; '
                        f"configured are: {', '.join(names)}"
                    )
        return self
