"""The document of the HTTP contract is the one that the code makes, and true in itself."""

import json
from collections.abc import Iterator
from typing import Final, cast

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel, Field, JsonValue

from recorder.api.endpoint import ERRORS
from recorder.api.paging import PARAMETERS
from tests.support.template import endpoints, section
from tools.openapi import DOCUMENT, generate


class Media(BaseModel):
    schema_: dict[str, JsonValue] = Field(alias="schema")
    examples: dict[str, dict[str, JsonValue]]


class Parameter(Media):
    name: str
    place: str = Field(alias="in")


class Header(Media):
    pass


class Body(BaseModel):
    content: dict[str, Media]


class Response(Body):
    headers: dict[str, Header] = {}


class Operation(BaseModel):
    operation_id: str = Field(alias="operationId")
    summary: str = Field(min_length=10)
    description: str = Field(min_length=20)
    parameters: list[Parameter] = []
    body: Body | None = Field(None, alias="requestBody")
    responses: dict[str, Response]
    security: list[dict[str, list[str]]] = []


class Document(BaseModel):
    openapi: str
    paths: dict[str, dict[str, Operation]]
    components: dict[str, dict[str, JsonValue]]


TEXT: Final = DOCUMENT.read_text()
API: Final = Document.model_validate_json(TEXT)
OPERATIONS: Final = {
    (method.upper(), path): operation
    for path, item in API.paths.items()
    for method, operation in item.items()
}


def media() -> Iterator[tuple[str, Media]]:
    for operation in OPERATIONS.values():
        for parameter in operation.parameters:
            yield f"{operation.operation_id}-{parameter.name}", parameter
        bodies: list[tuple[str, Body]] = [*operation.responses.items()]
        if operation.body is not None:
            bodies.append(("body", operation.body))
        for name, body in bodies:
            yield from ((f"{operation.operation_id}-{name}", each) for each in body.content.values())
        for status, response in operation.responses.items():
            yield from (
                (f"{operation.operation_id}-{status}-{name}", each) for name, each in response.headers.items()
            )


def test_it_is_generated_from_the_code() -> None:
    assert generate() == TEXT, "run `make openapi`"


def test_it_is_openapi_3_1() -> None:
    assert API.openapi.startswith("3.1")
    assert not [*OpenAPIV31SpecValidator(json.loads(TEXT)).iter_errors()]


@pytest.mark.parametrize("example", [pytest.param(each, id=name) for name, each in media()])
def test_every_example_is_what_its_schema_says(example: Media) -> None:
    schema = {**example.schema_, "components": API.components}
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)

    assert example.examples
    for each in example.examples.values():
        assert [error.message for error in validator.iter_errors(each["value"])] == []


def test_its_routes_are_those_of_the_template_and_as_open() -> None:
    folders = {
        f"{name}Aliaslive": str(cast("dict[str, JsonValue]", each["Properties"])["CodeUri"])
        for name, each in section("Resources").items()
        if each["Type"] == "AWS::Serverless::Function"
    }
    routes = {
        route: (folders[each.alias].removeprefix("functions/").strip("/"), each.authorizer is not None)
        for route, each in endpoints().items()
    }

    described = {
        route: (operation.operation_id.removesuffix("_of_one"), operation.security == [{"user": []}])
        for route, operation in OPERATIONS.items()
    }
    assert described == routes


def test_its_query_parameters_are_those_of_the_list() -> None:
    parameters = OPERATIONS["GET", "/api/video/recordings"].parameters

    assert {parameter.name for parameter in parameters} == {*PARAMETERS}


def test_its_error_codes_are_those_of_the_handlers() -> None:
    examples = [
        cast("dict[str, str]", example["value"])
        for operation in OPERATIONS.values()
        for response in operation.responses.values()
        for content in response.content.values()
        for example in content.examples.values()
    ]
    described = {example["code"] for example in examples if "code" in example}

    assert described == {code for _, _, code in ERRORS} | {"internal"}
