"""The campaign of faults itself: every kind once or twice, and that it notices what it is there for."""

import importlib
import os
import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from benchmarks.faults import __main__ as command
from benchmarks.faults import broker_killed, page
from benchmarks.faults.campaign import Impossible, Plan
from benchmarks.faults.proxy import Packets
from benchmarks.faults.tally import Row, Trial, out_of_order


@pytest.mark.parametrize("fault", command.FAULTS)
def test_every_promise_is_kept_under(fault: str, tmp_path: Path) -> None:
    for row in importlib.import_module(f"benchmarks.faults.{fault}").rows(Plan(2, 7, tmp_path)):
        if row.impossible is not None and os.geteuid() != 0:
            pytest.skip(f"needs root: {row.impossible}")
        assert row.impossible is None
        assert row.trials
        assert row.holds or not row.must_hold, page.line(row)


def test_a_broker_that_never_saves_is_seen_to_lose_alerts(tmp_path: Path) -> None:
    """Without what the daemon does about it."""
    row = Row("a broker without a disk")
    never = ["persistence true", "autosave_interval 600"]
    trial = partial(broker_killed.trial, settings=never, keep_s=0.0)
    Plan(6, 1, tmp_path).run(row, trial)
    assert row.lost
    assert not row.holds


def test_a_row_counts_what_is_lost_repeated_late_and_strange() -> None:
    row = Row("fault")
    row.add(
        Trial(["a", "b", "c"], ["a", "b"], ["b", "a", "b", "x"], acknowledged=3, recovery_s=2.0)
    )
    row.add(Trial(["a"], ["a"], []))
    assert (row.trials, row.created, row.stored, row.acknowledged) == (2, 4, 3, 3)
    assert (row.received, row.lost, row.duplicated, row.strange) == (3, 1, 1, 1)
    assert row.recovery_s(50) == 2.0
    assert not row.holds
    assert out_of_order(["a", "b", "c"], ["c", "a", "b", "a"]) == 2


def test_a_trial_that_fails_or_cannot_be_made_breaks_its_row(tmp_path: Path) -> None:
    def fails(_: random.Random, __: Path) -> Trial:
        raise ValueError("unforeseen")

    def cannot(_: random.Random, __: Path) -> Trial:
        raise Impossible("no root")

    plan = Plan(2, 1, tmp_path)
    failed, impossible = plan.run(Row("a"), fails), plan.run(Row("b"), cannot)
    assert "ValueError" in next(iter(failed.complaints))
    assert impossible.impossible == "no root"
    assert not failed.holds
    assert not impossible.holds
    assert not list(tmp_path.iterdir())


def test_the_command_fails_when_a_promise_was_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Typer()
    app.command()(command.run)
    kept, broken = Row("kept", trials=1), Row("broken", trials=1, lost=1)
    comparison = Row("comparison", must_hold=False, trials=1, lost=1)
    for rows, code in (([kept, comparison], 0), ([kept, broken], 1)):
        monkeypatch.setattr(command, "all_rows", lambda *_, rows=rows: rows)
        found = CliRunner().invoke(app, ["--only", "clock"])
        assert found.exit_code == code
        assert "0 lost" in found.output


def test_the_page_tells_losses_complaints_and_what_was_not_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    monkeypatch.setattr(page, "PLOT", tmp_path / "faults.png")
    rows = [
        Row("first", trials=3, stored=30, received=28, lost=2, recoveries_s=[0.1, 0.2]),
        Row("second", trials=1, complaints=Counter({"not told": 1}), notes=["a note"]),
        Row("third", impossible="no root"),
    ]
    page.write(rows, trials=3, seed=1, jobs=1, took_s=60.0, load=0.0)
    text = page.PAGE.read_text()
    assert "**0 of 3 promises kept; 2 of 30 stored alerts lost" in text
    assert "- second: 1 x not told." in text
    assert "not possible here: no root" in text
    assert page.PLOT.stat().st_size > 1000


def test_a_stream_is_cut_into_mqtt_packets_wherever_it_was_split() -> None:
    puback, publish = b"\x40\x02\x00\x01", b"\x32\x80\x02" + b"x" * 256
    stream = puback + publish + puback
    packets = Packets()
    found = [packet for byte in stream for packet in packets.whole(bytes([byte]))]
    assert found == [puback, publish, puback]
