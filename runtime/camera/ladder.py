"""How hard to try: the rungs of the recovery of one camera, as pure decisions on given times."""

from dataclasses import dataclass

from runtime.config.recovery import Recovery

STEADY_S = 10.0
"""A camera that has delivered for so long is well, and its next failure is a new one."""
ARGUS_EVERY_S = 600.0
"""Restarts of NVIDIA's camera service are at least this far apart."""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do after a failure: wait, have Argus restarted or not, and open the camera again."""

    wait_s: float
    restart_argus: bool


class Ladder:
    """Counts one camera's failures and says what comes next. Times are any steady clock's (s)."""

    def __init__(self, recovery: Recovery, *, csi: bool) -> None:
        self._recovery = recovery
        self._argus_after = recovery.argus_after if csi else 0
        self._attempts = 0
        self._trouble_s: float | None = None
        self._good_s: float | None = None
        self._argus_s: float | None = None

    def good(self, now_s: float) -> None:
        """A usable frame has come."""
        if self._good_s is None:
            self._good_s = now_s
        elif now_s - self._good_s >= STEADY_S:
            self._attempts, self._trouble_s = 0, None

    def failed(self, now_s: float) -> Step | None:
        """The camera has failed; None: it is time to give up."""
        self._good_s = None
        if self._trouble_s is None:
            self._trouble_s = now_s
        if now_s - self._trouble_s >= self._recovery.give_up_after_s:
            return None
        doublings = min(self._attempts, 32)
        wait_s = min(self._recovery.first_wait_s * 2**doublings, self._recovery.longest_wait_s)
        self._attempts += 1
        return Step(wait_s, self._argus_is_due(now_s))

    def _argus_is_due(self, now_s: float) -> bool:
        if not 0 < self._argus_after <= self._attempts:
            return False
        if self._argus_s is not None and now_s - self._argus_s < ARGUS_EVERY_S:
            return False
        self._argus_s = now_s
        return True
