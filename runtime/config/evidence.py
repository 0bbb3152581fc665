"""``[evidence]``: what is kept of every alert on this machine's disk, and for how long."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from runtime.config.section import Positive, Section


class Evidence(Section):
    """What each alert leaves behind: a clip, a snapshot, samples, its messages and settings."""

    enabled: bool = Field(True, title="Keep evidence of alerts at all")
    folder: Path | None = Field(
        None,
        title="Folder for evidence",
        description="Each camera gets a folder of its own in it. None: events in the camera's folder "
        "below storage.directory.",
    )
    before_s: Annotated[float, Field(ge=0, le=120, allow_inf_nan=False)] = Field(
        10.0,
        title="Time kept before an event begins (s)",
        description="Counted from where the reading first went above the threshold.",
    )
    after_s: Annotated[float, Field(ge=0, le=600, allow_inf_nan=False)] = Field(
        10.0, title="Time kept after an event has ended (s)"
    )
    longest_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = Field(
        120.0,
        title="Longest clip and record of samples (s)",
        description="A longer event keeps its beginning; its messages are kept to its end.",
    )
    clip_rate_hz: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = Field(
        15.0, title="Pictures a second that are kept; samples are kept at camera rate (Hz)"
    )
    memory_mb: Annotated[float, Field(ge=4, le=4096, allow_inf_nan=False)] = Field(
        64.0,
        title="Memory for the pictures before an event (MB)",
        description="Where it does not hold before_s, clips begin later, and that is told.",
    )
    keep_days: Positive = Field(365.0, title="Evidence older than this is deleted (days)")
    keep_gb: Positive = Field(
        8.0,
        title="Of more evidence than this, the oldest is deleted (GB)",
        description="Evidence of an alert that has not ended is never deleted.",
    )

    @model_validator(mode="after")
    def _longest_holds_what_is_around(self) -> "Evidence":
        around_s = self.before_s + self.after_s
        if self.longest_s <= around_s:
            raise ValueError(
                f"longest_s = {self.longest_s:g} must be above before_s + after_s = {around_s:g}"
            )
        return self
