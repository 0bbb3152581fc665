"""The machine's clock is set by an hour, forth and back, while alerts are created and delivered.

What is stepped is what Python's ``time.time`` tells, for every thread of this process; nothing may set the
clock of a machine that others use. The broker's is not stepped: alerts have no expiry that it could apply.
"""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

STEP_S = 3600.0
BURST = 20


class Clock:
    """Time of the day, and what was added to it."""

    def __init__(self) -> None:
        self.added_s = 0.0
        self._time, self._time_ns = time.time, time.time_ns

    @contextmanager
    def instead(self) -> Iterator[None]:
        with mock.patch("time.time", self._now), mock.patch("time.time_ns", self._now_ns):
            yield

    def _now(self) -> float:
        return self._time() + self.added_s

    def _now_ns(self) -> int:
        return self._time_ns() + int(self.added_s * 1e9)


def rows(plan: Plan) -> Iterator[Row]:
    for title, step_s in (("forth", STEP_S), ("back", -STEP_S)):
        clock = Clock()
        with clock.instead():
            yield plan.run(Row(f"clock set {title} by an hour"), partial(trial, clock, step_s))


def trial(clock: Clock, step_s: float, chance: random.Random, folder: Path) -> Trial:
    """With a broker that is there or not, and in half of the trials a daemon that starts again."""
    with Broker(folder / "broker") as broker, Consumer(broker) as consumer:
        names = [f"{number}" for number in range(BURST)]
        down, restart, begin = chance.random() < 0.5, chance.random() < 0.5, chance.randrange(BURST)
        path = folder / "outbox.sqlite"
        complaints = []
        if down:
            broker.stop()
        with publishing(broker, Outbox(path)) as one:
            for name in names[:begin]:
                one.publish_alert(alert(name))
                time.sleep(chance.uniform(0.0, 0.02))
            clock.added_s += step_s
            if not restart:
                for name in names[begin:]:
                    one.publish_alert(alert(name))
            acknowledged = one.counts().acknowledged
            if not down and not restart and not wait_until(lambda: is_delivered(one), 10):
                complaints.append("not delivered within 10 s")
        with publishing(broker, Outbox(path)) as one:
            if restart:
                for name in names[begin:]:
                    one.publish_alert(alert(name))
            if down:
                broker.start()
            since = time.monotonic()
            if not wait_until(lambda: one.counts().connected and is_delivered(one)):
                complaints.append("not delivered within 30 s")
            recovery_s = time.monotonic() - since
            consumer.wait_for(set(names))
            acknowledged += one.counts().acknowledged
            return Trial(
                names, names, consumer.event_ids(), acknowledged, recovery_s, tuple(complaints)
            )
