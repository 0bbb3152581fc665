"""``[[alerts]]``: what a rule may say."""

import difflib
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from runtime.config.limits import PROFILES, Profile
from runtime.config.section import HoldSeconds, Name, Positive, PositiveSeconds, Section

Quantity = Literal[
    "displacement_rms_px",
    "displacement_peak_px",
    "displacement_peak_to_peak_px",
    "displacement_rms_mm",
    "displacement_peak_mm",
    "displacement_peak_to_peak_mm",
    "displacement_px",
    "displacement_mm",
    "velocity_rms_px_s",
    "velocity_rms_mm_s",
    "ppv_px_s",
    "ppv_mm_s",
    "acceleration_rms_px_s2",
    "acceleration_rms_mm_s2",
    "acceleration_peak_px_s2",
    "acceleration_peak_mm_s2",
    "band_rms_px",
    "band_rms_mm",
    "frequency_shift_percent",
    "sta_lta",
    "signal_to_noise",
    "limit_ratio",
]

MISSING_AFTER_S = 60.0


class Band(Section):
    """A band of frequencies."""

    low_hz: float = Field(ge=0.05, allow_inf_nan=False, title="Lower edge (Hz)")
    high_hz: float = Field(gt=0, le=500, allow_inf_nan=False, title="Upper edge (Hz)")

    @model_validator(mode="after")
    def _is_ordered(self) -> "Band":
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz = {self.low_hz:g} must be below high_hz = {self.high_hz:g}")
        return self


def _profile_sets_the_threshold(schema: dict[str, Any]) -> None:
    # With a profile the limit is the threshold, so an editor must not ask for one.
    schema["required"] = [name for name in schema["required"] if name != "raise_above"]


