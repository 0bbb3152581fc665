"""The broker is killed in a burst of alerts or soon after it; the consumer is there, or away."""

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.broker import Broker, shipped_settings, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

BURST = 30
_EACH_CHANGE = ["persistence true", "autosave_interval 1", "autosave_on_changes true"]


def rows(plan: Plan) -> Iterator[Row]:
    """As shipped, and what the same would lose without either measure."""
    yield plan.run(
        Row("broker SIGKILL in a burst"), partial(trial, settings=shipped_settings(), keep_s=None)
    )
    for title, settings in (
        ("the same, an accepted alert is forgotten at once", shipped_settings()),
        ("the same, and the broker saves at each change", _EACH_CHANGE),
    ):
        row = Row(title, "shown for comparison", must_hold=False)
        yield plan.run(row, partial(trial, settings=settings, keep_s=0.0))


def trial(
    chance: random.Random, folder: Path, *, settings: list[str], keep_s: float | None
) -> Trial:
    with Broker(folder / "broker", settings=settings) as broker, Consumer(broker) as consumer:
        away = chance.random() < 0.5
        if away:
            consumer.go_away()
        subscriptions = consumer.subscriptions
        broker.stop()  # the session is an old one, and long saved
        broker.start()
        if not away:
            wait_until(lambda: consumer.subscriptions > subscriptions)
        names = [f"{number}" for number in range(BURST)]
        pauses_s = [chance.uniform(0.0, 0.02) for _ in names]
        fatal, linger_s = chance.randrange(BURST + 1), chance.uniform(0.0, 1.5)
        with publishing(broker, Outbox(folder / "outbox.sqlite"), keep_accepted_s=keep_s) as one:
            wait_until(lambda: one.counts().connected)
            for number, name in enumerate(names):
                if number == fatal:
                    broker.kill()
                one.publish_alert(alert(name))
                time.sleep(pauses_s[number])
            if fatal == BURST:
                wait_until(lambda: is_delivered(one))
                time.sleep(linger_s)
                broker.kill()
            wait_until(lambda: not one.counts().connected)
            time.sleep(chance.uniform(0.0, 0.5))
            broker.start()
            since = time.monotonic()
            complaints = []
            if not wait_until(lambda: one.counts().connected and is_delivered(one)):
                complaints.append("not delivered within 30 s")
            recovery_s = time.monotonic() - since
            if away:
                consumer.come_back()
            consumer.wait_for(set(names))
            return Trial(
                names,
                names,
                consumer.event_ids(),
                one.counts().acknowledged,
                recovery_s,
                tuple(complaints),
            )
