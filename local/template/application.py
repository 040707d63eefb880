"""What the built template would deploy: the functions, routes, authorizers and schedules that the local stack runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from local.processes.children import LocalStackError
from local.template.transform import Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import JsonValue

_FUNCTION_ARN = re.compile(r"arn:[^/]*:function:([^:/]+)")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class JwtConfiguration(_Model):
    """Whose tokens are accepted, and for whom they must be made out."""

    issuer: str
    audience: tuple[str, ...]


class Authorizer(_Model):
    """The one kind of authorizer that the local gateway enforces; any other kind fails to validate."""

    type: Literal["jwt"]
    identity_source: Literal["$request.header.Authorization"] = Field(alias="identitySource")
    jwt: JwtConfiguration = Field(alias="jwtConfiguration")


class Cors(_Model):
    """The API's answer to browsers of other origins."""

    allow_origins: tuple[str, ...] = Field((), alias="allowOrigins")
    allow_methods: tuple[str, ...] = Field((), alias="allowMethods")
    allow_headers: tuple[str, ...] = Field((), alias="allowHeaders")
    expose_headers: tuple[str, ...] = Field((), alias="exposeHeaders")
    allow_credentials: bool = Field(default=False, alias="allowCredentials")
    max_age: int | None = Field(None, alias="maxAge")


class _Scheme(_Model):
    authorizer: Authorizer = Field(alias="x-amazon-apigateway-authorizer")


class _Components(_Model):
    schemes: dict[str, _Scheme] = Field(alias="securitySchemes")


class _Integration(_Model):
    type: Literal["aws_proxy"]
    payload_format: Literal["2.0"] = Field(alias="payloadFormatVersion")
    uri: str
    timeout_milliseconds: int = Field(30_000, alias="timeoutInMillis")


class _Operation(_Model):
    integration: _Integration = Field(alias="x-amazon-apigateway-integration")
    security: tuple[dict[str, tuple[str, ...]], ...] = ()


