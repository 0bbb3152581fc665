"""``[recovery]``: when a live camera counts as failed, and what is done about it."""

from typing import Annotated

from pydantic import Field

from runtime.config.section import PositiveSeconds, Section


class Recovery(Section):
    """What is done about a live camera that fails; see docs/cameras.md."""

    silent_s: PositiveSeconds = Field(
        3.0, title="Time without a usable frame after which the camera is opened again (s)"
    )
    first_frame_s: PositiveSeconds = Field(
        10.0, title="The same for the first frame after it was opened (s)"
    )
    frozen_s: PositiveSeconds = Field(
        5.0,
        title="Time of one and the same picture after which the camera is opened again (s)",
        description="A sensor's noise never repeats. An encoder may repeat a still picture until its "
        "next key frame: for such a camera set it beyond that.",
    )
    first_wait_s: PositiveSeconds = Field(1.0, title="Wait before it is opened again (s)")
    longest_wait_s: PositiveSeconds = Field(
        30.0,
        title="Longest wait (s)",
        description="The wait doubles with each attempt, up to this.",
    )
    argus_after: int = Field(
        3,
        ge=0,
        le=1000,
        title="Attempts after which NVIDIA's camera service is to be restarted, 0 for never",
        description="CSI cameras only. It ends every CSI camera's stream on the board.",
    )
    give_up_after_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        6 * 3600.0,
        title="Time of trouble after which the process ends with an error (s)",
        description="systemd then starts a fresh one.",
    )
