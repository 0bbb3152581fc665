from runtime.messages import utc_text


def test_times_are_utc_with_milliseconds() -> None:
    assert utc_text(0.0) == "1970-01-01T00:00:00.000Z"
    assert utc_text(1_700_000_000.1239) == "2023-11-14T22:13:20.123Z"
