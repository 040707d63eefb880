"""An OpenID Connect issuer: RS256, discovery and JWKS, with a key that lives as long as the stack's data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from local.services.sign_in import SignIn

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

AUDIENCE = "recorder"
USERS = ("alice", "bob")
KEY_ID = "local"
TOKEN_SECONDS = 30 * 24 * 3600
# The tokens of those who sign in end soon, as they would in earnest: the page has to renew them.
SIGNED_IN_SECONDS = 300


class Issuer:
    """Makes access tokens, signs people in, and publishes at `url` what is needed to check the tokens.

    `signed_in_seconds` is how long the tokens of those who sign in are good.
    """

    def __init__(self, directory: Path, url: str, *, signed_in_seconds: int = SIGNED_IN_SECONDS) -> None:
        self.url = url
        self._key = _key(directory / "key.pem")
        self._sign_in = SignIn(self.signed, USERS, AUDIENCE, lifetime=signed_in_seconds)

    def token(self, subject: str, **claims: object) -> str:
        """Return an access token for the API, valid for 30 days unless the claims say otherwise."""
        return self.signed({"aud": AUDIENCE, "sub": subject}, TOKEN_SECONDS, **claims)

    def signed(self, claims: dict[str, object], lifetime: int, **more: object) -> str:
        """Return a token of this issuer that is valid for `lifetime` seconds unless the claims say otherwise."""
        now = int(time.time())
        standard = {"iss": self.url, "iat": now, "exp": now + lifetime}
        return jwt.encode(
            {**standard, **claims, **more}, self._key, algorithm="RS256", headers={"kid": KEY_ID}
        )

    def app(self) -> Starlette:
        """Return the web application to be served at `url`."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/.well-known/jwks.json", self._keys),
                *self._sign_in.routes(),
            ],
            middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"])],
        )

    async def _discovery(self, _: Request) -> JSONResponse:
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/jwks.json",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "end_session_endpoint": f"{self.url}/logout",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def _keys(self, _: Request) -> JSONResponse:
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return JSONResponse({"keys": [{**key, "kid": KEY_ID, "alg": "RS256", "use": "sig"}]})


def _key(path: Path) -> rsa.RSAPrivateKey:
    if path.exists():
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if isinstance(key, rsa.RSAPrivateKey):
            return key
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return key
