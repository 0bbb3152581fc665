"""Configurations that make no sense, by the thousand."""

import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.campaign import Plan
from benchmarks.faults.tally import Row, Trial
from failure import Failure
from runtime.config import Config
from runtime.config.file import load

A_TRIAL = 50
"""10,000 files at 200 trials."""
_SOUND = """name = "bridge"

[camera]
source = "gst: videotestsrc"
width = 640

[[regions]]
name = "mast"
x = 10
y = 10
width = 40
height = 40

[[alerts]]
name = "sway"
quantity = "displacement_rms_px"
raise_above = 0.5
raise_after_s = 1.0

[mqtt]
host = "broker.local"
port = 1883
keepalive_s = 15

[magnification]
gain = 20
mode = "band-pass"
low_hz = 1.0
high_hz = 5.0

[page]
enabled = true
port = 8080

[storage]
directory = "state"
"""
_VALUES = (
    *(
        '""',
        "0",
        "-1",
        "1e400",
        "nan",
        "inf",
        "true",
        "[]",
        "{}",
        '"\\u0000"',
        "99999999999999999999",
    ),
    *(
        "1979-05-27",
        "'''",
        '"unfinished',
        "[[[[]]]]",
        "{a = 1, a = 2}",
        '"../../etc"',
        "= =",
        '"\u202e"',
    ),
    *('"credential:x"', '"x" # "', "0x7fffffff", "1_0", "+.5", '"' + "x" * 5000 + '"'),
)
_LINES = (
    *("[camera]", "[[camera]]", "[regions]", "[mqtt.x]", "a.b.c = 1", "[", "]]", "\x00", "\ufeff"),
    *("[[alerts]]", "[evidence]", "name = 'again'", "x = 1", "[storage]\nfolder = 3", "\u2028"),
)


def rows(plan: Plan) -> Iterator[Row]:
    row = Row(
        f"{A_TRIAL * plan.trials} fuzzed configurations",
        "each loads, or is refused in sentences; nothing is written",
    )
    folder = plan.folder / "configurations"
    folder.mkdir()
    path = folder / "tremorscope.toml"
    refused = 0
    for number in range(plan.trials):
        chance, complaints = random.Random(f"{plan.seed} configurations {number}"), []
        for _ in range(A_TRIAL):
            path.write_bytes(content(chance))
            try:
                if not isinstance(load(path), Config):
                    complaints.append("no configuration")
            except Failure as failure:
                refused += 1
                if not str(failure).strip() or "Traceback" in str(failure):
                    complaints.append("refused without a sentence")
            except Exception as error:
                kept = path.read_bytes()[:400]
                complaints.append(f"{type(error).__name__}: {error} for {kept!r}")
            if [one.name for one in folder.iterdir()] != [path.name]:
                complaints.append("something was written")
        row.add(Trial((), (), (), complaints=tuple(complaints)))
    row.notes.append(f"{refused} of {A_TRIAL * plan.trials} were refused, each in sentences")
    yield row


def content(chance: random.Random) -> bytes:
    """A sound file with one to four things changed; at times bytes that are no text."""
    lines = _SOUND.splitlines()
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(lines))
        kind = chance.randrange(6)
        if kind == 0:
            lines[place] = lines[place].split("=")[0] + "= " + chance.choice(_VALUES)
        elif kind == 1:
            del lines[place]
        elif kind == 2:
            lines.insert(place, chance.choice(_LINES))
        elif kind == 3:
            lines.insert(chance.randrange(len(lines)), lines[place])
        elif kind == 4 and lines[place]:
            letter = chance.randrange(len(lines[place]))
            mark = chr(chance.choice([chance.randrange(32, 127), chance.randrange(0x2FF)]))
            lines[place] = lines[place][:letter] + mark + lines[place][letter + 1 :]
        else:
            lines[place] = lines[place][: chance.randrange(len(lines[place]) + 1)]
    data = "\n".join(lines).encode()
    if chance.random() < 0.1:
        begin = chance.randrange(len(data))
        data = data[:begin] + chance.randbytes(chance.choice([1, 20])) + data[begin + 1 :]
    return data


def sound(folder: Path) -> Config:
    """What is changed loads, unchanged."""
    path = folder / "sound.toml"
    path.write_text(_SOUND)
    return load(path)
