"""CloudFormation's intrinsic functions, evaluated with local values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

_PLACEHOLDER = re.compile(r"\$\{([^!}][^}]*)\}")
_OMITTED: dict[str, JsonValue] = {"Ref": "AWS::NoValue"}


class Resolver:
    """Evaluates the intrinsic functions in a template's values.

    `values` holds what `Ref` gives for parameters, pseudo parameters and resources, and under `Name.Attribute` what
    `Fn::GetAtt` gives. Whatever is missing there, or cannot be evaluated, raises LocalStackError.
    """

    def __init__(self, values: Mapping[str, JsonValue], conditions: Mapping[str, JsonValue]) -> None:
        self._values = values
        self._conditions = conditions
        self._functions: dict[str, Callable[[JsonValue], JsonValue]] = {
            "Ref": self._ref,
            "Condition": lambda name: self._condition(_text(name)),
            "Fn::GetAtt": self._get_attribute,
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::Equals": lambda pair: self._equals(_list(pair)),
            "Fn::Not": lambda one: not self.resolve(_list(one)[0]),
            "Fn::And": lambda every: all(self.resolve(each) for each in _list(every)),
            "Fn::Or": lambda some: any(self.resolve(each) for each in _list(some)),
        }

    def resolve(self, value: JsonValue) -> JsonValue:
        """Return the value with every intrinsic function in it replaced by its result."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value if not self.omitted(item)]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name in self._functions:
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise LocalStackError(f"template.yaml uses {name}, which the local stack cannot evaluate.")
        return {key: self.resolve(item) for key, item in value.items() if not self.omitted(item)}

    def omitted(self, value: JsonValue) -> bool:
        """Tell whether a value is `AWS::NoValue`: what has it is then as if it were not there."""
        while isinstance(value, dict) and value.keys() == {"Fn::If"}:
            value = self._branch(value["Fn::If"])
        return value == _OMITTED

    def _value(self, name: str) -> JsonValue:
        if name not in self._values:
            raise LocalStackError(f"template.yaml refers to {name}, for which the local stack has no value.")
        return self._values[name]

    def _ref(self, name: JsonValue) -> JsonValue:
        return self._value(_text(name))

    def _get_attribute(self, argument: JsonValue) -> JsonValue:
        return self._value(argument if isinstance(argument, str) else ".".join(map(_text, _list(argument))))

    def _sub(self, argument: JsonValue) -> JsonValue:
        own: dict[str, JsonValue] = {}
        if isinstance(argument, list):
            argument, given = argument
            own = given if isinstance(given, dict) else {}
        text = _PLACEHOLDER.sub(
            lambda match: _text(self.resolve(own[match[1]]) if match[1] in own else self._value(match[1])),
            _text(argument),
        )
        return text.replace("${!", "${")

    def _condition(self, name: str) -> JsonValue:
        if name not in self._conditions:
            raise LocalStackError(f"template.yaml refers to the condition {name}, which it does not define.")
        return self.resolve(self._conditions[name])

    def _branch(self, argument: JsonValue) -> JsonValue:
        condition, then, otherwise = _list(argument)
        return then if self._condition(_text(condition)) else otherwise

    def _if(self, argument: JsonValue) -> JsonValue:
        return self.resolve(self._branch(argument))

    def _join(self, argument: JsonValue) -> JsonValue:
        separator, parts = _list(argument)
        return _text(separator).join(_text(part) for part in _list(self.resolve(parts)))

    def _split(self, argument: JsonValue) -> JsonValue:
        separator, text = _list(argument)
        return [*_text(self.resolve(text)).split(_text(separator))]

    def _select(self, argument: JsonValue) -> JsonValue:
        index, items = _list(argument)
        return _list(self.resolve(items))[int(_text(index))]

    def _equals(self, pair: list[JsonValue]) -> JsonValue:
        one, other = (_text(self.resolve(item)) for item in pair)
        return one == other


def _list(value: JsonValue) -> list[JsonValue]:
    if not isinstance(value, list):
        raise LocalStackError(f"template.yaml has {value!r} where an intrinsic function needs a list.")
    return value


def _text(value: JsonValue) -> str:
    """Return a scalar as CloudFormation writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise LocalStackError(f"template.yaml has {value!r} where an intrinsic function needs a text.")
