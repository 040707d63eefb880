"""The HTTP API's JWT authorizer, as API Gateway enforces it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import jwt
from pydantic import BaseModel, JsonValue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from local.template.application import JwtConfiguration

# The first class that fits counts. PyJWT's own texts quote the token, and these go into a header.
_DESCRIPTIONS: tuple[tuple[type[Exception], str], ...] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not valid yet"),
    (jwt.InvalidIssuerError, "the token is another issuer's"),
    (jwt.MissingRequiredClaimError, "the token lacks a claim"),
    (jwt.InvalidSignatureError, "the signature is not valid"),
    (jwt.PyJWKClientConnectionError, "the issuer's keys cannot be read"),
    (jwt.PyJWKClientError, "the token is signed with an unknown key"),
    (httpx.HTTPError, "the issuer cannot be asked"),
)


class UnauthorizedError(Exception):
    """The request carries no token, or not a good one; the text is fit for a header."""


class ForbiddenError(Exception):
    """The token is good and lacks the scope that the route asks for; the text is fit for a header."""


class _Discovery(BaseModel):
    issuer: str
    jwks_uri: str


class JwtAuthorizer:
    """Checks tokens against the keys that their issuer publishes."""

    def __init__(self, configuration: JwtConfiguration) -> None:
        self._configuration = configuration
        self._keys: jwt.PyJWKClient | None = None

    def claims(self, authorization: str, scopes: Sequence[str]) -> dict[str, JsonValue]:
        """Return the claims of the token in an Authorization header; blocking, since keys may have to be fetched."""
        token = authorization.removeprefix("Bearer ").removeprefix("bearer ").strip()
        if not token:
            raise UnauthorizedError("there is no token")
        try:
            claims: dict[str, JsonValue] = jwt.decode(
                token,
                self._key(token),
                algorithms=["RS256"],
                issuer=self._configuration.issuer,
                options={"require": ["exp"], "verify_aud": False},
            )
        except (jwt.PyJWTError, httpx.HTTPError) as error:
            described = (text for kind, text in _DESCRIPTIONS if isinstance(error, kind))
            raise UnauthorizedError(next(described, "the token is not valid")) from error
        named = claims.get("aud", claims.get("client_id"))
        if not {*self._configuration.audience} & {*(named if isinstance(named, list) else [named])}:
            raise UnauthorizedError("the token is made out for another audience")
        granted = str(claims.get("scope") or claims.get("scp") or "").split()
        if scopes and not {*scopes} & {*granted}:
            raise ForbiddenError("the token lacks the scope")
        return claims

    def _key(self, token: str) -> jwt.PyJWK:
        if self._keys is None:
            answer = httpx.get(f"{self._configuration.issuer}/.well-known/openid-configuration", timeout=5)
            answer.raise_for_status()
            self._keys = jwt.PyJWKClient(_Discovery.model_validate_json(answer.content).jwks_uri)
        return self._keys.get_signing_key_from_jwt(token)


def as_strings(claims: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the claims as API Gateway hands them to a function: every value a text, and none that is null.

    So it was measured: "[a b]" for a list, and JSON for an object.
    """
    return {name: _text(value) for name, value in claims.items() if value is not None}


def _text(value: JsonValue) -> str:
    match value:
        case str():
            return value
        case list():
            return f"[{' '.join(_text(item) for item in value)}]"
        case _:
            return json.dumps(value, separators=(",", ":"))
