"""Signing in at the local issuer: authorization code with PKCE, a page to choose a user, refresh-token rotation."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

CLIENT = "console"
COOKIE = "signed-in"
CODE_SECONDS = 60
# Of codes, and of refresh tokens: the oldest go first.
MOST_KEPT = 1000

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in</title>
<link rel="icon" href="data:,">
<style>
  :root {{ color-scheme: light dark; }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; font: 16px/1.5 system-ui, sans-serif; }}
  main {{ display: grid; gap: 1rem; width: min(100% - 2rem, 20rem); }}
  h1 {{ margin: 0; font-size: 1.5rem; }}
  p {{ margin: 0; }}
  form {{ display: grid; gap: .5rem; }}
  button {{ min-height: 44px; font: inherit; cursor: pointer; }}
</style>
<main>
  <h1>Sign in</h1>
  <p>This is the local stack's own issuer. Nobody needs a password here.</p>
  <form method="post" action="login?{query}">{buttons}</form>
</main>
</html>
"""


@dataclass(frozen=True)
class _Grant:
    """The user who has signed in, and the request for which."""

    user: str
    nonce: str
    scope: str
    redirect_uri: str
    challenge: str
    made_at: float


@dataclass
class _Family:
    """The refresh tokens that came of one sign-in. Only the newest is good; an older one ends them all."""

    user: str
    scope: str
    signed_in_at: int
    ended: bool = False


class SignIn:
    """The endpoints of an issuer at which people sign in.

    `sign` makes a token of claims that is good for so many seconds. Access tokens are made out for `audience`.
    """

    def __init__(
        self,
        sign: Callable[[dict[str, object], int], str],
        users: Sequence[str],
        audience: str,
        *,
        lifetime: int,
    ) -> None:
        self._sign = sign
        self._users = users
        self._audience = audience
        self._lifetime = lifetime
        self._codes: OrderedDict[str, _Grant] = OrderedDict()
        self._refreshing: OrderedDict[str, tuple[_Family, bool]] = OrderedDict()

    def routes(self) -> list[Route]:
        """Return the routes, relative to the issuer's URL."""
        return [
            Route("/authorize", self._authorize),
            Route("/login", self._login, methods=["POST"]),
            Route("/token", self._token, methods=["POST"]),
            Route("/logout", self._logout),
        ]

    async def _authorize(self, request: Request) -> Response:
        asked = request.query_params
        if problem := _problem(asked):
            return HTMLResponse(f"<!doctype html><title>Sign in</title><p>{escape(problem)}", 400)
        user = request.cookies.get(COOKIE, "")
        if user in self._users and asked.get("prompt") != "login":
            return self._back(asked, user)
        buttons = "".join(f'<button name="user" value="{user}">{user}</button>' for user in self._users)
        return HTMLResponse(_PAGE.format(query=escape(urlencode(asked)), buttons=buttons))

    async def _login(self, request: Request) -> Response:
        asked = request.query_params
        user = (await _form(request)).get("user", "")
        if _problem(asked) or user not in self._users:
            return HTMLResponse("<!doctype html><title>Sign in</title><p>There is no such user.", 400)
        answer = self._back(asked, user)
        answer.set_cookie(COOKIE, user, httponly=True, samesite="lax")
        return answer

    async def _logout(self, request: Request) -> Response:
        back = request.query_params.get("post_logout_redirect_uri", "")
        answer: Response = (
            RedirectResponse(back, 303) if _may_return_to(back) else HTMLResponse("<p>Signed out.")
        )
        answer.delete_cookie(COOKIE)
        return answer

    def _back(self, asked: Mapping[str, str], user: str) -> Response:
        code = secrets.token_urlsafe(32)
        uri = asked["redirect_uri"]
        scope = asked.get("scope", "openid")
        grant = _Grant(user, asked.get("nonce", ""), scope, uri, asked["code_challenge"], time.monotonic())
        _keep(self._codes, code, grant)
        query = urlencode({"code": code, "state": asked.get("state", "")})
        return RedirectResponse(f"{uri}?{query}", 303)

    async def _token(self, request: Request) -> Response:
        form = await _form(request)
        if form.get("client_id") != CLIENT:
            return _refused("invalid_client")
        match form.get("grant_type"):
            case "authorization_code":
                return self._exchanged(form)
            case "refresh_token":
                return self._renewed(form)
            case _:
                return _refused("unsupported_grant_type")

    def _exchanged(self, form: Mapping[str, str]) -> Response:
        grant = self._codes.pop(form.get("code", ""), None)
        if (
            grant is None
            or time.monotonic() - grant.made_at > CODE_SECONDS
            or form.get("redirect_uri") != grant.redirect_uri
            or _challenge(form.get("code_verifier", "")) != grant.challenge
        ):
            return _refused("invalid_grant")
        return self._tokens(_Family(grant.user, grant.scope, int(time.time())), nonce=grant.nonce)

    def _renewed(self, form: Mapping[str, str]) -> Response:
        token = form.get("refresh_token", "")
        family, newest = self._refreshing.get(token, (None, False))
        if family is None or family.ended:
            return _refused("invalid_grant")
        if not newest:
            family.ended = True
            return _refused("invalid_grant")
        self._refreshing[token] = (family, False)
        return self._tokens(family)

    def _tokens(self, family: _Family, *, nonce: str = "") -> Response:
        claims: dict[str, object] = {"sub": family.user}
        name, signed_in_at = family.user.capitalize(), family.signed_in_at
        identity = {**claims, "aud": CLIENT, "name": name, "auth_time": signed_in_at}
        if nonce:
            identity["nonce"] = nonce
        access = {**claims, "aud": self._audience, "scope": family.scope, "jti": secrets.token_urlsafe(8)}
        answer: dict[str, object] = {
            "access_token": self._sign(access, self._lifetime),
            "id_token": self._sign(identity, self._lifetime),
            "token_type": "Bearer",
            "expires_in": self._lifetime,
            "scope": family.scope,
        }
        if "offline_access" in family.scope.split():
            refresh = secrets.token_urlsafe(32)
            _keep(self._refreshing, refresh, (family, True))
            answer["refresh_token"] = refresh
        return JSONResponse(answer, headers={"cache-control": "no-store"})


def _problem(asked: Mapping[str, str]) -> str:
    """Return what is wrong with an authorize request, or nothing."""
    if asked.get("client_id") != CLIENT:
        return "There is no such client."
    if not _may_return_to(asked.get("redirect_uri", "")):
        return "The redirect URI must be /console on this machine."
    if asked.get("response_type") != "code":
        return "The response type must be code."
    if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
        return "PKCE with S256 is needed."
    return ""


def _may_return_to(uri: str) -> bool:
    parts = urlsplit(uri)
    return parts.hostname in {"127.0.0.1", "localhost"} and parts.path == "/console" and not parts.query


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl((await request.body()).decode(errors="replace")))


def _refused(error: str) -> Response:
    return JSONResponse({"error": error}, 400)


def _keep[Value](kept: OrderedDict[str, Value], key: str, value: Value) -> None:
    kept[key] = value
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
