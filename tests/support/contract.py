"""Holds requests and answers against docs/openapi.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Mapping

_DOCUMENT: Final[dict[str, object]] = json.loads(
    (Path(__file__).parents[2] / "docs" / "openapi.json").read_text()
)


def check(route: str, status: int, headers: Mapping[str, str], body: str) -> None:
    """Fail unless the document allows this answer on a route, such as `GET /api/video/recordings`."""
    assert _response(route, status), f"{route} is not documented to answer {status}"
    media_type = _media_type(route, status)
    content: object = json.loads(body) if media_type == "application/json" else body
    errors = _errors(route, f"responses/{status}", media_type, content)
    assert not errors, f"{route} answered {status} {body}: {errors}"
    missing = _headers(route, status) - {name.lower() for name in headers}
    assert not missing, f"{route} answered {status} without {missing}"


def check_request(route: str, body: str) -> None:
    """Fail unless the document allows a request with this body on a route."""
    errors = _errors(route, "requestBody", "application/json", json.loads(body))
    assert not errors, f"{route} was asked {body}: {errors}"


def _errors(route: str, part: str, media_type: str, content: object) -> list[str]:
    validator = _validator(route, f"{part}/content/{media_type.replace('/', '~1')}")
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(content)]


@cache
def _validator(route: str, content: str) -> Draft202012Validator:
    method, _, path = route.partition(" ")
    place = f"#/paths/{path.replace('/', '~1')}/{method.lower()}/{content}/schema"
    return Draft202012Validator(
        _DOCUMENT | {"$ref": place}, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


def _media_type(route: str, status: int) -> str:
    [media_type] = cast("dict[str, object]", _response(route, status)["content"])
    return media_type


def _headers(route: str, status: int) -> set[str]:
    documented = cast("dict[str, dict[str, object]]", _response(route, status).get("headers", {}))
    return {name.lower() for name, header in documented.items() if header.get("required")}


@cache
def _response(route: str, status: int) -> dict[str, object]:
    method, _, path = route.partition(" ")
    paths = cast("dict[str, dict[str, dict[str, dict[str, dict[str, object]]]]]", _DOCUMENT["paths"])
    return paths[path][method.lower()]["responses"].get(str(status), {})
