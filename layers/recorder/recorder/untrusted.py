"""Text from outside: checked and cleaned before anything else reads it."""

from __future__ import annotations

import json
import re
from typing import Final

CONTROL_CHARACTERS: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
"""As they stand in a character class of a regular expression (Python, ECMA 262): they forge lines of a log or a
header, and Postgres refuses NUL."""
PRINTABLE: Final = rf"^[^{CONTROL_CHARACTERS}]*$"
_ADDRESS: Final = r"(\w+://)(?:[^\s/@\"]*@)?([^\s/?#\"]*)[^\s\"]*"
# Half a surrogate pair is none of Unicode's characters, but one of Python's.
_UNPRINTABLE: Final = rf"[{CONTROL_CHARACTERS}\ud800-\udfff]"


def printable(text: str) -> bool:
    """Tell whether a text is free of control characters."""
    return re.search(_UNPRINTABLE, text) is None


def cleaned(text: str) -> str:
    """Return a text with spaces in place of its control characters."""
    return text if text.isprintable() else re.sub(_UNPRINTABLE, " ", text)


def hosts_only(text: str) -> str:
    """Return a text with its addresses cut off behind the host: the rest may be a key or a signature."""
    return re.sub(_ADDRESS, r"\1\2", text)


def json_value(text: str | bytes) -> object:
    """Return what a JSON text says. Raises ValueError, whatever is wrong with it."""
    try:
        value: object = json.loads(text)
        # Half a surrogate pair can be read from an escape sequence, and never be written again.
        json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("the JSON is nested too deeply") from None
    return value
