"""``tremorscope doctor``: is everything there that this configuration needs, and does it work?

A file for each part; each gives findings, and none changes anything. The camera is opened as the daemon
opens it, so the daemon must not run meanwhile.
"""

from collections.abc import Callable, Iterator

from failure import Failure
from runtime.config import Config
from runtime.doctor.board import board_findings
from runtime.doctor.broker import broker_findings
from runtime.doctor.camera import camera_findings
from runtime.doctor.engine import engine_findings
from runtime.doctor.finding import Finding as Finding
from runtime.doctor.place import place_findings

Look = Callable[[Config], Iterator[Finding]]


def examine(config: Config, *, seconds: float = 5.0) -> Iterator[Finding]:
    """Every finding, as soon as it is made; the camera is watched for ``seconds``.

    A look that fails itself is a finding, too: the others are made all the same.
    """
    looks: dict[str, Look] = {
        "board": board_findings,
        "place": place_findings,
        "engine": engine_findings,
        "broker": broker_findings,
        "camera": lambda config: camera_findings(config, seconds=seconds),
    }
    for name, look in looks.items():
        try:
            yield from look(config)
        except Failure as failure:
            yield Finding(name, "failed", str(failure))
