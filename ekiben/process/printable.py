"""Text made safe to show: without control characters, without passwords."""

from __future__ import annotations

import re
from typing import Final

# Control characters but for line feed and tab, and what reverses or breaks the order of a line.
_UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with every control character as an escape, such as `\\x1b`: none reaches the terminal.

    Line feeds and tabs stay. A file's header, a server's answer or a model's name could otherwise move the
    cursor, change colours, or write over what was printed before.
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def without_password(url: str) -> str:
    """A URL as it may be shown: `***` stands for a user and a password, whatever they hold."""
    return re.sub(r"(password=)[^&]*", r"\1***", re.sub(r"//.*@", "//***@", url))
