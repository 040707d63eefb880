"""The functions, routes, authorizers and schedules that the built template would deploy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.processes.children import LocalStackError
from local.template.account import ACCOUNT
from local.template.transform import Template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_FUNCTION_ARN = re.compile(r"arn:[^/]*:function:([^:/]+)")
_RATE = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class JwtConfiguration(_Model):
    """Whose tokens are accepted, and for whom they must be made out."""

    issuer: str = Field(alias="Issuer")
    audience: tuple[str, ...] = Field(alias="Audience")


class Authorizer(_Model):
    """The one kind of authorizer that the local gateway enforces; any other kind fails to validate."""

    type: Literal["JWT"] = Field(alias="AuthorizerType")
    identity_source: tuple[Literal["$request.header.Authorization"]] = Field(alias="IdentitySource")
    jwt: JwtConfiguration = Field(alias="JwtConfiguration")


class Cors(_Model):
    """The API's answer to browsers of other origins."""

    allow_origins: tuple[str, ...] = Field((), alias="AllowOrigins")
    allow_methods: tuple[str, ...] = Field((), alias="AllowMethods")
    allow_headers: tuple[str, ...] = Field((), alias="AllowHeaders")
    expose_headers: tuple[str, ...] = Field((), alias="ExposeHeaders")
    allow_credentials: bool = Field(default=False, alias="AllowCredentials")
    max_age: int | None = Field(None, alias="MaxAge")


class _Api(_Model):
    protocol: Literal["HTTP"] = Field(alias="ProtocolType")
    cors: Cors | None = Field(None, alias="CorsConfiguration")
    body: None = Field(None, alias="Body")
    """Routes are resources of their own: in a body, some that API Gateway does not understand could get lost."""


class _Stage(_Model):
    name: Literal["$default"] = Field(alias="StageName")
    auto_deploy: Literal[True] = Field(alias="AutoDeploy")


class _Integration(_Model):
    type: Literal["AWS_PROXY"] = Field(alias="IntegrationType")
    payload_format: Literal["2.0"] = Field(alias="PayloadFormatVersion")
    uri: str = Field(alias="IntegrationUri")
    timeout_milliseconds: int = Field(30_000, alias="TimeoutInMillis")


class _Route(_Model):
    key: str = Field(alias="RouteKey")
    target: str = Field(alias="Target", pattern="^integrations/")
    authorization: Literal["JWT", "NONE"] = Field("NONE", alias="AuthorizationType")
    authorizer: str | None = Field(None, alias="AuthorizerId")
    scopes: tuple[str, ...] = Field((), alias="AuthorizationScopes")


class _Permission(_Model):
    function: str = Field(alias="FunctionName")
    principal: str = Field(alias="Principal")
    source: str = Field("*", alias="SourceArn")


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
        return Application(
            functions=_functions(template, built.parent, overrides),
            routes=tuple(_routes(template, region)),
            cors=_api(template)[1].cors,
            schedules=tuple(_schedules(template)),
        )
    except ValidationError as error:
        problems = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise LocalStackError(f"template.yaml asks for what the local stack cannot do:\n{problems}") from None


def _each[M: _Model](template: Template, kind: str, model: type[M]) -> dict[str, M]:
    """Return what a model reads of every resource of a type, by logical ids."""
    return {name: model.model_validate(found) for name, found in template.select(kind, *_names(model))}


def _api(template: Template) -> tuple[str, _Api]:
    """Return the one HTTP API, whose routes are all resources of their own and served by its default stage."""
    apis = [*_each(template, "AWS::ApiGatewayV2::Api", _Api).items()]
    stages = _each(template, "AWS::ApiGatewayV2::Stage", _Stage)
    if len(apis) != 1 or len(stages) != 1:
        raise LocalStackError(
            f"template.yaml must have one HTTP API with one stage, and has {len(apis)} with {len(stages)}."
        )
    return apis[0]


def _function_of(arn: str) -> str:
    found = _FUNCTION_ARN.search(arn)
    if not found:
        raise LocalStackError(f"template.yaml has {arn} where the local stack can only invoke a function.")
    return found[1]


def _functions(template: Template, directory: Path, overrides: Mapping[str, str]) -> dict[str, Function]:
    functions = {}
    for name, function in _each(template, "AWS::Lambda::Function", _Lambda).items():
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


def _routes(template: Template, region: str) -> Iterator[Route]:
    authorizers = _each(template, "AWS::ApiGatewayV2::Authorizer", Authorizer)
    integrations = _each(template, "AWS::ApiGatewayV2::Integration", _Integration)
    permissions = _each(template, "AWS::Lambda::Permission", _Permission).values()
    api = f"arn:aws:execute-api:{region}:{ACCOUNT}:{_api(template)[0]}/$default"
    for name, route in _each(template, "AWS::ApiGatewayV2::Route", _Route).items():
        integration = integrations.get(route.target.removeprefix("integrations/"))
        if not integration:
            raise LocalStackError(
                f"template.yaml has the route {name} to {route.target}, which it does not define."
            )
        method, _, path = route.key.rpartition(" ")
        if not any(_lets_in(each, integration, f"{api}/{method}{path}") for each in permissions):
            raise LocalStackError(
                f"template.yaml has the route {name}, whose function the API may not invoke."
            )
        yield Route(
            method=method or "ANY",
            path=path,
            function=_function_of(integration.uri),
            authorizer=_authorizer(name, route, authorizers),
            scopes=route.scopes,
            timeout=integration.timeout_milliseconds / 1000,
        )


def _lets_in(permission: _Permission, integration: _Integration, caller: str) -> bool:
    return (
        permission.function == integration.uri
        and permission.principal == "apigateway.amazonaws.com"
        and fnmatchcase(caller, permission.source)
    )


def _authorizer(name: str, route: _Route, authorizers: Mapping[str, Authorizer]) -> Authorizer | None:
    if route.authorization == "NONE":
        return None
    authorizer = authorizers.get(route.authorizer or "")
    if not authorizer:
        raise LocalStackError(f"template.yaml has the route {name} without the authorizer that it asks for.")
    return authorizer


def _schedules(template: Template) -> Iterator[Schedule]:
    for name, rule in _each(template, "AWS::Events::Rule", _Rule).items():
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
