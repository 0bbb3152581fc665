"""Which machine a figure was measured on."""

import platform


def processor() -> str:
    """Number and name of the processor's cores, as Linux tells them."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            names = [
                line.partition(":")[2].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return f"{len(names) or '?'} x {names[0] if names else platform.processor() or 'unknown'}"
