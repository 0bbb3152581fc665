"""Reads a configuration file, and tells every problem with file, line, key, value and mend.

Relative paths in the file (``camera.source`` when it is a video file, ``scale`` of a region,
``magnification.graph``, ``mqtt.password_file``, ``storage.directory``, ``evidence.folder``,
``page.password_file``, ``page.certificate``, ``page.key``) are taken from the folder of the file, so that
the daemon, the command line and an editor mean the same file wherever they were started. A leading
``~`` is the home folder.
"""

import difflib
import importlib
import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from failure import Failure
from runtime.camera import is_file
from runtime.config import Config
from runtime.config.password_file import credential
from runtime.config.toml_lines import Key, key_lines, nearest_line
from runtime.region_scale import scale_of

# By name, because no single import statement is right for every Python from 3.10 to 3.13.
_toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

SMALLEST = (
    'the smallest configuration is [camera] with source = "...", and one [[regions]] with name, '
    "x, y, width and height"
)


def load(path: Path) -> Config:
    """Read and check the configuration file ``path``.

    Raises:
        Failure: the file cannot be read, is not UTF-8 or TOML, or says something that cannot be;
            one line for each problem.
    """
    return parse(text_of(path), path)


def text_of(path: Path) -> str:
    """What a configuration file says, unchecked. Raises Failure when it cannot be read or is not UTF-8."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise Failure(
            f"{path}: there is no such configuration file; write it or give the path of another "
            f"({SMALLEST})"
        ) from None
    except IsADirectoryError:
        raise Failure(f"{path}: is a folder; give the path of the TOML file in it") from None
    except OSError as error:
        raise Failure(
            f"{path}: cannot be read ({error.strerror}); check its owner and permissions"
        ) from None
    try:
        return raw.decode("utf-8-sig")  # an editor's byte order mark is no mistake of the user's
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Failure(
            f"{path}:{line}: byte 0x{raw[error.start]:02x} is not UTF-8, which TOML has to be; "
            "save the file as UTF-8"
        ) from None


def parse(text: str, where: Path) -> Config:
    """Check the configuration ``text``; ``where`` names it in messages and is where paths start.

    Raises:
        Failure: as ``load`` does.
    """
    try:
        values = _toml.loads(text)
    except _toml.TOMLDecodeError as error:
        raise Failure(_syntax_problem(str(error), text, where)) from None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        lines = key_lines(text)
        problems = [
            (nearest_line(lines, details["loc"]) or 0, _problem(details, lines, where))
            for details in error.errors()
            # A list that holds something is "too short" only because of what is told anyway.
            if not (details["type"] == "too_short" and details["input"])
        ]
        problems.sort(key=lambda problem: problem[0])
        raise Failure("\n".join(_one_line(text) for _, text in problems)) from None
    config = _with_absolute_paths(config, where.parent.absolute())
    _check_scales(config, key_lines(text), where)
    return config


def _with_absolute_paths(config: Config, folder: Path) -> Config:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    def secret(path: Path | None) -> Path | None:
        return None if path is None else (credential(path) or absolute(path))

    source = config.camera.source
    if is_file(source):
        source = str(absolute(Path(source)))
    graph = absolute(config.magnification.graph)
    mqtt = {
        name: secret(getattr(config.mqtt, name))
        for name in ("password_file", "ca_file", "certificate_file", "key_file")
    }
    directory = absolute(config.storage.directory)
    evidence = absolute(config.evidence.folder)
    page = {
        name: secret(getattr(config.page, name)) for name in ("password_file", "certificate", "key")
    }
    regions = tuple(
        region.model_copy(update={"scale": absolute(region.scale)}) for region in config.regions
    )
    return config.model_copy(
        update={
            "camera": config.camera.model_copy(update={"source": source}),
            "regions": regions,
            "magnification": config.magnification.model_copy(update={"graph": graph}),
            "mqtt": config.mqtt.model_copy(update=mqtt),
            "storage": config.storage.model_copy(update={"directory": directory}),
            "evidence": config.evidence.model_copy(update={"folder": evidence}),
            "page": config.page.model_copy(update=page),
        }
    )


def _check_scales(config: Config, lines: dict[Key, int], where: Path) -> None:
    """A scale that cannot be used is told at once, and not when the camera is already open."""
    problems = []
    for number, region in enumerate(config.regions):
        try:
            scale_of(region)
        except Failure as failure:
            key = ("regions", number, "scale")
            line = nearest_line(lines, key)
            place = f"{where}:{line}" if line is not None else f"{where}"
            problems.append(f"{place}: {_key_text(key)}: {failure}")
    if problems:
        raise Failure("\n".join(problems))


def _syntax_problem(message: str, text: str, where: Path) -> str:
    """``tomllib`` puts the place into its message: "Invalid value (at line 3, column 7)"."""
    what, _, place = message.partition(" (at ")
    what = what[:1].lower() + what[1:]
    match = re.match(r"line (\d+), column (\d+)", place)
    if match is None:
        last = text.count("\n") + 1
        return f"{where}:{last}: not valid TOML: {what} at the end of the file; complete it"
    line, column = int(match.group(1)), int(match.group(2))
    shown = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
    mend = "mend that line, or the end of the one above"
    if what.startswith("cannot overwrite") or "twice" in what or "mutate" in what:
        mend = "it is already set above; keep one of the two"
    return f"{where}:{line}: not valid TOML: {what} at column {column} of `{shown}`; {mend}"


def _problem(details: ErrorDetails, lines: dict[Key, int], where: Path) -> str:
    """One line: file, line, key, value, what is wrong, mend."""
    line = nearest_line(lines, details["loc"])
    place = f"{where}:{line}" if line is not None else f"{where}"
    return f"{place}: {_sentence(details, details['loc'])}"


def wrong_value(details: ErrorDetails, table: Key) -> str:
    """One line on a value of ``table`` that did not come from a file: key, value, what is wrong, mend."""
    return _one_line(_sentence(details, (*table, *details["loc"])))


def _sentence(details: ErrorDetails, key: Key) -> str:
    kind = details["type"]
    if kind == "missing":
        return f"{_key_text(key)} is missing; {_how_to_add(key)}"
    if kind == "value_error":  # from the models' own checks, which are whole sentences already
        sentence = details["msg"].removeprefix("Value error, ")
        return f"{_key_text(key)}: {sentence}" if key else sentence
    return f"{_key_text(key)} = {_value_text(details['input'])}: {_wrong(details, key)}"


def _one_line(text: str) -> str:
    """Line breaks and other marks that a value may hold, as TOML writes them."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def _key_text(key: Key) -> str:
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _value_text(value: Any) -> str:
    """A value as TOML writes it, shortened."""
    if isinstance(value, dict):
        return "{...}"
    if isinstance(value, list):
        return "[]" if not value else "[...]"
    plain = not isinstance(value, (bool, str))
    text = str(value) if plain else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _how_to_add(key: Key) -> str:
    model, name = _model_at(key[:-1]), str(key[-1])
    field = model.model_fields[name] if model is not None else None
    if field is not None and _list_of(field.annotation) is not None:
        return f"add at least one [[{name}]]; {SMALLEST}"
    if field is not None and _table(field.annotation) is not None:
        return f"add [{name}]; {SMALLEST}"
    meaning = f" ({field.title})" if field is not None and field.title else ""
    table = key[:-1]
    if table and isinstance(table[-1], int):
        return f"add {name} = ...{meaning} to this [[{_key_text(table[:-1])}]]"
    return f"add {name} = ...{meaning} to [{_key_text(table)}]"


