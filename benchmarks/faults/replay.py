"""A million telemetry messages wait in the outbox; alerts created while they drain must not wait for them."""

import os
import resource
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

ROWS_A_TRIAL = 5000
"""A million at 200 trials."""
MOST_S = 2.0
MOST_GROWTH_MB = 32.0
_BATCH = 5000
_TELEMETRY = b'{"schema_version":1,"region":"mast","x_px":0.01,"t_s":%d}'
_FAST_HZ = 100_000.0
_LONGEST_S = 1500.0


def rows(plan: Plan) -> Iterator[Row]:
    count = ROWS_A_TRIAL * plan.trials
    path = plan.folder / "replay.sqlite"
    with closing(Outbox(path, budget_mb=4096)) as box:
        for first in range(0, count, _BATCH):
            numbers = range(first, min(count, first + _BATCH))
            topic = "tremorscope/cam/telemetry/mast"
            box.put_telemetry([(topic, _TELEMETRY % number) for number in numbers])
    megabytes = path.stat().st_size / 1e6
    began = time.monotonic()
    box = Outbox(path, budget_mb=4096)
    opening_s = time.monotonic() - began
    began = time.monotonic()
    box.counts()
    counting_s = time.monotonic() - began
    notes = [
        f"a file of {count} messages and {megabytes:.0f} MB opens, all of it checked, in {opening_s:.1f} s; "
        f"counting what is in it takes {1e3 * counting_s:.0f} ms"
    ]
    with Broker(plan.folder / "replay-broker") as broker, Consumer(broker) as consumer:
        usual = Row("alert while telemetry is replayed, default pace", f"each within {MOST_S:g} s")
        fast = Row(f"alert while {count} telemetry messages drain at full speed", usual.wanted)
        with publishing(broker, box) as one:
            wait_until(lambda: one.counts().connected)
            for number in range(plan.trials):
                usual.add(_alert(f"usual-{number}", one.publish_alert, consumer, 0.05))
        box = Outbox(path, budget_mb=4096)
        left = box.counts().telemetry
        with publishing(broker, box, mqtt={"replay_hz": _FAST_HZ}) as one:
            wait_until(lambda: one.counts().connected)
            time.sleep(1)
            before_mb, since, number = _memory_mb(), time.monotonic(), 0
            while time.monotonic() - since < _LONGEST_S:
                fast.add(_alert(f"fast-{number}", one.publish_alert, consumer, 0.5))
                number += 1
                if number >= 2 and number % 4 == 0 and one.counts().waiting_telemetry == 0:
                    break
            drained_s = time.monotonic() - since
            left_over = one.counts().waiting_telemetry
            growth_mb = _memory_mb() - before_mb
        fast.notes += [
            *notes,
            f"{left - left_over} messages drained in {drained_s:.0f} s, "
            f"{(left - left_over) / drained_s:.0f} a second; "
            f"the process grew by {growth_mb:.1f} MB meanwhile",
        ]
        if left_over:
            fast.complaints["telemetry is left"] += 1
        if growth_mb > MOST_GROWTH_MB:
            fast.complaints["memory grows"] += 1
    yield usual
    yield fast


def _alert(name: str, publish: object, consumer: Consumer, pause_s: float) -> Trial:
    """Its recovery is its way to the consumer."""
    assert callable(publish)
    before = len(consumer.messages)
    created_s = time.monotonic()
    publish(alert(name))
    wait_until(lambda: len(consumer.messages) > before, 10)
    arrived = [when for when, _ in consumer.messages[before:]]
    took_s = arrived[0] - created_s if arrived else 10.0
    time.sleep(pause_s)
    late = ("later than 2 s",) if took_s > MOST_S else ()
    received = consumer.event_ids()[before:]
    return Trial([name], [name], received, len(arrived), took_s, late)


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6 if os.name == "posix" else 0.0
