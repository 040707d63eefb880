"""The Prefer header (RFC 7240): wishes that may be ignored, so one that cannot be read is."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_WORD: Final = rf"(?:{_NAME}|{_QUOTED})"
_PARAMETER: Final = rf"[ \t]*;[ \t]*(?:{_NAME}(?:[ \t]*=[ \t]*{_WORD})?)?"
_PREFERENCE: Final = (
    rf"(?a)[ \t]*(?P<name>{_NAME})(?:[ \t]*=[ \t]*(?P<value>{_WORD}))?(?:{_PARAMETER})*[ \t]*"
)
# A comma parts two preferences, but not within a quoted text, which may lack its end.
_ELEMENT: Final = rf'(?s)(?:[^",]|{_QUOTED})+|".*'
_ESCAPED: Final = r"\\(.)"
_SECONDS: Final = "[0-9]{1,9}"


def seconds_to_wait(header: str) -> int:
    """Return how many seconds the caller is willing to wait; 0 where the header has no usable wish of that kind."""
    value = preferences(header).get("wait", "")
    return int(value) if re.fullmatch(_SECONDS, value) else 0


def preferences(header: str) -> dict[str, str]:
    """Return the preferences of a header by their names in small letters; of two with one name the first counts."""
    found: dict[str, str] = {}
    for element in re.findall(_ELEMENT, header):
        preference = re.fullmatch(_PREFERENCE, element)
        if preference is not None:
            found.setdefault(preference["name"].lower(), _unquoted(preference["value"] or ""))
    return found


def _unquoted(word: str) -> str:
    return re.sub(_ESCAPED, r"\1", word[1:-1]) if word.startswith('"') else word
