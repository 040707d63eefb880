"""Protobuf messages as the JSON that LiveKit writes: one form for webhooks, one for twirp answers.

google.protobuf's own `json_format` knows neither twirp's `null` for an unset message nor LiveKit's spacing
and field order, and is too slow for a simulator.
"""

from collections.abc import Callable
from functools import cache
from json import dumps
from json.encoder import encode_basestring
from operator import attrgetter
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

# The type of a value is only known from the descriptor.
type _Writer = Callable[[Any], str]  # type: ignore[explicit-any]

_KEPT_PARTS = 256
# Fields that the recorded server does not know yet.
_NEWER = {"livekit.StreamOutput.destinations", "livekit.StreamInfo.id"}
_QUOTED_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT64,
}


def webhook_json(message: Message) -> str:
    """Write `message` in camelCase without its zero values, as webhook bodies are."""
    return _message_writer(message.DESCRIPTOR, zeros=False)(message)


def twirp_json(message: Message) -> str:
    """Write `message` in snake_case with its zero values, as twirp answers are."""
    return _message_writer(message.DESCRIPTOR, zeros=True)(message)


@cache
def _message_writer(descriptor: Descriptor, *, zeros: bool) -> _Writer:
    return _write_all(descriptor) if zeros else _write_set(descriptor)


def _write_set(descriptor: Descriptor) -> _Writer:
    fields = {
        field.number: (index, f'"{field.json_name}":', _content_writer(field, zeros=False))
        for index, field in enumerate(descriptor.fields)
    }

    def write(message: Message) -> str:
        parts = []
        for field, value in message.ListFields():
            index, prefix, content = fields[field.number]
            parts.append((index, prefix + content(value)))
        # They come by number, but are written in the order of their declaration.
        parts.sort()
        return "{" + ", ".join([text for _, text in parts]) + "}"

    return write


def _write_all(descriptor: Descriptor) -> _Writer:
    fields = [_field_writer(field) for field in descriptor.fields if field.full_name not in _NEWER]

    def write(message: Message) -> str:
        return "{" + ", ".join([text for field in fields if (text := field(message))]) + "}"

    return write


def _field_writer(field: FieldDescriptor) -> _Writer:
    name, prefix = field.name, f'"{field.name}":'
    get, content = attrgetter(name), _content_writer(field, zeros=True)
    if not field.has_presence:
        return lambda message: prefix + content(get(message))
    unset = prefix + "null" if field.containing_oneof is None else ""
    return lambda message: prefix + content(get(message)) if message.HasField(name) else unset


def _content_writer(field: FieldDescriptor, *, zeros: bool) -> _Writer:
    if not field.is_repeated:
        return _value_writer(field, zeros=zeros)
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return _map_writer(kind, zeros=zeros)
    return _list_writer(field, zeros=zeros)


@cache
def _part_writer(descriptor: Descriptor, *, zeros: bool) -> _Writer:
    # The echo of a request, the largest part of every event, is the same all through the life of an egress.
    known: dict[bytes, str] = {}

    def write(message: Message) -> str:
        content = message.SerializeToString()
        text = known.get(content)
        if text is None:
            if len(known) >= _KEPT_PARTS:
                known.clear()
            text = known[content] = _message_writer(descriptor, zeros=zeros)(message)
        return text

    return write


def _map_writer(entry: Descriptor, *, zeros: bool) -> _Writer:
    write = _value_writer(entry.fields_by_name["value"], zeros=zeros)
    return lambda entries: (
        "{"
        + ", ".join([f"{encode_basestring(str(key))}:{write(entries[key])}" for key in sorted(entries)])
        + "}"
    )


def _list_writer(field: FieldDescriptor, *, zeros: bool) -> _Writer:
    write = _value_writer(field, zeros=zeros)
    return lambda values: "[" + ", ".join([write(value) for value in values]) + "]"


def _value_writer(field: FieldDescriptor, *, zeros: bool) -> _Writer:
    if field.message_type is not None:
        return _part_writer(field.message_type, zeros=zeros)
    if field.enum_type is not None:
        names = {value.number: f'"{value.name}"' for value in field.enum_type.values}
        return lambda value: names.get(value) or str(value)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING and field.type == FieldDescriptor.TYPE_STRING:
        return encode_basestring
    if field.cpp_type in _QUOTED_INTEGERS:
        return lambda value: f'"{value}"'
    return lambda value: dumps(int(value) if type(value) is float and value.is_integer() else value)
