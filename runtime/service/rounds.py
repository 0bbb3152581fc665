"""Whether every thread still comes round: what a watchdog has to know."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Rounds:
    """When each thread last came to the beginning of its loop; each is written by its own thread."""

    _at_s: dict[str, float] = field(default_factory=dict)

    def came(self, thread: str) -> None:
        """This thread is at the beginning of its loop."""
        self._at_s[thread] = time.monotonic()

    def left(self, thread: str) -> None:
        """This thread has come to its end, as it should."""
        self._at_s.pop(thread, None)

    def longest(self) -> tuple[str, float]:
        """The thread that has been away for longest, and for how long (s); 0 where there is none."""
        now_s = time.monotonic()
        away_s = {thread: now_s - at_s for thread, at_s in list(self._at_s.items())}
        return max(away_s.items(), key=lambda item: item[1], default=("", 0.0))
