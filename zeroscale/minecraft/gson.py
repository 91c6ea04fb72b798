"""Read JSON as the game does: with Gson's reader in its lenient mode. Pure.

Source: google/gson, `JsonReader.setLenient`. It takes a byte order mark, comments (`//`, `#`, `/* */`), strings and
names in single quotes or in none, `;` for `,`, `=` and `=>` for `:`, and nothing where an array may have a value, which
counts as null. Other than Gson, this reader also takes a comma at the end of an object.
"""

from __future__ import annotations

import re

DEEPEST = 32
"""Levels of arrays and objects; a list of the game has two."""

MOST_TOKENS = 600_000
"""Tokens that are read, in 800 ms; a list of the game of 4 MiB has fewer, even without a space."""

PREFIX = ")]}'\n"
"""What may stand before the document."""

_SKIPPED = r"(?:[ \t\r\n]++|//[^\r\n]*+|\#[^\r\n]*+|/\*.*?\*/)*+"
_TOKEN = re.compile(
    _SKIPPED
    + r"""(?:
    (?P<mark>[\[\]{}:,;]|=>?)
    |"(?P<double>[^"\\]*+(?:\\.[^"\\]*+)*+)"
    |'(?P<single>[^'\\]*+(?:\\.[^'\\]*+)*+)'
    |(?P<word>[^"'/\\;\#={}\[\]:,\ \t\f\r\n][^/\\;\#={}\[\]:,\ \t\f\r\n]*+)
    |(?P<end>\Z)
    )""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_ESCAPES = {"t": "\t", "b": "\b", "n": "\n", "r": "\r", "f": "\f"} | {each: each for each in "\n'\"\\/"}
_MARKS = {";": ",", "=": ":", "=>": ":"}
_KEYWORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_STRINGS = ("text", "word")
_NAMES = {"text": "a text", "word": "a word", "end": "the end"}


def decode(content: bytes) -> object:
    """Decode a document. What has no quotes is a string, numbers as well; only true, false and null are not.

    :returns: the document; None if it is empty.
    :raises ValueError: Gson refuses it, too, or it has more than `MOST_TOKENS`.
    """
    text = content.decode("utf-8", "replace").removeprefix("\ufeff").removeprefix(PREFIX)
    reader = _Reader(text)
    if reader.token == "end":
        return None
    value = reader.value(0)
    reader.expect("end")
    return value


class _Reader:
    """Reads one token ahead.

    :ivar token: the next token: a punctuation mark, "text" for a string in quotes, "word" for one in none, "end".
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._string = ""
        self._tokens = 0
        self.token = ""
        self._advance()

    def expect(self, *tokens: str) -> str:
        """Pass over one of these tokens, and return it.

        :raises ValueError: the next token is another one.
        """
        token = self.token
        if token not in tokens:
            expected = " or ".join(_NAMES.get(each, repr(each)) for each in tokens)
            raise ValueError(f"no JSON: line {self._line} has {_NAMES.get(token, repr(token))}, not {expected}")
        if token != "end":
            self._advance()
        return token

    def value(self, depth: int) -> object:
        """Read a value, after `depth` opening brackets."""
        if depth > DEEPEST:
            raise ValueError(f"JSON with more than {DEEPEST} levels")
        match self.token:
            case "[":
                return self._array(depth + 1)
            case "{":
                return self._object(depth + 1)
        string = self._string
        return _KEYWORDS.get(string.lower(), string) if self.expect(*_STRINGS) == "word" else string

    @property
    def _line(self) -> int:
        return self._text.count("\n", 0, self._position) + 1

    def _array(self, depth: int) -> list[object]:
        self._advance()
        values: list[object] = []
        if self.token == "]":
            self._advance()
            return values
        while True:
            values.append(None if self.token in ("]", ",") else self.value(depth))
            if self.expect(",", "]") == "]":
                return values

    def _object(self, depth: int) -> dict[str, object]:
        self._advance()
        members: dict[str, object] = {}
        while self.token != "}":
            name = self._string
            self.expect(*_STRINGS)
            self.expect(":")
            members[name] = self.value(depth)
            if self.token != "}":
                self.expect(",")
        self._advance()
        return members

    def _advance(self) -> None:
        found = _TOKEN.match(self._text, self._position)
        if found is None:
            raise ValueError(
                f"no JSON: in line {self._line} or later, a text or comment has no end, or a character is stray"
            )
        self._tokens += 1
        if self._tokens > MOST_TOKENS:
            raise ValueError(f"JSON with more than {MOST_TOKENS} texts, words and marks")
        self._position = found.end()
        kind = found.lastgroup or ""
        string = found[kind]
        match kind:
            case "mark":
                self.token = _MARKS.get(string, string)
            case "double" | "single":
                self.token = "text"
                self._string = _unescaped(string) if "\\" in string else string
            case _:
                self.token, self._string = kind, string


def _unescaped(string: str) -> str:
    plain = _ESCAPE.sub(_character, string)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # an escape may be half a pair


def _character(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    if found[2] not in _ESCAPES:
        raise ValueError(f"no JSON: \\{found[2]} is no escape sequence")
    return _ESCAPES[found[2]]
