"""Write docs/openapi.json, which Powertools makes of the contract and of the handlers' docstrings.

With `--check` nothing is written, and the exit code is 1 where the file is not up to date.
"""

import ast
import inspect
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Final, TypedDict, cast

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.openapi import models
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse, OpenAPIResponseHeader
from pydantic import ConfigDict, with_config

from recorder.api.endpoint import RETRY_AFTER_SECONDS, Request, error_answer
from recorder.contract import schemas
from tools.http_contract import OPERATIONS, RECORDING_PATH, Input, Operation, Success

ROOT: Final = Path(__file__).parent.parent
DOCUMENT: Final = ROOT / "docs" / "openapi.json"

type Json = dict[str, object]


class GatewayErrorJson(TypedDict):
    """An error that API Gateway answers by itself."""

    message: str
    """The error for a person."""


_ASKED: Final = Request({"requestContext": {"requestId": "Yc3xGhVnFiAEMyg="}})
_LOCATION: Final[OpenAPIResponseHeader] = {
    "description": "Where the recording is.",
    "schema": {"type": "string", "format": "uri-reference"},
    "examples": {"recording": {"value": RECORDING_PATH}},
}
_APPLIED: Final[OpenAPIResponseHeader] = {
    "description": "The wish to wait, where it was granted.",
    "schema": {"type": "string", "pattern": "^wait=[0-9]+$"},
    "examples": {"waited": {"value": "wait=2"}},
}
_RETRY_AFTER: Final[OpenAPIResponseHeader] = {
    "description": "Seconds to wait before trying again.",
    "schema": {"type": "string", "pattern": "^[0-9]+$"},
    "examples": {"soon": {"value": str(RETRY_AFTER_SECONDS)}},
}
_USER: Final = models.HTTPBearer(
    bearerFormat="JWT", description="An access token of the OIDC provider; the user is its `sub`."
)
_LIVEKIT: Final = models.APIKey.model_validate(
    {
        "in": "header",
        "name": "Authorization",
        "description": "LiveKit's signature: a JWT (HS256, without `Bearer`) whose claim `sha256` is the body's.",
    }
)
_SERVER: Final = models.Server(
    url="https://{api}.execute-api.{region}.amazonaws.com",
    variables={
        "api": models.ServerVariable(default="api", description="The API's id."),
        "region": models.ServerVariable(default="us-east-1", description="The stack's region."),
    },
)
_FORMATS: Final = {"Id": "uuid", "Time": "date-time"}


def generate() -> str:
    """Return the document."""
    for model in (*vars(schemas).values(), GatewayErrorJson):
        if isinstance(model, type) and model.__module__ in {schemas.__name__, __name__}:
            with_config(ConfigDict(use_attribute_docstrings=True))(model)
    app = APIGatewayHttpResolver()
    for operation in OPERATIONS:
        _add(app, operation)
    return _finished(
        app.get_openapi_json_schema(
            title="Recorder",
            version=version("recorder"),
            description="Server-side recording for teams that run LiveKit.",
            security_schemes={"user": _USER, "livekit": _LIVEKIT},
            servers=[_SERVER],
            tags=[
                models.Tag(name="Recordings", description="A user's own recordings; nobody sees another's."),
                models.Tag(name="Links", description="Sharing a recording with people who have no account."),
                models.Tag(
                    name="LiveKit", description="What LiveKit reports; nothing has to be configured there."
                ),
            ],
        )
    )


def _add(app: APIGatewayHttpResolver, operation: Operation) -> None:
    summary, description = _documentation(operation.function)
    of_one = operation.for_livekit and "id" in operation.takes
    app.route(
        operation.path.replace("{", "<").replace("}", ">"),
        operation.method,
        summary=summary,
        description=description,
        operation_id=operation.function + ("_of_one" if of_one else ""),
        responses=_responses(operation),
        security=[] if operation.for_anybody else [{"livekit" if operation.for_livekit else "user": []}],
        tags=[
            "LiveKit" if operation.for_livekit else "Links" if "link" in operation.function else "Recordings"
        ],
    )(_signed(operation.takes))


def _documentation(function: str) -> tuple[str, str]:
    """Return what a handler says of itself: the module in short, the function at length."""
    module = ast.parse((ROOT / "functions" / function / "app.py").read_text())
    [handler] = [
        each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == "lambda_handler"
    ]
    summary = (ast.get_docstring(module) or "").partition(": ")[2]
    return summary[:1].upper() + summary[1:], ast.get_docstring(handler) or ""


