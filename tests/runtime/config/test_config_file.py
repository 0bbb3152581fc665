from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibration.scale import KnownLength
from calibration.scale_file import made, write
from failure import Failure
from runtime.config.file import load, parse
from runtime.config.password_file import password_in

GOOD = """\
name = "bridge"

[camera]
source = "clip.mp4"

[[regions]]
name = "mast"
x = 10
y = 20
width = 64
height = 48
"""


def problems(text: str) -> list[str]:
    with pytest.raises(Failure) as told:
        parse(text, Path("bridge.toml"))
    return str(told.value).splitlines()


def test_a_good_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bridge.toml"
    path.write_text("\ufeff" + GOOD.replace("\n", "\r\n"), encoding="utf-8")  # as Windows may save
    config = load(path)
    assert (config.name, config.regions[0].width) == ("bridge", 64)


def test_a_credential_is_where_systemd_has_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD + '[mqtt]\nusername = "a"\npassword_file = "credential:mqtt-password"\n'
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(Failure, match="add LoadCredential=mqtt-password:FILE to the unit"):
        parse(text, tmp_path / "bridge.toml")
    (tmp_path / "mqtt-password").write_text("\n")  # what the unit sets for a file that is missing
    with pytest.raises(Failure, match="no credential of this name"):
        parse(text, tmp_path / "bridge.toml")
    (tmp_path / "mqtt-password").write_text("secret")
    assert parse(text, tmp_path / "bridge.toml").mqtt.password_file == tmp_path / "mqtt-password"
    with pytest.raises(Failure, match="no credential of this name"):
        parse(text.replace("mqtt-password", "../x"), tmp_path / "bridge.toml")


def test_a_credential_is_no_mistake_where_there_are_none_but_has_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    text = GOOD + '[mqtt]\nusername = "a"\npassword_file = "credential:mqtt-password"\n'
    file = parse(text, tmp_path / "bridge.toml").mqtt.password_file
    assert file is not None
    with pytest.raises(Failure, match="in a service alone"):
        password_in(file, "mqtt.password_file")


def test_relative_paths_start_at_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    text = GOOD + (
        '[magnification]\ngraph = "graphs/big.onnx"\n[mqtt]\npassword_file = "/etc/secret"\n'
        '[storage]\ndirectory = "~/alerts"\n'
    )
    config = parse(text, tmp_path / "bridge.toml")
    assert config.camera.source == str(tmp_path / "clip.mp4")
    assert config.magnification.graph == tmp_path / "graphs" / "big.onnx"
    assert config.mqtt.password_file == Path("/etc/secret")
    assert config.storage.directory == Path("/home/someone/alerts")


def keep_scale(path: Path) -> None:
    method = KnownLength(
        start_px=(0, 0), end_px=(100, 0), click_se_px=1, length_mm=200, length_se_mm=1
    )
    write(path, made(method, (1280, 720)))


def test_the_scale_of_a_region_lies_beside_the_file(tmp_path: Path) -> None:
    keep_scale(tmp_path / "mast.json")
    config = parse(GOOD + 'scale = "mast.json"\n', tmp_path / "bridge.toml")
    assert config.regions[0].scale == tmp_path / "mast.json"


def test_a_scale_that_cannot_be_used_is_told_with_line_and_mend(tmp_path: Path) -> None:
    where = tmp_path / "bridge.toml"
    with pytest.raises(Failure) as told:
        parse(GOOD + 'scale = "none.json"\n', where)
    assert str(told.value) == (
        f"{where}:12: regions[0].scale: {tmp_path}/none.json: there is no such scale file; make one "
        "with: tremorscope scale"
    )
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(Failure, match=r"bridge\.toml:12: regions\[0\]\.scale: .*not a scale file"):
        parse(GOOD + 'scale = "bad.json"\n', where)


def test_an_alert_in_millimetres_needs_a_scale_in_each_region_that_it_watches(
    tmp_path: Path,
) -> None:
    keep_scale(tmp_path / "mast.json")
    other = '[[regions]]\nname = "deck"\nx = 1\ny = 1\nwidth = 9\nheight = 9\n'
    rule = '[[alerts]]\nname = "sway"\nquantity = "displacement_peak_mm"\nraise_above = 3\n'
    text = GOOD + 'scale = "mast.json"\n' + other + rule
    with pytest.raises(
        Failure, match=r'"sway" is on displacement_peak_mm, but region "deck" has no'
    ):
        parse(text, tmp_path / "bridge.toml")
    config = parse(text + 'regions = ["mast"]\n', tmp_path / "bridge.toml")
    assert config.alerts[0].quantity == "displacement_peak_mm"


