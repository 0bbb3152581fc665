"""Connections that are open and carry nothing any more, or everything but acknowledgements."""

import random
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.proxy import Proxy
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

KINDS = {
    "silent": "half-open TCP, nothing passes either way",
    "deaf": "half-open TCP, nothing reaches the broker",
    "mute": "half-open TCP, nothing comes from the broker",
    "unacknowledged": "TCP that passes everything but PUBACK",
}
BURST = 12
MOST_SILENT_S = 3.0
"""30 s in the daemon, which would only make the trials longer."""


def rows(plan: Plan) -> Iterator[Row]:
    for kind, title in KINDS.items():
        yield plan.run(Row(title), partial(trial, kind), at_once=25)


def trial(kind: str, chance: random.Random, folder: Path) -> Trial:
    with Broker(folder / "broker") as broker, Consumer(broker) as consumer:
        names = [f"{number}" for number in range(BURST)]
        begin = chance.randrange(BURST)
        outbox = Outbox(folder / "outbox.sqlite")
        with (
            closing(Proxy(broker.host, broker.port)) as proxy,
            publishing(broker, outbox, port=proxy.port, most_silent_s=MOST_SILENT_S) as one,
        ):
            wait_until(lambda: one.counts().connected)
            for number, name in enumerate(names):
                if number == begin:
                    proxy.freeze(kind)
                one.publish_alert(alert(name))
                time.sleep(chance.uniform(0.0, 0.02))
            time.sleep(chance.uniform(0.0, 2.0))
            proxy.heal()
            since = time.monotonic()
            complaints = () if wait_until(lambda: is_delivered(one)) else ("not within 30 s",)
            recovery_s = time.monotonic() - since
            consumer.wait_for(set(names))
            return Trial(
                names,
                names,
                consumer.event_ids(),
                one.counts().acknowledged,
                recovery_s,
                complaints,
            )
