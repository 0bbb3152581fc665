"""What a device installs may be used and passed on by whoever uses the kit."""

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ALLOWED = re.compile(
    r"\b(MIT|BSD|Apache|PSF|Python Software Foundation|ISC|HPND|Unlicense|CC0|0BSD|Zlib)\b"
    r"|MPL|Mozilla Public|Eclipse Public|EPL-2.0|BSL-1.0",
    re.IGNORECASE,
)


def licence_of(package: Distribution) -> str:
    """What its metadata says, in whichever of the three places that they may be in."""
    told = package.metadata
    classifiers = [each for each in told.get_all("Classifier") or [] if each.startswith("License")]
    expression = told.get("License-Expression") or ""
    # Some put the whole text there: its first line is its name.
    text = (told.get("License") or "").strip().partition("\n")[0]
    return " / ".join(filter(None, [expression, *classifiers, text])) or "none"


def installed_for(name: str) -> dict[str, Distribution]:
    """A package, and all that it needs here without extras."""
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # for another Python or system
            continue
        for line in found[name].requires or []:
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                waiting.append(needed.name)
    return found


def test_everything_that_a_device_installs_has_a_permissive_licence() -> None:
    packages = installed_for("tremorscope")
    assert {"numpy", "paho-mqtt", "onnxruntime", "pydantic-core"} <= {
        name.lower().replace("_", "-") for name in packages
    }
    others = {
        name: licence_of(package)
        for name, package in packages.items()
        if not ALLOWED.search(licence_of(package))
    }
    assert others == {}