def _wrong(details: ErrorDetails, key: Key) -> str:
    """What is wrong with a value, in plain words, with the mend."""
    kind = details["type"]
    limits = {
        name: f"{value:g}" if isinstance(value, float) else value
        for name, value in details.get("ctx", {}).items()
    }
    plain = {
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "string_type": 'must be text, in "quotes"',
        "path_type": 'must be a path, in "quotes"',
        "string_too_short": "must not be empty",
        "too_short": "must not be empty; give at least one",
        "finite_number": "must be a finite number, not nan or inf",
        "greater_than": f"must be above {limits.get('gt')}",
        "greater_than_equal": f"must be at least {limits.get('ge')}",
        "less_than": f"must be below {limits.get('lt')}",
        "less_than_equal": f"must be at most {limits.get('le')}",
    }
    if kind in plain:
        return plain[kind]
    name = _key_text(key)
    if kind == "extra_forbidden":
        return _unknown_key(key)
    if kind == "string_pattern_mismatch":
        return _pattern_words(str(limits.get("pattern")))
    if kind == "literal_error":
        known = str(limits.get("expected")).replace("'", '"')
        choices = re.findall(r'"(.*?)"', known)
        return f"must be {known}" + _did_you_mean(str(details["input"]), choices)
    if kind == "tuple_type" and isinstance(details["input"], dict):
        return f"must be a list of tables; write [[{name}]] with double brackets"
    if kind == "tuple_type":
        return 'must be a list, in [brackets] and each text in "quotes"'
    if kind.startswith("date_"):
        return "must be a date such as 2026-11-20, without quotes"
    if kind in ("model_type", "model_attributes_type"):
        return f"must be a table; write [{name}] on a line of its own and its keys below"
    message = details["msg"]
    return message[:1].lower() + message[1:]


def _unknown_key(key: Key) -> str:
    model = _model_at(key[:-1])
    known = list(model.model_fields) if model is not None else []
    return "unknown key" + (
        _did_you_mean(str(key[-1]), known) or f"; known here are: {', '.join(known)}"
    )


def _did_you_mean(given: str, known: list[str]) -> str:
    nearest = difflib.get_close_matches(given, known, n=1)
    return f'; did you mean "{nearest[0]}"?' if nearest else ""


def _pattern_words(pattern: str) -> str:
    if "{1,64}" in pattern:
        return "may hold only letters A-Z, digits, _ and -, from 1 to 64 of them"
    if "+#" in pattern:
        return "must be MQTT topic levels: no space, no + or #, no / at the start"
    if "253" in pattern:
        return "must be the name of a host or its address, without http:// and port"
    if "[^:" in pattern:
        return "must not be empty or hold a colon, which HTTP puts between user and password"
    return f"must match the pattern {pattern}"


def _model_at(key: Key) -> type[BaseModel] | None:
    """The model of the table at ``key``; None where there is none."""
    model: type[BaseModel] | None = Config
    for part in key:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return None
        annotation = model.model_fields[part].annotation
        model = _table(_list_of(annotation) or annotation)
    return model


def _list_of(annotation: Any) -> Any:
    """X of ``tuple[X, ...]``, else None."""
    return typing.get_args(annotation)[0] if typing.get_origin(annotation) is tuple else None


def _table(annotation: Any) -> type[BaseModel] | None:
    """The model of an annotation such as ``Rectangle`` or ``Rectangle | None``."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = typing.get_args(annotation)[0]
    return (
        annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
    )
