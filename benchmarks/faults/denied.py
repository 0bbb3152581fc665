"""The broker's rules refuse alerts: they are parked and shown, and follow when the rules are mended."""

import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

MENDS = ("the next alert", "a new connection", "time")
"""What shows the daemon that the rules have been mended."""


def rows(plan: Plan) -> Iterator[Row]:
    for mend in MENDS:
        yield plan.run(Row(f"access rules refuse, mended; shown by {mend}"), partial(trial, mend))


def trial(mend: str, chance: random.Random, folder: Path) -> Trial:
    rules = folder / "rules"
    rules.write_text("topic readwrite tremorscope/cam/state\ntopic read #\n")
    rules.chmod(0o600)
    access = ["allow_anonymous true", f"acl_file {rules}"]
    with Broker(folder / "broker", access=access) as broker, Consumer(broker) as consumer:
        refused = [f"refused-{number}" for number in range(chance.randint(1, 20))]
        names = list(refused)
        complaints = []
        retry_s = 0.5 if mend == "time" else 300.0
        with publishing(broker, Outbox(folder / "outbox.sqlite"), refused_retry_s=retry_s) as one:
            for name in refused:
                one.publish_alert(alert(name))
            parked = len(refused) if retry_s > 1 else 1
            if not wait_until(lambda: one.counts().parked >= parked):
                complaints.append("not parked")
            if one.counts().acknowledged or consumer.event_ids():
                complaints.append("counted as delivered")
            if "Not authorized" not in str(one.counts().problem):
                complaints.append("not told")
            rules.write_text("topic readwrite #\n")
            since = time.monotonic()
            if mend == "a new connection":
                broker.kill()
                broker.start()
            else:
                broker.reload()
                time.sleep(0.3)
            if mend == "the next alert":
                names.append("next")
                one.publish_alert(alert("next"))
            if not wait_until(
                lambda: one.counts().acknowledged >= len(names) and is_delivered(one)
            ):
                complaints.append("not delivered within 30 s")
            recovery_s = time.monotonic() - since
            if one.counts().parked:
                complaints.append("something is still parked")
            consumer.wait_for(set(names))
            return Trial(
                names,
                names,
                consumer.event_ids(),
                one.counts().acknowledged,
                recovery_s,
                tuple(complaints),
            )
