"""template.yaml as CloudFormation gets it, with the intrinsic functions evaluated for some parameters.

What refers to a resource evaluates to that resource's name: `!GetAtt FailedSweeps.Arn` is `FailedSweeps.Arn`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from local.template.transform import Template, parse, transformed

if TYPE_CHECKING:
    from pydantic import JsonValue

SOURCE: Final = Path(__file__).parents[2] / "template.yaml"
REGION: Final = "eu-central-1"
PARAMETERS: Final = {
    "JwtIssuer": "https://issuer.example.com",
    "JwtAudience": "recordings",
    "RoomClaim": "*",
    "LiveKitUrl": "wss://livekit.example.com",
    "LiveKitSecretArn": "livekit-secret",
    "DatabaseHost": "db.example.com",
    "DatabaseSecretArn": "database-secret",
}
_ATTRIBUTES: Final = (
    "ApiEndpoint",
    "Arn",
    "Configuration",
    "Id",
    "RegionalDomainName",
    "RegionalHostedZoneId",
    "SecretAccessKey",
)
_PLACEHOLDER: Final = re.compile(r"\$\{([A-Za-z0-9]+)[}.]")

type Object = Mapping[str, JsonValue]


@cache
def source() -> dict[str, JsonValue]:
    """Return the template as it is written."""
    return parse(SOURCE.read_text())


def section(name: str) -> dict[str, dict[str, JsonValue]]:
    """Return one of the template's sections, as it is written."""
    return cast("dict[str, dict[str, JsonValue]]", source()[name])


def evaluated(**parameters: str) -> Template:
    """Return the template as it would be deployed with these parameters over the least that it needs."""
    return _evaluated(tuple(sorted(parameters.items())))


@cache
def _evaluated(given: tuple[tuple[str, str], ...]) -> Template:
    parameters = dict(given)
    names = [*section("Resources"), *resources(**parameters)]
    values: dict[str, str] = {name: name for name in names}
    values |= {f"{name}.{attribute}": f"{name}.{attribute}" for name in names for attribute in _ATTRIBUTES}
    return Template(SOURCE, PARAMETERS | parameters, values, REGION)


@dataclass(frozen=True)
class Resource:
    """A resource of the transformed template, as it is written there."""

    kind: str
    properties: Object
    attributes: Object

    def depends_on(self) -> set[str]:
        """Return what this one has to wait for."""
        explicit = self.attributes.get("DependsOn", [])
        found = {explicit} if isinstance(explicit, str) else set(cast("list[str]", explicit))
        for part in (self.properties, self.attributes.get("UpdatePolicy")):
            found |= set(_references(cast("JsonValue", part)))
        return found


def resources(**parameters: str) -> dict[str, Resource]:
    """Return what SAM makes of the template."""
    return _resources(SOURCE.read_text(), tuple(sorted(parameters.items())))


def resources_of(text: str, **parameters: str) -> dict[str, Resource]:
    """Return what SAM makes of a changed template."""
    return _resources(text, tuple(sorted(parameters.items())))


@cache
def _resources(text: str, parameters: tuple[tuple[str, str], ...]) -> dict[str, Resource]:
    document = parse(text)
    declared = cast("dict[str, dict[str, str]]", document["Parameters"])
    defaults = {name: str(each["Default"]) for name, each in declared.items() if "Default" in each}
    made = transformed(document, defaults | PARAMETERS | dict(parameters), REGION)
    return {
        name: Resource(
            cast("str", each["Type"]), cast("dict[str, JsonValue]", each.get("Properties", {})), each
        )
        for name, each in cast("dict[str, dict[str, JsonValue]]", made["Resources"]).items()
    }


def of_kind(kind: str, **parameters: str) -> dict[str, Resource]:
    """Return the resources of one type."""
    return {name: each for name, each in resources(**parameters).items() if each.kind == kind}


@dataclass(frozen=True)
class Endpoint:
    """A route of the API: the alias that it leads to, and the authorizer that guards it, if one does."""

    alias: str
    authorizer: str | None


def endpoints(**parameters: str) -> dict[tuple[str, str], Endpoint]:
    """Return the API's routes by method and path."""
    deployed = evaluated(**parameters)
    integrations = dict(deployed.select("AWS::ApiGatewayV2::Integration", "IntegrationUri"))
    found = {}
    for _, route in deployed.select(
        "AWS::ApiGatewayV2::Route", "RouteKey", "Target", "AuthorizationType", "AuthorizerId"
    ):
        method, _, path = str(route["RouteKey"]).partition(" ")
        integration = integrations[str(route["Target"]).removeprefix("integrations/")]
        authorizer = str(route["AuthorizerId"]) if route["AuthorizationType"] != "NONE" else None
        found[method, path] = Endpoint(str(integration["IntegrationUri"]), authorizer)
    return found


def _references(value: JsonValue) -> Iterator[str]:
    match value:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": [str(name), *_]}:
            yield name
        case {"Fn::Sub": text}:
            yield from _PLACEHOLDER.findall(text if isinstance(text, str) else str(text))
            yield from _references(text)
        case dict():
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)
        case _:
            pass