class _OpenApi(_Model):
    paths: dict[str, dict[str, _Operation]]
    components: _Components = _Components(schemes={})
    cors: Cors | None = Field(None, alias="x-amazon-apigateway-cors")

    @field_validator("paths", mode="before")
    @classmethod
    def _only_operations(cls, paths: dict[str, dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
        methods = (
            "get",
            "put",
            "post",
            "delete",
            "options",
            "head",
            "patch",
            "x-amazon-apigateway-any-method",
        )
        return {
            path: {method: operation for method, operation in item.items() if method in methods}
            for path, item in paths.items()
        }


class _Code(_Model):
    key: str = Field(alias="S3Key")


class _Environment(_Model):
    variables: dict[str, str] = Field(alias="Variables")


class _Lambda(_Model):
    code: _Code = Field(alias="Code")
    handler: str = Field(alias="Handler")
    timeout: int = Field(3, alias="Timeout")
    memory: int = Field(128, alias="MemorySize")
    environment: _Environment = Field(_Environment(variables={}), alias="Environment")
    layers: tuple[str, ...] = Field((), alias="Layers")


class _Target(_Model):
    arn: str = Field(alias="Arn")
    input: str | None = Field(None, alias="Input")


class _Rule(_Model):
    expression: str | None = Field(None, alias="ScheduleExpression")
    state: str = Field("ENABLED", alias="State")


@dataclass(frozen=True)
class Function:
    """A function as Lambda would run it. Timeout in seconds, memory in MB."""

    name: str
    handler: str
    timeout: int
    memory: int
    directory: Path
    layers: tuple[Path, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Route:
    """One route of the HTTP API; without an authorizer everybody may call it. Timeout in seconds."""

    method: str
    path: str
    function: str
    authorizer: Authorizer | None
    scopes: tuple[str, ...]
    timeout: float


@dataclass(frozen=True)
class Schedule:
    """A function that is to be invoked every so many seconds, with this event or the scheduler's own."""

    name: str
    function: str
    seconds: int
    event: str | None


@dataclass(frozen=True)
class Application:
    """Everything that the template would deploy and that the local stack runs."""

    functions: Mapping[str, Function]
    routes: tuple[Route, ...]
    cors: Cors | None
    schedules: tuple[Schedule, ...]


def load(
    built: Path,
    parameters: Mapping[str, str],
    resources: Mapping[str, str],
    *,
    region: str,
    overrides: Mapping[str, str],
) -> Application:
    """Read a template that `sam build` wrote.

    `resources` gives the local value of each resource that a function's settings refer to, `overrides` are environment
    variables that replace or complete those of every function. Raises LocalStackError for what the template asks for
    and the local stack could not do as AWS does.
    """
    template = Template(built, parameters, resources, region)
    try:
        bodies = [properties["Body"] for _, properties in template.select("AWS::ApiGatewayV2::Api", "Body")]
        if len(bodies) != 1:
            raise LocalStackError(f"template.yaml must have one HTTP API, and has {len(bodies)}.")
        openapi = _OpenApi.model_validate(bodies[0])
        return Application(
            functions=_functions(template, built.parent, overrides),
            routes=tuple(_routes(openapi)),
            cors=openapi.cors,
            schedules=tuple(_schedules(template)),
        )
    except ValidationError as error:
        problems = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise LocalStackError(f"template.yaml asks for what the local stack cannot do:\n{problems}") from None


def _function_of(arn: str) -> str:
    found = _FUNCTION_ARN.search(arn)
    if not found:
        raise LocalStackError(f"template.yaml has {arn} where the local stack can only invoke a function.")
    return found[1]


def _functions(template: Template, directory: Path, overrides: Mapping[str, str]) -> dict[str, Function]:
    functions = {}
    for name, properties in template.select("AWS::Lambda::Function", *_names(_Lambda)):
        function = _Lambda.model_validate(properties)
        functions[name] = Function(
            name=name,
            handler=function.handler,
            timeout=function.timeout,
            memory=function.memory,
            directory=directory / function.code.key,
            layers=tuple(directory / layer for layer in function.layers),
            environment={**function.environment.variables, **overrides},
        )
    return functions


def _routes(openapi: _OpenApi) -> Iterator[Route]:
    for path, operations in openapi.paths.items():
        for method, operation in operations.items():
            authorizer, scopes = _authorization(openapi, operation)
            yield Route(
                method="ANY" if method == "x-amazon-apigateway-any-method" else method.upper(),
                path=path,
                function=_function_of(operation.integration.uri),
                authorizer=authorizer,
                scopes=scopes,
                timeout=operation.integration.timeout_milliseconds / 1000,
            )


def _authorization(openapi: _OpenApi, operation: _Operation) -> tuple[Authorizer | None, tuple[str, ...]]:
    """Return who guards an operation; `NONE` is how SAM writes that nobody does."""
    for requirement in operation.security:
        for name, scopes in requirement.items():
            if name == "NONE":
                continue
            if name not in openapi.components.schemes:
                raise LocalStackError(f"template.yaml uses the authorizer {name}, which it does not define.")
            return openapi.components.schemes[name].authorizer, scopes
    return None, ()


def _schedules(template: Template) -> Iterator[Schedule]:
    for name, properties in template.select("AWS::Events::Rule", *_names(_Rule)):
        rule = _Rule.model_validate(properties)
        if not rule.expression or rule.state != "ENABLED":
            continue
        rate = _RATE.fullmatch(rule.expression)
        if not rate:
            raise LocalStackError(
                f"template.yaml has the schedule {rule.expression}; the local stack knows rate(...) only."
            )
        for raw in template.raw(name, "Targets"):
            target = _Target.model_validate(template.pick(raw, *_names(_Target)))
            yield Schedule(name, _function_of(target.arn), int(rate[1]) * _SECONDS[rate[2]], target.input)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