RULE = '[[alerts]]\nname = "sway"\n'
IN_MM = 'scale = "mast.json"\n'


def test_a_profile_needs_no_threshold_and_takes_its_confirmation(tmp_path: Path) -> None:
    keep_scale(tmp_path / "mast.json")
    text = GOOD + IN_MM + RULE + 'profile = "din4150-3-line2"\n'
    [shown] = parse(text, tmp_path / "bridge.toml").alerts
    assert (shown.quantity, shown.raise_above, shown.is_confirmed) == ("limit_ratio", 1.0, False)
    text += 'confirmed_by = "A. Engineer"\nconfirmed_on = 2026-11-20\n'
    [confirmed] = parse(text, tmp_path / "bridge.toml").alerts
    assert confirmed.is_confirmed
    assert confirmed.confirmed_on == date(2026, 11, 20)


def test_a_profile_needs_a_scale(tmp_path: Path) -> None:
    with pytest.raises(
        Failure, match='"sway" is on bs7385-2-line1, but region "mast" has no scale'
    ):
        parse(GOOD + RULE + 'profile = "bs7385-2-line1"\n', tmp_path / "bridge.toml")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        (
            "",
            "bridge.toml:12: alerts[0].raise_above is missing; add raise_above = ... (Raise above this "
            "value; with a profile 1.0, the limit itself) to this [[alerts]]",
        ),
        (
            "raise_above = 2\nclear_below = 3",
            "bridge.toml:12: alerts[0]: clear_below = 3 must not be above raise_above = 2",
        ),
        (
            'raise_above = 2\nquantity = "ppv_mm"',
            'bridge.toml:15: alerts[0].quantity = "ppv_mm": must be ',
        ),
        (
            'raise_above = 2\nquantity = "band_rms_px"',
            "bridge.toml:12: alerts[0]: quantity = band_rms_px needs band = { low_hz = ..., "
            "high_hz = ... }",
        ),
        (
            "raise_above = 2\nband = { low_hz = 1, high_hz = 2 }",
            "bridge.toml:12: alerts[0]: band is for band_rms_px and band_rms_mm, not for "
            "signal_to_noise; remove it, or set quantity to one of them",
        ),
        (
            'quantity = "band_rms_px"\nraise_above = 2\nband = { low_hz = 3, high_hz = 2 }',
            "bridge.toml:16: alerts[0].band: low_hz = 3 must be below high_hz = 2",
        ),
        (
            'quantity = "band_rms_px"\nraise_above = 2\nband = { low_hz = 3, high_hz = 9, step = 2 }',
            "bridge.toml:16: alerts[0].band.step = 2: unknown key; known here are: low_hz, high_hz",
        ),
        (
            'quantity = "sta_lta"\nraise_above = 4\nsta_s = 30',
            "bridge.toml:12: alerts[0]: sta_s = 30 must be below lta_s = 30",
        ),
        (
            "raise_above = 2\nlatch = true\nlongest_s = 60",
            "bridge.toml:12: alerts[0]: latch keeps the alert until somebody acknowledges it, longest_s "
            "ends it; give one of the two",
        ),
        (
            "raise_above = 2\nhold_off_s = -1",
            "bridge.toml:15: alerts[0].hold_off_s = -1: must be at least 0",
        ),
        (
            "raise_above = 2\nat_least_regions = 2",
            'bridge.toml: alert "sway" wants 2 regions together and watches 1; lower at_least_regions, '
            "or let it watch more regions",
        ),
        (
            "raise_above = 2\ncoincidence_s = 61",
            "bridge.toml:15: alerts[0].coincidence_s = 61: must be at most 60",
        ),
        (
            'profile = "din4150-3-line4"',
            'bridge.toml:14: alerts[0].profile: "din4150-3-line4" is not known; did you mean '
            '"din4150-3-line',
        ),
        (
            'profile = "din4150-3-line2"\nquantity = "ppv_mm_s"',
            "bridge.toml:12: alerts[0]: profile has its own quantity, ppv_mm_s over its limit; remove "
            "quantity = ppv_mm_s",
        ),
        (
            'quantity = "limit_ratio"\nraise_above = 1',
            "bridge.toml:12: alerts[0]: quantity = limit_ratio needs a profile; add profile = ...",
        ),
        (
            'profile = "din4150-3-line2"\nconfirmed_by = "A"',
            "bridge.toml:12: alerts[0]: confirmed_by is given without confirmed_on; a profile is "
            "confirmed by both",
        ),
        (
            'profile = "din4150-3-line2"\nconfirmed_on = 2026-11-20',
            "bridge.toml:12: alerts[0]: confirmed_on is given without confirmed_by; a profile is "
            "confirmed by both",
        ),
        (
            'profile = "din4150-3-line2"\nconfirmed_by = "A"\nconfirmed_on = "yesterday"',
            'bridge.toml:16: alerts[0].confirmed_on = "yesterday": must be a date such as 2026-11-20, '
            "without quotes",
        ),
        (
            'raise_above = 2\nconfirmed_by = "A"\nconfirmed_on = 2026-11-20',
            "bridge.toml:12: alerts[0]: confirmed_by and confirmed_on confirm a profile, and there is "
            "none; add profile = ..., or remove them",
        ),
        (
            "raise_above = 2\n[health.dark]\nbelow_gray = 9",
            'bridge.toml:16: health.dark.below_gray = 9: unknown key; did you mean "below_grey"?',
        ),
        (
            "raise_above = 2\n[health.offline]\nraise_after_s = -1",
            "bridge.toml:16: health.offline.raise_after_s = -1: must be at least 0",
        ),
        (
            "raise_above = 2\n[health.occluded]\nregions_share = 1.5",
            "bridge.toml:16: health.occluded.regions_share = 1.5: must be at most 1",
        ),
    ],
)
def test_a_problem_of_an_alert_or_of_health_is_told(rule: str, told: str) -> None:
    [line] = problems(f"{GOOD}{RULE}{rule}\n")
    assert line.startswith(told)


