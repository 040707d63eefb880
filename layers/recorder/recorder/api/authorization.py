"""The rights of callers, by the claims of a token whose signature API Gateway has verified."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final, cast

from recorder.errors import UnauthorizedError
from recorder.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Mapping

_ONE_JWT: Final = r"(?ai)(?:bearer )?[\w-]+\.([\w-]+)\.[\w-]+"


def claims_in(authorization: str, subject: str) -> Mapping[str, object]:
    """Return the claims of the token in a header: API Gateway hands lists and objects on as texts nobody can read back.

    Raises UnauthorizedError unless it is one token, and that of `subject`: of two headers API Gateway makes one, and
    which of the two it has verified, nobody can tell.
    """
    token = re.fullmatch(_ONE_JWT, authorization)
    try:
        claims = json_value(_decoded(token[1] if token else ""))
    except ValueError:
        raise UnauthorizedError("the token cannot be read") from None
    if not isinstance(claims, dict) or _subject(claims.get("sub")) != subject:
        raise UnauthorizedError("the token is not that of its subject")
    return cast("dict[str, object]", claims)


def _subject(claim: object) -> object:
    # API Gateway hands numbers on as texts.
    return json.dumps(claim) if isinstance(claim, int | float) else claim


def _decoded(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


def has_scope(claims: Mapping[str, object], scope: str) -> bool:
    """Tell whether claims, as API Gateway hands them on, grant a scope."""
    # A list arrives as "[a b]".
    granted = f"{claims.get('scope', '')} {claims.get('scp', '')}"
    return scope in granted.replace("[", " ").replace("]", " ").split()


def has_claim(claims: Mapping[str, object], path: str, value: str) -> bool:
    """Tell whether a claim has a value, or has it among its values."""
    return value in _values(claims, path)


def allows_room(claims: Mapping[str, object], path: str, room_name: str) -> bool:
    """Tell whether a claim is true, or names a room."""
    return any(value is True or value == room_name for value in _values(claims, path))


def _values(claims: Mapping[str, object], path: str) -> list[object]:
    """Return what a claim holds; a dot leads into an object, unless there is a claim of that very name."""
    name, _, rest = path.partition(".")
    if path in claims or not rest:
        value = claims.get(path)
        return cast("list[object]", value) if isinstance(value, list) else [value]
    inner = claims.get(name)
    return _values(cast("dict[str, object]", inner), rest) if isinstance(inner, dict) else []
