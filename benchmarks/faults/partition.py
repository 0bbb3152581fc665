"""The network between daemon and broker goes away without a word: packets vanish, no connection is closed.

The broker runs in a network namespace of its own, with one cable to the daemon and one to the consumer.
Unplugging the far end of the daemon's cable is what it sees of a switch that lost its power.
"""

import os
import queue
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.faults.broker import Broker, wait_until
from benchmarks.faults.campaign import Impossible, Plan, alert, is_delivered, publishing
from benchmarks.faults.consumer import Consumer
from benchmarks.faults.tally import Row, Trial
from runtime.delivery.outbox import Outbox

AT_ONCE = 8
BURST = 20


def rows(plan: Plan) -> Iterator[Row]:
    """Partitions of 0.1 to 6 s; some are over before anybody notices them."""
    places: queue.SimpleQueue[int] = queue.SimpleQueue()
    first = AT_ONCE * (os.getpid() % 31)  # two campaigns at a time have addresses of their own
    for place in range(first, first + AT_ONCE):
        places.put(place)
    row = Row("network partition (namespace, packets vanish)")
    yield plan.run(row, partial(trial, places), at_once=AT_ONCE)


def trial(places: "queue.SimpleQueue[int]", chance: random.Random, folder: Path) -> Trial:
    place = places.get()
    try:
        with _namespace(place) as name:
            return _trial(name, place, chance, folder)
    finally:
        places.put(place)


def _trial(namespace: str, place: int, chance: random.Random, folder: Path) -> Trial:
    broker = Broker(
        folder / "broker",
        host=f"10.213.{place}.2",
        inside=["ip", "netns", "exec", namespace],
    )
    with broker, Consumer(broker, host=f"10.214.{place}.2") as consumer:
        names = [f"{number}" for number in range(BURST)]
        begin, lasts_s = chance.randrange(BURST), chance.uniform(0.1, 6.0)
        with publishing(broker, Outbox(folder / "outbox.sqlite")) as one:
            wait_until(lambda: one.counts().connected)
            for number, each in enumerate(names):
                if number == begin:
                    _run("ip", "-n", namespace, "link", "set", "daemon", "down")
                one.publish_alert(alert(each))
                time.sleep(chance.uniform(0.0, 0.02))
            time.sleep(lasts_s)
            _run("ip", "-n", namespace, "link", "set", "daemon", "up")
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


@contextmanager
def _namespace(place: int) -> Iterator[str]:
    """A namespace with two cables, ``daemon`` and ``consumer``, to this one."""
    name = f"faults-{place}"
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    _run("ip", "netns", "add", name)
    try:
        for number, cable in ((213, "daemon"), (214, "consumer")):
            near = f"flt-{cable[0]}{place}"
            subprocess.run(["ip", "link", "del", near], capture_output=True, check=False)
            _run(*f"ip link add {near} type veth peer name {cable} netns {name}".split())
            _run(*f"ip addr add 10.{number}.{place}.1/24 dev {near}".split())
            _run(*f"ip link set {near} up".split())
            _run(*f"ip -n {name} addr add 10.{number}.{place}.2/24 dev {cable}".split())
            _run(*f"ip -n {name} link set {cable} up".split())
        yield name
    finally:
        _run("ip", "netns", "del", name)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise Impossible("network namespaces need ip; install Debian's iproute2") from None
    except subprocess.CalledProcessError as error:
        raise Impossible(
            f"network namespaces need root and CAP_NET_ADMIN ({error.stderr.strip()})"
        ) from None
