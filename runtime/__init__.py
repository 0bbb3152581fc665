import no_telemetry  # noqa: F401
