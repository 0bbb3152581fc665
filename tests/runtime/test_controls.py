"""What may be changed while the magnification runs, what may not, and who hears of it."""

import math
import threading
from typing import Any

import pytest

from failure import Failure
from runtime.config import Magnification, Rectangle
from runtime.controls import Controls

AREA = {"x": 8, "y": 16, "width": 32, "height": 24}


def controls(engine_px: tuple[int, int] | None = None, **settings: Any) -> Controls:
    one = Controls(Magnification(**settings), engine_px=engine_px)
    one.picture_is((64, 48))
    return one


def test_all_of_a_change_holds_at_once_and_the_rest_stays() -> None:
    one = controls(reference_s=7)
    changes = {"gain": 50, "mode": "band-pass", "low_hz": 2, "high_hz": 8.5, "area": AREA}
    wanted = Magnification(
        gain=50, mode="band-pass", low_hz=2, high_hz=8.5, area=Rectangle(**AREA), reference_s=7
    )
    assert one.change(changes) == wanted
    assert one.settings == wanted
    assert one.change({"area": None}).area is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"gain": 501}, "magnification.gain = 501: must be at most 500"),
        ({"gain": True}, "magnification.gain = true: must be a number"),
        ({"gain": "50"}, 'magnification.gain = "50": must be a number'),
        ({"gain": math.nan}, "must be a finite number"),
        ({"gain": {1}}, "must be a number"),
        ({"gain": object()}, "not one that JSON knows"),
        ({"mode": "dynamc"}, 'did you mean "dynamic"'),
        ({"low_hz": 5e-324}, "low_hz"),  # whose product with another is zero
        ({"low_hz": 5}, "low_hz = 5 must be below high_hz = 5"),
        ({"gain": 30, "high_hz": -1}, r"magnification\.high_hz = -1: must be at least 0.001"),
        ({"area": {"x": 0}}, r"magnification\.area\.y is missing"),
        ({"area": 5}, r"magnification\.area = 5: must be a table"),
        ({"area": {**AREA, "z": 1}}, r"magnification\.area\.z = 1: unknown key"),
        ({"area": {**AREA, "x": 33}}, r"32x24 px at 33,16\) does not lie in the picture of 64x48"),
        ({"engine": "tensorrt"}, r"magnification\.engine cannot be changed while it runs"),
        ({"gain": 30, "zoom\n": 2}, r'"zoom\\n" is no setting of the magnification'),
        ({5: 2}, '"5" is no setting'),
    ],
)
def test_a_refused_change_is_told_in_one_line_and_changes_nothing(
    changes: dict[Any, Any], sentence: str
) -> None:
    one = controls()
    before = one.settings
    with pytest.raises(Failure, match=sentence) as refusal:
        one.change(changes)
    assert "\n" not in str(refusal.value)
    assert one.settings is before


def test_an_area_is_refused_before_the_size_of_pictures_is_known() -> None:
    one = Controls(Magnification())
    with pytest.raises(Failure, match="before the camera has delivered a picture"):
        one.change({"area": AREA})
    assert one.change({"gain": 3}).gain == 3


def test_an_engine_of_one_size_keeps_the_size_of_its_area_and_may_move_it() -> None:
    one = controls((32, 24), area=Rectangle(**AREA))
    assert one.change({"area": {**AREA, "x": 0}}).area == Rectangle(**{**AREA, "x": 0})
    with pytest.raises(Failure, match="cannot be 64x48 px, because the engine takes 32x24 px"):
        one.change({"area": None})
    with pytest.raises(Failure, match="cannot be 16x24 px, because the engine takes 32x24 px"):
        one.change({"area": {**AREA, "width": 16}})


def test_where_nothing_is_magnified_nothing_can_be_changed() -> None:
    one = controls(enabled=False)
    with pytest.raises(Failure, match="nothing is magnified here"):
        one.change({"gain": 3})


def test_who_asked_is_told_what_holds_and_every_change_but_no_refusal() -> None:
    one = controls()
    told: list[float] = []
    one.tell(lambda settings: told.append(settings.gain))
    one.change({"gain": 3})
    one.change({"gain": 3})
    with pytest.raises(Failure):
        one.change({"gain": 0})
    one.change({"gain": 4})
    assert told == [20, 3, 4]


def test_a_reader_sees_no_half_of_a_change() -> None:
    one = controls()
    done = threading.Event()

    def turn() -> None:
        for number in range(300):
            one.change({"gain": 10 + number % 2, "high_hz": 10 + number % 2})
        done.set()

    one.change({"gain": 10, "high_hz": 10})
    thread = threading.Thread(target=turn)
    thread.start()
    seen = set()
    while not done.is_set():
        now = one.settings
        seen.add((now.gain, now.high_hz))
    thread.join()
    assert seen <= {(10, 10), (11, 11)}