def _signed(takes: Mapping[str, Input]) -> Callable[[], None]:
    """Return a function whose signature tells Powertools what is taken."""

    def route() -> None:
        """Serve nothing: only the signature is read."""

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        for name, (annotation, default) in takes.items()
    ]
    # The returned type makes the errors' schemas known; the answers refer to them.
    returns = schemas.ErrorJson | GatewayErrorJson
    route.__signature__ = inspect.Signature(parameters, return_annotation=returns)  # type: ignore[attr-defined]
    return route


def _responses(operation: Operation) -> dict[int, OpenAPIResponse]:
    answers = {status: _success(success) for status, success in operation.succeeds.items()}
    refused: dict[HTTPStatus, Json] = defaultdict(dict)
    for error in (*operation.refuses, Exception()):
        answer = error_answer(error, _ASKED)
        body: Json = json.loads(cast("str", answer["body"]))
        refused[HTTPStatus(cast("int", answer["statusCode"]))][cast("str", body["code"])] = body
    gateway = _gateway_refuses(operation)
    for status in sorted({*refused, *gateway}):
        answers[status] = _refusal(status, refused[status], gateway.get(status))
    return {status.value: answer for status, answer in answers.items()}


def _success(success: Success) -> OpenAPIResponse:
    examples = {"answer": {"value": success.example}}
    answer: OpenAPIResponse = {
        "description": success.description,
        "content": {success.media_type: {"model": success.model, "examples": examples}},
    }
    if success.waited:
        answer["headers"] = {"Preference-Applied": _APPLIED}
    if success.located:
        answer["headers"] = {"Location": _LOCATION}
        answer["links"] = {
            name: {"operationId": f"{name}_recording", "parameters": {"id": "$response.body#/recordingId"}}
            for name in ("get", "stop", "delete")
        }
    return answer


def _gateway_refuses(operation: Operation) -> Mapping[HTTPStatus, str]:
    refused = {
        HTTPStatus.TOO_MANY_REQUESTS: "Too Many Requests",
        HTTPStatus.INTERNAL_SERVER_ERROR: "Internal Server Error",
        HTTPStatus.SERVICE_UNAVAILABLE: "Service Unavailable",
    }
    if operation.for_users:
        refused[HTTPStatus.UNAUTHORIZED] = "Unauthorized"
    if "id" in operation.takes:
        # An id with a slash in it is another route.
        refused[HTTPStatus.NOT_FOUND] = "Not Found"
    return refused


def _refusal(status: HTTPStatus, bodies: Json, gateway: str | None) -> OpenAPIResponse:
    alternatives: list[Json] = []
    examples: dict[str, Json] = {code: {"value": body} for code, body in bodies.items()}
    if bodies:
        codes: Json = {"properties": {"code": {"enum": sorted(bodies)}}}
        alternatives.append({"allOf": [{"$ref": "#/components/schemas/ErrorJson"}, codes]})
    if gateway is not None:
        alternatives.append({"$ref": "#/components/schemas/GatewayErrorJson"})
        examples["gateway"] = {"value": {"message": gateway}}
    schema = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
    answer: OpenAPIResponse = {
        "description": status.phrase,
        "content": {"application/json": {"schema": schema, "examples": examples}},
    }
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        answer["headers"] = {"Retry-After": _RETRY_AFTER}
    return answer


def _finished(text: str) -> str:
    """Return the document without what Powertools adds for its own resolver, and as one would write it by hand."""
    document: dict[str, dict[str, dict[str, Json]]] = json.loads(text, parse_float=_number)
    schemata = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        del schemata[name]
    for name, format_ in _FORMATS.items():
        schemata[name]["format"] = format_
    for schema in cast("dict[str, dict[str, dict[str, Json]]]", schemata).values():
        for field in schema.get("properties", {}).values():
            field.pop("title", None)
    document["paths"] = dict(sorted(document["paths"].items()))
    for path in document["paths"].values():
        for operation in path.values():
            for parameter in cast("list[Json]", operation.get("parameters", [])):
                _finish_parameter(parameter)
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _finish_parameter(parameter: Json) -> None:
    schema = cast("Json", parameter["schema"])
    schema.pop("title", None)
    schema.pop("description", None)
    if parameter["in"] == "header":
        parameter["name"] = cast("str", parameter["name"]).title()


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def main() -> int:
    """Write or check."""
    document = generate()
    if "--check" in sys.argv[1:]:
        return int(DOCUMENT.read_text() != document)
    DOCUMENT.write_text(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