@pytest.mark.parametrize("source", ["/dev/video0", "csi:0", "rtsp://host/a", "gst: videotestsrc"])
def test_a_source_that_is_no_file_stays_as_it_is(source: str, tmp_path: Path) -> None:
    config = parse(GOOD.replace("clip.mp4", source), tmp_path / "bridge.toml")
    assert config.camera.source == source


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("width = 64", "width = 4", "bridge.toml:10: regions[0].width = 4: must be at least 8"),
        ("x = 10", "x = 1.5", "bridge.toml:8: regions[0].x = 1.5: must be a whole number"),
        ("x = 10", 'x = "a"', 'bridge.toml:8: regions[0].x = "a": must be a whole number'),
        (
            "height = 48",
            "hieght = 48\nheight = 48",
            'bridge.toml:11: regions[0].hieght = 48: unknown key; did you mean "height"?',
        ),
        (
            "height = 48",
            "colour = true\nheight = 48",
            "bridge.toml:11: regions[0].colour = true: unknown key; "
            "known here are: x, y, width, height, name, reference, scale, baseline_hz",
        ),
        (
            "height = 48",
            "",
            "bridge.toml:6: regions[0].height is missing; add height = ... (Height (px)) to this "
            "[[regions]]",
        ),
        (
            'source = "clip.mp4"',
            "",
            "bridge.toml:3: camera.source is missing; add source = ... (Source) to [camera]",
        ),
        ('"clip.mp4"', '""', 'bridge.toml:4: camera.source = "": must not be empty'),
        ('"clip.mp4"', "7", 'bridge.toml:4: camera.source = 7: must be text, in "quotes"'),
        (
            'name = "bridge"',
            'name = "old bridge"',
            'bridge.toml:1: name = "old bridge": may hold only letters A-Z, digits, _ and -, from '
            "1 to 64 of them",
        ),
        (
            'name = "bridge"',
            "magnification.gain = nan",
            "bridge.toml:1: magnification.gain = nan: must be a finite number, not nan or inf",
        ),
        (
            'name = "bridge"',
            "magnification = { gain = 0 }",
            "bridge.toml:1: magnification.gain = 0: must be at least 1",
        ),
        (
            'name = "bridge"',
            "magnification = { gain = inf }",
            "bridge.toml:1: magnification.gain = inf: must be a finite number, not nan or inf",
        ),
        (
            "height = 48",
            'height = 48\n[magnification]\nmode = "statik"',
            'bridge.toml:13: magnification.mode = "statik": must be "static", "dynamic" or '
            '"band-pass"; did you mean "static"?',
        ),
        (
            "height = 48",
            "height = 48\n[magnification]\nlow_hz = 9.0",
            "bridge.toml:12: magnification: low_hz = 9 must be below high_hz = 5",
        ),
        (
            "height = 48",
            "height = 48\n[vibration]\nwindow_s = 1e-308",
            "bridge.toml:13: vibration.window_s = 1e-308: must be at least 0.001",
        ),
        (
            "height = 48",
            "height = 48\n[vibration]\nlow_hz = 9.0\nhigh_hz = 8.0",
            "bridge.toml:12: vibration: low_hz = 9 must be below high_hz = 8",
        ),
        (
            "height = 48",
            'height = 48\n[mqtt]\ntopic = "/x"',
            'bridge.toml:13: mqtt.topic = "/x": must be MQTT topic levels: no space, no + or #, '
            "no / at the start",
        ),
        (
            "height = 48",
            "height = 48\n[mqqt]\nport = 1",
            'bridge.toml:12: mqqt = {...}: unknown key; did you mean "mqtt"?',
        ),
        (
            "[[regions]]",
            "[regions]",
            "bridge.toml:6: regions = {...}: must be a list of tables; write [[regions]] with "
            "double brackets",
        ),
        (
            "height = 48",
            'height = 48\n[[regions]]\nname = "mast"\nx = 1\ny = 1\nwidth = 9\nheight = 9',
            'bridge.toml: two regions are named "mast"; give each its own name',
        ),
        (
            "height = 48",
            "height = 48\nreference = true",
            "bridge.toml: every region is a reference, so nothing is measured; add a region on the "
            "structure, or remove reference = true",
        ),
        (
            '[camera]\nsource = "clip.mp4"',
            'camera = "clip.mp4"',
            'bridge.toml:3: camera = "clip.mp4": must be a table; write [camera] on a line of its '
            "own and its keys below",
        ),
    ],
)
def test_a_problem_is_told_with_line_key_value_and_mend(old: str, new: str, told: str) -> None:
    assert problems(GOOD.replace(old, new, 1)) == [told]


