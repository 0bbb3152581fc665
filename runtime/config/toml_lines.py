"""On which line of a TOML text each key stands, which ``tomllib`` does not tell.

``tomllib`` must have accepted the text: this walks its structure, and checks nothing.
"""

import re

Key = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")  # a number, a date, true or false
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRINGS = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\])*"'),
    re.compile(r"'[^']*'"),
)


def key_lines(text: str) -> dict[Key, int]:
    """The line (from 1) of every key, table header and array element of a valid TOML ``text``.

    A key is the tuple that leads to the value, as pydantic reports it: ``("regions", 1, "width")``.
    """
    return _Walk(text).run()


def nearest_line(lines: dict[Key, int], key: Key) -> int | None:
    """The line of ``key``, else that of the innermost table around it; None at the top level."""
    for length in range(len(key), 0, -1):
        if key[:length] in lines:
            return lines[key[:length]]
    return None


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Key, int] = {}
        self._tables: dict[Key, int] = {}  # array of tables -> its newest index

    def run(self) -> dict[Key, int]:
        table: Key = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()
        return self._lines

    def _header(self) -> Key:
        array = self._text.startswith("[[", self._at)
        line = self._line()
        self._at += 2 if array else 1
        parts = self._dotted_key()
        self._at += 2 if array else 1
        key = self._with_indices(parts)
        if array:
            index = self._tables.get(key, -1) + 1
            self._tables[key] = index
            self._lines.setdefault(key, line)
            key = (*key, index)
        self._lines.setdefault(key, line)
        return key

    def _with_indices(self, parts: list[str]) -> Key:
        """``[regions.x]`` means the newest of the ``[[regions]]``."""
        key: Key = ()
        for position, part in enumerate(parts):
            key = (*key, part)
            if position < len(parts) - 1 and key in self._tables:
                key = (*key, self._tables[key])
        return key

    def _pair(self, table: Key) -> None:
        line = self._line()
        key = table
        for part in self._dotted_key():
            key = (*key, part)
            self._lines.setdefault(key, line)
        self._at += 1  # the equals sign
        self._skip_blank()
        self._value(key)

    def _dotted_key(self) -> list[str]:
        parts = []
        while True:
            self._skip_blank()
            if self._text[self._at] in "\"'":
                parts.append(self._string()[1:-1])
            else:
                match = _BARE_KEY.match(self._text, self._at)
                assert match is not None, "tomllib accepts no other keys"
                parts.append(match.group())
                self._at = match.end()
            self._skip_blank()
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _value(self, key: Key) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(key)
        elif first == "{":
            self._inline_table(key)
        else:
            match = _SCALAR.match(self._text, self._at)
            assert match is not None, "tomllib accepts no empty value"
            self._at = match.end()

    def _array(self, key: Key) -> None:
        self._at += 1
        index = 0
        while not self._closes("]"):
            self._lines.setdefault((*key, index), self._line())
            self._value((*key, index))
            index += 1

    def _inline_table(self, key: Key) -> None:
        self._at += 1
        while not self._closes("}"):
            self._pair(key)

    def _closes(self, bracket: str) -> bool:
        """Skip blanks and one comma; True, and past it, where ``bracket`` comes."""
        self._skip_blank()
        if self._text[self._at] == ",":
            self._at += 1
            self._skip_blank()
        if self._text[self._at] == bracket:
            self._at += 1
            return True
        return False

    def _string(self) -> str:
        for pattern in _STRINGS:
            match = pattern.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                return match.group()
        raise AssertionError("tomllib accepts no open string")

    def _skip_blank(self) -> None:
        match = _BLANK.match(self._text, self._at)
        assert match is not None, "matches the empty text too"
        self._at = match.end()

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1
