"""Classes of characters that untrusted text must not bring into a log, a terminal or a message.

Each is the inside of a set of a regular expression, such as `[...]`. Sources: ECMA-48 (C0, DEL, C1), Unicode UAX 9.
"""

HIGH_CONTROLS = "\x7f-\x9f"
"""DEL and C1. C0 is spelled where it is used: what becomes of tabs and newlines differs."""

DIRECTIONS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""What changes the direction of the text around it."""

LINE_SEPARATORS = "\u2028\u2029"

SURROGATES = "\ud800-\udfff"
"""Halves of pairs, which no encoding can write."""

INVISIBLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
"""What is a letter or a mark to Unicode, so that `str.isprintable` is true, and is drawn as nothing: fillers, variation
selectors, the empty braille pattern."""