def test_several_problems_are_told_in_the_order_of_lines() -> None:
    text = GOOD.replace("height = 48", "").replace("x = 10", "x = -1").replace("name =", "nam =", 1)
    told = problems(text)
    assert [line.split(" ")[0] for line in told] == [
        "bridge.toml:1:",
        "bridge.toml:6:",
        "bridge.toml:8:",
    ]


def test_an_empty_file_tells_what_to_write() -> None:
    camera, regions = problems("")
    assert camera.startswith("bridge.toml: camera is missing; add [camera]")
    assert "add at least one [[regions]]" in regions


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = 1\nb = \n", "bridge.toml:2: not valid TOML: invalid value at column 5 of `b =`"),
        ('a = "x', "bridge.toml:1: not valid TOML: unterminated string at the end of the file"),
        ("a = 1\na = 2\n", "bridge.toml:2: not valid TOML: cannot overwrite a value"),
        ("[a]\n[a]\n", "bridge.toml:2: not valid TOML: cannot declare"),
    ],
)
def test_broken_toml_is_told_with_its_line(text: str, told: str) -> None:
    (line,) = problems(text)
    assert line.startswith(told)


def test_a_missing_file_a_folder_and_other_encodings_are_told(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="there is no such configuration file; write it"):
        load(tmp_path / "none.toml")
    with pytest.raises(Failure, match="is a folder"):
        load(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "a"\n# br\xfccke\n'.encode("latin-1"))
    with pytest.raises(Failure, match=r"latin\.toml:2: byte 0xfc is not UTF-8"):
        load(latin)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_whatever_the_text_there_is_a_failure_or_a_configuration(text: str) -> None:
    with pytest.raises(Failure):  # no random text holds a camera and a region
        parse(text, Path("bridge.toml"))
