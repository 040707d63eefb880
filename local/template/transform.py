"""The template that CloudFormation would be given, with its intrinsic functions evaluated for the local stack."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue
from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import intrinsics_multi_constructor

from local.processes.children import LocalStackError
from local.template.account import ACCOUNT, STACK_NAME
from local.template.intrinsics import Resolver

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

# It tells of its own feature switches and metrics.
logging.getLogger("samtranslator").setLevel(logging.ERROR)


class _Loader(yaml.CSafeLoader):
    """SAM's own loader is written in Python, and takes eight times as long."""


_Loader.add_multi_constructor("!", intrinsics_multi_constructor)


def parse(text: str) -> dict[str, JsonValue]:
    """Return what a template says, with its short forms of intrinsic functions in full."""
    # The loader makes no other objects than those of JSON.
    document: dict[str, JsonValue] = yaml.load(text, _Loader)  # noqa: S506
    return document


class _Parameter(BaseModel):
    type: str = Field(alias="Type")
    default: str | None = Field(None, alias="Default")
    model_config = ConfigDict(coerce_numbers_to_str=True)


class _Resource(BaseModel):
    type: str = Field(alias="Type")
    properties: dict[str, JsonValue] = Field({}, alias="Properties")
    condition: str | None = Field(None, alias="Condition")


class _Assertion(BaseModel):
    assertion: JsonValue = Field(alias="Assert")
    description: str = Field(alias="AssertDescription")


class _Rule(BaseModel):
    condition: JsonValue = Field(default=True, alias="RuleCondition")
    assertions: list[_Assertion] = Field(alias="Assertions")


class _Document(BaseModel):
    parameters: dict[str, _Parameter] = Field({}, alias="Parameters")
    rules: dict[str, _Rule] = Field({}, alias="Rules")
    conditions: dict[str, JsonValue] = Field({}, alias="Conditions")
    resources: dict[str, _Resource] = Field(alias="Resources")


class _Alias(BaseModel):
    name: str = Field(alias="Name")
    function: dict[str, str] = Field(alias="FunctionName")


class Template:
    """The transformed template.

    `resources` gives the local value of each resource that something evaluated refers to. Raises LocalStackError for a
    template that is not valid, and for parameters that it does not have, that have no value, or that its rules refuse.
    """

    def __init__(
        self, built: Path, parameters: Mapping[str, str], resources: Mapping[str, str], region: str
    ) -> None:
        source = parse(built.read_text())
        declared = _Document.model_validate(source).parameters
        if unknown := parameters.keys() - declared.keys():
            raise LocalStackError(f"template.yaml has no parameter {', '.join(sorted(unknown))}.")
        given = {name: each.default for name, each in declared.items() if each.default is not None} | dict(
            parameters
        )
        if missing := declared.keys() - given.keys():
            raise LocalStackError(
                f"template.yaml's parameter {', '.join(sorted(missing))} has no local value."
            )
        document = _Document.model_validate(transformed(source, given, region))
        self._resources = document.resources
        values: dict[str, JsonValue] = {
            name: [*text.split(",")] if "List" in declared[name].type else text
            for name, text in given.items()
        }
        values |= _pseudo_parameters(region)
        values |= dict(self._references(region))
        self._resolver = Resolver({**values, **resources}, document.conditions)
        for refusal in self._refusals(document.rules.values()):
            raise LocalStackError(f"template.yaml refuses its parameters: {refusal}.")

    def select(self, kind: str, *names: str) -> Iterator[tuple[str, dict[str, JsonValue]]]:
        """Yield logical id and the named properties, evaluated, of every resource of a type.

        What nobody asks for is not evaluated, so it need not have a local value.
        """
        for logical_id, resource in self._resources.items():
            if resource.type == kind and self._exists(resource):
                yield logical_id, self.pick(resource.properties, *names)

    def pick(self, properties: JsonValue, *names: str) -> dict[str, JsonValue]:
        """Return those of the named properties that are set, evaluated."""
        given = properties if isinstance(properties, dict) else {}
        wanted = {name: given[name] for name in names if name in given}
        return {
            name: self._resolver.resolve(value)
            for name, value in wanted.items()
            if not self._resolver.omitted(value)
        }

    def raw(self, logical_id: str, name: str) -> list[JsonValue]:
        """Return a resource's property that is a list, as it stands."""
        value = self._resources[logical_id].properties.get(name)
        return value if isinstance(value, list) else []

    def _refusals(self, rules: Iterable[_Rule]) -> Iterator[str]:
        for rule in rules:
            if self._resolver.resolve(rule.condition):
                yield from (
                    each.description for each in rule.assertions if not self._resolver.resolve(each.assertion)
                )

    def _exists(self, resource: _Resource) -> bool:
        return resource.condition is None or bool(self._resolver.resolve({"Condition": resource.condition}))

    def _references(self, region: str) -> Iterator[tuple[str, JsonValue]]:
        """Yield what `Ref` and `Fn::GetAtt` give for what the API, the functions and their versions consist of."""
        for name, resource in self._resources.items():
            match resource.type, resource.properties:
                case "AWS::Lambda::Function", _:
                    yield name, name
                    yield f"{name}.Arn", _function_arn(region, name)
                case (
                    "AWS::ApiGatewayV2::Api"
                    | "AWS::ApiGatewayV2::Authorizer"
                    | "AWS::ApiGatewayV2::Integration",
                    _,
                ):
                    yield name, name
                case "AWS::Events::Rule", _:
                    yield f"{name}.Arn", f"arn:aws:events:{region}:{ACCOUNT}:rule/{name}"
                case "Custom::Migration", _:
                    yield f"{name}.Configuration", "local"
                case "AWS::Lambda::LayerVersion", {"Content": {"S3Key": key}}:
                    yield name, key
                case "AWS::Lambda::Alias", properties:
                    alias = _Alias.model_validate(properties)
                    yield name, f"{_function_arn(region, alias.function['Ref'])}:{alias.name}"
                case _:
                    pass


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        """Return no policies' ARNs: roles are not enforced locally."""
        return {}


def transformed(
    source: dict[str, JsonValue], parameters: dict[str, str], region: str
) -> dict[str, JsonValue]:
    """Return what SAM makes of the template, whose code must be in S3 for that, where `sam package` puts it."""
    resources = source["Resources"]
    for resource in resources.values() if isinstance(resources, dict) else ():
        properties = resource.get("Properties") if isinstance(resource, dict) else None
        if isinstance(properties, dict):
            for key in properties.keys() & {"CodeUri", "ContentUri"}:
                properties[key] = f"s3://local/{properties[key]}"
    os.environ.setdefault("AWS_DEFAULT_REGION", region)
    try:
        return transform(source, parameters, _NoManagedPolicies())
    except InvalidDocumentException as error:
        raise LocalStackError(f"template.yaml is not a valid SAM template: {error.message}") from None


def _pseudo_parameters(region: str) -> dict[str, JsonValue]:
    return {
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::Region": region,
        "AWS::StackName": STACK_NAME,
        "AWS::URLSuffix": "amazonaws.com",
    }


def _function_arn(region: str, name: str) -> str:
    return f"arn:aws:lambda:{region}:{ACCOUNT}:function:{name}"
