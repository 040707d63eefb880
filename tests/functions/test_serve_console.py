"""The function that serves the page, as `sam build` lays it out."""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

import pytest

from tests.support.events import event

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).parents[2]
SETTINGS: Final = {
    "JWT_ISSUER": "https://issuer.example.com/pool",
    "CONSOLE_CLIENT_ID": "page-1",
    "CONSOLE_TOKEN_ORIGIN": "https://auth.example.com/oauth2/token",
    "CONSOLE_AUTHORIZE_PARAMETERS": "scope=openid+offline_access&audience=https%3A%2F%2Fapi.example.com%2F%3C",
    "BUCKET_URL": "https://team.s3.eu-west-1.amazonaws.com",
}
PROGRAM: Final = """
import json, sys
before = set(sys.modules)
import app
answers = [app.lambda_handler(each, None) for each in json.load(sys.stdin)]
print(json.dumps({"answers": answers, "modules": sorted(set(sys.modules) - before)}))
"""

type Answer = dict[str, object]


class Ask(Protocol):
    """Asks a new environment of the function, with some settings of its own, and returns the answers."""

    def __call__(self, *requests: object, **settings: str) -> list[Answer]: ...


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve_console")
    make = ["make", "--silent", "--file", "requirements/Makefile", "build-ServeConsole"]
    subprocess.run(make, cwd=ROOT, env={**os.environ, "ARTIFACTS_DIR": str(folder)}, check=True)
    return folder


@pytest.fixture
def ask(folder: Path) -> Ask:
    def ask(*requests: object, **settings: str) -> list[Answer]:
        return cast("list[Answer]", run(folder, requests, settings)["answers"])

    return ask


def run(folder: Path, requests: object, settings: Mapping[str, str]) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", **SETTINGS, **settings},
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        check=True,
    )
    return cast("dict[str, object]", json.loads(done.stdout))


def get(path: str, **headers: str) -> dict[str, object]:
    return {"rawPath": path, "headers": {name.replace("_", "-"): value for name, value in headers.items()}}


def headers(answer: Answer) -> dict[str, str]:
    return cast("dict[str, str]", answer["headers"])


def test_every_address_of_the_page_is_the_page(ask: Ask) -> None:
    page, recording = ask(event("serve_console_page"), event("serve_console_recording"))
    assert page == recording
    assert page["statusCode"] == 200
    assert headers(page)["content-type"] == "text/html; charset=utf-8"


def test_the_page_knows_its_deployment(ask: Ask) -> None:
    (page,) = ask(get("/console"))
    found = re.search(r'<script type="application/json" id="settings">(.*?)</script>', str(page["body"]))
    assert found
    assert "<" not in found[1]
    described = json.loads((ROOT / "docs/openapi.json").read_text())
    assert json.loads(found[1]) == {
        "authority": SETTINGS["JWT_ISSUER"],
        "clientId": "page-1",
        "authorize": {"scope": "openid offline_access", "audience": "https://api.example.com/<"},
        "startFields": sorted(described["components"]["schemas"]["StartRequest"]["properties"]),
    }


def test_the_entry_is_asked_for_each_time_and_told_when_it_is_the_same(ask: Ask) -> None:
    (page,) = ask(get("/console"))
    assert headers(page)["cache-control"] == "no-cache"
    (same,) = ask(get("/console", if_none_match=f"W/{headers(page)['etag']}"))
    assert same["statusCode"] == 304
    (changed,) = ask(get("/console", if_none_match=headers(page)["etag"]), CONSOLE_CLIENT_ID="page-2")
    assert changed["statusCode"] == 200


def test_files_are_kept_for_ever_and_come_as_the_browser_takes_them(ask: Ask) -> None:
    (page,) = ask(get("/console"))
    paths = re.findall(r'(?:src|href)="(/console/assets/[^"]+)"', str(page["body"]))
    assert len(paths) == 3
    for path in paths:
        brotli, zipped, plain = ask(
            get(path, accept_encoding="gzip, deflate, br"), get(path, accept_encoding="gzip"), get(path)
        )
        assert {headers(each)["cache-control"] for each in (brotli, zipped, plain)} == {
            "public, max-age=31536000, immutable"
        }
        assert (headers(brotli)["content-encoding"], headers(zipped)["content-encoding"]) == ("br", "gzip")
        assert "content-encoding" not in headers(plain)
        assert gzip.decompress(base64.b64decode(str(zipped["body"]))) == base64.b64decode(str(plain["body"]))
        assert all(each["isBase64Encoded"] is True for each in (brotli, zipped, plain))


def test_licences_are_told_and_what_is_no_file_of_the_page_is_not(ask: Ask) -> None:
    licences, unknown = ask(event("serve_console_licences"), event("serve_console_unknown_file"))
    assert (licences["statusCode"], unknown["statusCode"]) == (200, 404)
    (plain,) = ask(get("/console/licences.txt"))
    text = base64.b64decode(str(plain["body"])).decode()
    assert all(f"{name} " in text for name in ("preact", "hls.js", "media-chrome", "oidc-client-ts"))


def test_the_policy_lets_the_page_reach_four_places_and_run_nothing_else(ask: Ask) -> None:
    (page,) = ask(get("/console"))
    policy = dict(each.split(" ", 1) for each in headers(page)["content-security-policy"].split("; "))
    bucket = "https://team.s3.eu-west-1.amazonaws.com"
    styles = policy.pop("style-src").split()
    assert styles[0] == "'self'"
    assert all(each.startswith("'sha256-") for each in styles[1:])
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "font-src": "'self'",
        "img-src": f"'self' {bucket}",
        "media-src": f"'self' blob: {bucket}",
        "worker-src": "blob:",
        "connect-src": f"'self' {bucket} https://issuer.example.com https://auth.example.com",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_every_answer_carries_the_security_headers(ask: Ask) -> None:
    for answer in ask(get("/console"), get("/console/licences.txt"), get("/console/assets/none.js")):
        assert headers(answer)["referrer-policy"] == "no-referrer"
        assert headers(answer)["x-content-type-options"] == "nosniff"
        assert headers(answer)["x-frame-options"] == "DENY"


def test_it_starts_without_what_a_bare_handler_lacks(folder: Path) -> None:
    modules = cast("list[str]", run(folder, [get("/console")], {})["modules"])
    heavy = {"asyncio", "boto3", "botocore", "hashlib", "pathlib", "pydantic", "ssl", "typing"}
    assert not {name.partition(".")[0] for name in modules} & heavy