class Alert(Section):
    """A rule: when a quantity is too high for long enough, an alert is raised, and later ended."""

    model_config = ConfigDict(json_schema_extra=_profile_sets_the_threshold)

    name: Name
    regions: tuple[Name, ...] = Field(
        (), title="Regions it watches; empty means all but references"
    )
    quantity: Quantity = Field(
        "signal_to_noise",
        title="Quantity",
        description="Over the window of vibration.level_s, the larger of x and y, in px or mm: "
        "displacement about the window's mean (rms, peak, peak_to_peak), velocity (rms), peak "
        "particle velocity (ppv), acceleration. displacement_px or _mm: distance from zero now, for "
        "large motion. band_rms: RMS inside band. frequency_shift_percent: drift of the natural "
        "frequency, either way. sta_lta: energy of the last sta_s over that of the last lta_s. "
        "signal_to_noise: RMS displacement over the standard error of one measurement. limit_ratio: "
        "a reading over its limit in profile.",
    )
    band: Band | None = Field(None, title="Band of band_rms_px and band_rms_mm")
    sta_s: PositiveSeconds = Field(6.0, title="Short time of sta_lta (s)")
    lta_s: PositiveSeconds = Field(30.0, title="Long time of sta_lta (s)")
    profile: str | None = Field(
        None,
        title="Limit of a standard",
        description="Shown beside every reading; alerts only with confirmed_by and confirmed_on. "
        f"One of: {', '.join(PROFILES)}.",
        json_schema_extra={"enum": [None, *PROFILES]},
    )
    confirmed_by: str | None = Field(
        None, min_length=1, title="Who has held the profile's limit against the standard's text"
    )
    confirmed_on: date | None = Field(None, title="When they have, as 2026-11-20")
    raise_above: Positive = Field(
        title="Raise above this value; with a profile 1.0, the limit itself"
    )
    clear_below: Positive | None = Field(
        None, title="Clear below this value; 0.8 of raise_above when not given"
    )
    raise_after_s: HoldSeconds = Field(
        1.0, title="Time above the threshold before the alert is raised (s)"
    )
    clear_after_s: HoldSeconds = Field(
        3.0, title="Time below the threshold before the alert is ended (s)"
    )
    hold_off_s: HoldSeconds = Field(
        0.0, title="Time after an end in which no new alert is raised (s)"
    )
    longest_s: PositiveSeconds | None = Field(
        None,
        title="Longest alert (s)",
        description='It then ends as "too long", and none is raised before the value was below the '
        "clear threshold again.",
    )
    latch: bool = Field(False, title="Stay open until somebody acknowledges it")
    missing_after_s: HoldSeconds = Field(
        MISSING_AFTER_S,
        title="Time without a reading before that is told as an alert of kind missing (s); 0: never",
    )
    at_least_regions: int = Field(
        1, ge=1, title="Regions that must be above the threshold together"
    )
    coincidence_s: float = Field(
        2.0, ge=0, le=60, allow_inf_nan=False, title="Time within which regions count as together"
    )
    despite_health: bool = Field(
        False,
        title="Raise even while the camera is unhealthy",
        description="Else such alerts are recorded as suppressed until the camera is well again.",
    )

    @model_validator(mode="before")
    @classmethod
    def _profile_brings_its_quantity(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("profile") is not None:
            return {"quantity": "limit_ratio", "raise_above": 1.0} | values
        return values

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> "Alert":
        if self.clear_below is not None and self.clear_below > self.raise_above:
            raise ValueError(
                f"clear_below = {self.clear_below:g} must not be above "
                f"raise_above = {self.raise_above:g}"
            )
        return self

    @model_validator(mode="after")
    def _quantity_has_what_it_needs(self) -> "Alert":
        if self.quantity.startswith("band_rms") and self.band is None:
            raise ValueError(
                f"quantity = {self.quantity} needs band = {{ low_hz = ..., high_hz = ... }}"
            )
        if self.band is not None and not self.quantity.startswith("band_rms"):
            raise ValueError(
                f"band is for band_rms_px and band_rms_mm, not for {self.quantity}; remove it, or "
                "set quantity to one of them"
            )
        if self.sta_s >= self.lta_s:
            raise ValueError(f"sta_s = {self.sta_s:g} must be below lta_s = {self.lta_s:g}")
        if self.latch and self.longest_s is not None:
            raise ValueError(
                "latch keeps the alert until somebody acknowledges it, longest_s ends it; give one "
                "of the two"
            )
        return self

    @field_validator("profile")
    @classmethod
    def _profile_is_known(cls, profile: str | None) -> str | None:
        if profile is not None and profile not in PROFILES:
            nearest = difflib.get_close_matches(profile, PROFILES, n=1)
            hint = f'did you mean "{nearest[0]}"? known' if nearest else "known"
            raise ValueError(f'"{profile}" is not known; {hint} are: {", ".join(PROFILES)}')
        return profile

    @model_validator(mode="after")
    def _profile_is_confirmed_in_full(self) -> "Alert":
        if self.profile is None:
            if self.quantity == "limit_ratio":
                raise ValueError("quantity = limit_ratio needs a profile; add profile = ...")
            if self.confirmed_by is not None or self.confirmed_on is not None:
                raise ValueError(
                    "confirmed_by and confirmed_on confirm a profile, and there is none; add "
                    "profile = ..., or remove them"
                )
        elif self.quantity != "limit_ratio":
            raise ValueError(
                f"profile has its own quantity, {PROFILES[self.profile].quantity} over its limit; "
                f"remove quantity = {self.quantity}"
            )
        if (self.confirmed_by is None) != (self.confirmed_on is None):
            given, other = ("confirmed_by", "confirmed_on")
            if self.confirmed_by is None:
                given, other = other, given
            raise ValueError(f"{given} is given without {other}; a profile is confirmed by both")
        return self

    @property
    def clear_threshold(self) -> float:
        return 0.8 * self.raise_above if self.clear_below is None else self.clear_below

    @property
    def limit(self) -> Profile | None:
        """The profile's limit; None without a profile."""
        return None if self.profile is None else PROFILES[self.profile]

    @property
    def is_confirmed(self) -> bool:
        """Whether it may alert: a profile only once a person stands for its limit."""
        return self.profile is None or self.confirmed_by is not None

    @property
    def reading(self) -> str:
        """What its reading is called among the readings of a region."""
        own = self.quantity.startswith(("band_rms", "sta_lta", "limit_ratio"))
        return f"{self.quantity} of {self.name}" if own else self.quantity

    @property
    def needs_motion(self) -> bool:
        """Whether it judges what is found by differentiation, or may, as a profile's limit."""
        derived = ("velocity", "ppv", "acceleration", "displacement_peak_to_peak")
        return self.profile is not None or self.quantity.startswith(derived)

    @property
    def is_sudden(self) -> bool:
        """Whether its reading is of one frame, and not an average over many."""
        return self.quantity in ("displacement_px", "displacement_mm")

    @property
    def needs_millimetres(self) -> bool:
        return self.profile is not None or self.quantity.endswith(("_mm", "_mm_s", "_mm_s2"))


DEFAULT_ALERT = Alert(name="vibration", quantity="signal_to_noise", raise_above=2.0)


def notices(rules: Sequence[Alert], rate_hz: float | None) -> list[str]:
    """What must be known of the profiles before trusting them, one sentence each.

    ``rate_hz`` is the camera's wanted frame rate, where it is known.
    """
    told = []
    for rule in rules:
        limit = rule.limit
        if limit is None:
            continue
        name = f'alert "{rule.name}"'
        if not rule.is_confirmed:
            told.append(
                f"{name}: {limit.title} only shows how near its limit is and raises nothing, until "
                "a person confirms the limit with confirmed_by and confirmed_on"
            )
        if limit.scope is not None:
            told.append(f"{name}: {limit.title}: {limit.scope}")
        shortfall = None if rate_hz is None else limit.shortfall(rate_hz)
        if shortfall is not None:
            told.append(f"{name}: {shortfall}")
    return told
