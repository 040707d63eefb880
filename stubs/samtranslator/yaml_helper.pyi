from pydantic import JsonValue
from yaml import CSafeLoader, Node

def intrinsics_multi_constructor(loader: CSafeLoader, tag_prefix: str, node: Node) -> JsonValue: ...
