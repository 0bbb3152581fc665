"""Consumers that are away for longer than Mosquitto's default queue lasts, or that read slowly."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

ALERTS = 1500
_SLOW_S = 0.002


def rows(plan: Plan) -> Iterator[Row]:
    """Each consumer is a trial; all listen to the same broker at the same time."""
    with ExitStack() as stack:
        broker = stack.enter_context(Broker(plan.folder / "slow-broker"))
        consumers = [stack.enter_context(Consumer(broker)) for _ in range(plan.trials)]
        away, slow = Row("consumer away for 1,500 alerts"), Row("consumer that reads slowly")
        names = [f"{number}" for number in range(ALERTS)]
        for consumer in consumers[::2]:
            consumer.go_away()
        for consumer in consumers[1::2]:
            consumer.slow_s = _SLOW_S
        outbox = Outbox(plan.folder / "slow-outbox.sqlite")
        with publishing(broker, outbox) as one:
            for name in names:
                one.publish_alert(alert(name))
            delivered = wait_until(lambda: is_delivered(one), 120)
            acknowledged = one.counts().acknowledged
        for number, consumer in enumerate(consumers):
            since = time.monotonic()
            if number % 2 == 0:
                consumer.come_back()
            consumer.wait_for(set(names), quiet_s=10)
            recovery_s = time.monotonic() - since if number % 2 == 0 else None
            complaints = () if delivered else ("the broker did not take all alerts",)
            row = slow if number % 2 else away
            row.add(Trial(names, names, consumer.event_ids(), acknowledged, recovery_s, complaints))
    again = sum(consumer.connected_again for consumer in consumers)
    away.notes.append(f"{again} of {len(consumers)} consumers had to connect once more to get all")
    yield from (row for row in (away, slow) if row.trials)
