"""One thing that the doctor has looked at."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["good", "warning", "failed"]
"""failed: the daemon cannot do this part of its work. warning: it can, and less well than it might."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What it is, how it is, and where it is not good, what to do."""

    what: str
    verdict: Verdict
    text: str
    mend: str | None = None

    def line(self) -> str:
        """For people."""
        mend = "" if self.mend is None else f"; {self.mend}"
        return f"{self.verdict:<8}{self.what:<12}{self.text}{mend}"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)
