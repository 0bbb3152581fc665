"""Messages to publish, of which tests look at little."""

from runtime.messages import AlertMessage, ModeShape, Telemetry, utc_text


def alert(number: int) -> AlertMessage:
    return AlertMessage(
        event_id=f"event-{number}",
        type="new",
        sequence=0,
        rule="vibration",
        region="mast",
        quantity="signal_to_noise",
        value=4.0,
        threshold=3.0,
        peak_value=4.5,
        dominant_hz=2.0,
        time_utc=utc_text(1_700_000_000.0),
        t_s=1.0,
        started_t_s=0.5,
        duration_s=0.5,
    )


def telemetry() -> Telemetry:
    nothing = dict.fromkeys(
        [
            "rate_hz",
            "x_px",
            "y_px",
            "x_se_px",
            "y_se_px",
            "displacement_rms_px",
            "displacement_peak_px",
            "signal_to_noise",
            "dominant_hz",
            "dominant_amplitude_px",
            "reason",
        ]
    )
    return Telemetry(
        region="mast", time_utc=utc_text(0.0), t_s=1.0, valid=False, alert=False, **nothing
    )


def shape() -> ModeShape:
    return ModeShape(
        time_utc=utc_text(0.0),
        t_s=1.0,
        frequency_hz=3.0,
        reference_region="mast",
        reference_axis="x",
        points=(),
        mac=None,
    )
