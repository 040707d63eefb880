from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.processes.children import LocalStackError
from local.template.intrinsics import Resolver

if TYPE_CHECKING:
    from pydantic import JsonValue

RESOLVER = Resolver(
    {"Name": "x", "Number": 5, "List": ["a", "b"], "Function.Arn": "arn:f"},
    {"Yes": {"Fn::Equals": [{"Ref": "Number"}, "5"]}, "No": {"Fn::Not": [{"Condition": "Yes"}]}},
)
OMITTED: JsonValue = {"Ref": "AWS::NoValue"}


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ({"Ref": "List"}, ["a", "b"]),
        ({"Fn::GetAtt": ["Function", "Arn"]}, "arn:f"),
        ({"Fn::GetAtt": "Function.Arn"}, "arn:f"),
        ({"Fn::Sub": "${Name}/${Function.Arn}/${!Name}"}, "x/arn:f/${Name}"),
        ({"Fn::Sub": ["${Own}-${Name}", {"Own": {"Ref": "Number"}}]}, "5-x"),
        ({"Fn::Join": ["-", ["a", {"Ref": "Name"}]]}, "a-x"),
        ({"Fn::Split": [",", {"Fn::Join": [",", {"Ref": "List"}]}]}, ["a", "b"]),
        ({"Fn::Select": [1, {"Ref": "List"}]}, "b"),
        ({"Fn::If": ["Yes", {"Ref": "Name"}, {"Ref": "NotThere"}]}, "x"),
        ({"Fn::And": [{"Condition": "Yes"}, {"Condition": "No"}]}, False),
        ({"Fn::Or": [{"Condition": "Yes"}, {"Condition": "No"}]}, True),
        ({"a": 1, "b": OMITTED}, {"a": 1}),
        ([1, {"Fn::If": ["No", 2, OMITTED]}, {"Fn::If": ["Yes", {"Fn::If": ["No", 3, OMITTED]}, 4]}], [1]),
        ({"Ref": "Name", "and": "more"}, {"Ref": "Name", "and": "more"}),
    ],
    ids=str,
)
def test_resolves(value: JsonValue, result: JsonValue) -> None:
    assert RESOLVER.resolve(value) == result


@pytest.mark.parametrize(
    "value",
    [
        {"Ref": "Missing"},
        {"Fn::GetAtt": ["Function", "Name"]},
        {"Fn::Sub": "${Missing}"},
        {"Fn::If": ["Missing", 1, 2]},
        {"Fn::ImportValue": "other-stack"},
        {"Fn::Join": ["-", "text"]},
    ],
    ids=str,
)
def test_refuses(value: JsonValue) -> None:
    with pytest.raises(LocalStackError, match="template"):
        RESOLVER.resolve(value)
