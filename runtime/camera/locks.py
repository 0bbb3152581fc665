"""What a camera was kept from changing by itself."""

from typing import NamedTuple


class Locks(NamedTuple):
    """Phrases on what is held, and sentences on what may still change against the configuration's wish."""

    held: tuple[str, ...] = ()
    unlocked: tuple[str, ...] = ()
