"""Every setting that a replay used, with its meaning, for the page."""

import html
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from runtime.config import Config

NO_PART = ("mqtt", "home_assistant", "storage", "evidence")
"""Tables that play no part in a replay."""


def settings_rows(config: Config) -> list[list[str]]:
    """Key, value and title, as markup; values that are not the defaults stand out."""
    rows = []
    for key, value, title, changed in _leaves(config, ""):
        shown = html.escape("none" if value is None else str(value))
        rows.append([html.escape(key), f"<b>{shown}</b>" if changed else shown, html.escape(title)])
    return rows


def _leaves(model: BaseModel, above: str) -> Iterator[tuple[str, Any, str, bool]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        key = f"{above}{name}"
        if key in NO_PART:
            continue
        if isinstance(value, BaseModel):
            yield from _leaves(value, f"{key}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            for number, one in enumerate(value):
                yield from _leaves(one, f"{key}[{number}].")
        else:
            shown = ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else value
            changed = field.is_required() or value != field.get_default(call_default_factory=True)
            yield key, shown, field.title or "", changed
