"""Signing in at the local issuer, as a browser and a client do it."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from local.processes.server import Server
from local.services.issuer import AUDIENCE, Issuer
from local.services.sign_in import CLIENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE: Final = "http://127.0.0.1:8000/console"
VERIFIER: Final = secrets.token_urlsafe(48)
CHALLENGE: Final = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
ASKED: Final = {
    "client_id": CLIENT,
    "redirect_uri": PAGE,
    "response_type": "code",
    "scope": "openid offline_access",
    "state": "s1",
    "nonce": "n1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[httpx.Client]:
    """A browser with its cookies, at the issuer."""
    with Server() as server:
        listener = server.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.serve(Issuer(tmp_path, url).app(), listener)
        with httpx.Client(base_url=url) as browser:
            yield browser


def code(browser: httpx.Client, user: str = "alice", **asked: str) -> str:
    answer = browser.post("/login", params={**ASKED, **asked}, data={"user": user})
    assert answer.status_code == 303
    back = urlsplit(answer.headers["location"])
    query = parse_qs(back.query)
    assert (f"{back.scheme}://{back.netloc}{back.path}", query["state"]) == (PAGE, ["s1"])
    return query["code"][0]


def exchange(browser: httpx.Client, code: str, **given: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT,
        "code": code,
        "redirect_uri": PAGE,
        "code_verifier": VERIFIER,
    }
    return browser.post("/token", data={**form, **given})


def renew(browser: httpx.Client, token: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "client_id": CLIENT, "refresh_token": token}
    return browser.post("/token", data=form)


def test_the_page_offers_each_user(browser: httpx.Client) -> None:
    page = browser.get("/authorize", params=ASKED).text
    assert 'value="alice"' in page
    assert 'value="bob"' in page


def test_a_code_is_good_for_tokens_of_that_user(browser: httpx.Client) -> None:
    issuer = str(browser.base_url).rstrip("/")
    tokens = exchange(browser, code(browser, "bob")).json()
    key = jwt.PyJWKSet.from_dict(browser.get("/.well-known/jwks.json").json()).keys[0]
    access = jwt.decode(tokens["access_token"], key, algorithms=["RS256"], audience=AUDIENCE, issuer=issuer)
    identity = jwt.decode(tokens["id_token"], key, algorithms=["RS256"], audience=CLIENT, issuer=issuer)
    assert (access["sub"], identity["sub"], identity["nonce"]) == ("bob", "bob", "n1")


def test_a_code_is_good_once_and_for_its_client_only(browser: httpx.Client) -> None:
    once = code(browser)
    assert exchange(browser, once).status_code == 200
    assert exchange(browser, once).json() == {"error": "invalid_grant"}
    for wrong in ({"code_verifier": "another"}, {"redirect_uri": "http://127.0.0.1:9000/console"}):
        assert exchange(browser, code(browser), **wrong).json() == {"error": "invalid_grant"}
    assert exchange(browser, code(browser), client_id="another").json() == {"error": "invalid_client"}


def test_refresh_tokens_rotate_and_an_old_one_ends_them_all(browser: httpx.Client) -> None:
    first = exchange(browser, code(browser)).json()["refresh_token"]
    second = renew(browser, first).json()["refresh_token"]
    third = renew(browser, second).json()["refresh_token"]
    assert renew(browser, first).json() == {"error": "invalid_grant"}
    assert renew(browser, third).json() == {"error": "invalid_grant"}


def test_without_the_scope_there_is_no_refresh_token(browser: httpx.Client) -> None:
    assert "refresh_token" not in exchange(browser, code(browser, scope="openid")).json()


def test_who_is_signed_in_is_not_asked_again_until_they_sign_out(browser: httpx.Client) -> None:
    code(browser)
    assert browser.get("/authorize", params=ASKED).status_code == 303
    assert browser.get("/authorize", params={**ASKED, "prompt": "login"}).status_code == 200
    signed_out = browser.get("/logout", params={"post_logout_redirect_uri": PAGE})
    assert signed_out.headers["location"] == PAGE
    assert browser.get("/authorize", params=ASKED).status_code == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_id", "another"),
        ("redirect_uri", "https://evil.example/console"),
        ("redirect_uri", "http://127.0.0.1:8000/elsewhere"),
        ("response_type", "token"),
        ("code_challenge", ""),
        ("code_challenge_method", "plain"),
    ],
)
def test_nobody_is_sent_anywhere_by_a_wrong_request(browser: httpx.Client, name: str, value: str) -> None:
    assert browser.get("/authorize", params={**ASKED, name: value}).status_code == 400
    assert browser.post("/login", params={**ASKED, name: value}, data={"user": "alice"}).status_code == 400


def test_browsers_of_other_origins_may_ask(browser: httpx.Client) -> None:
    for path in ("/.well-known/openid-configuration", "/.well-known/jwks.json"):
        assert browser.get(path, headers={"origin": PAGE}).headers["access-control-allow-origin"] == "*"
