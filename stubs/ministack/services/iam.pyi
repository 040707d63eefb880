from collections.abc import MutableMapping

_access_keys: MutableMapping[str, dict[str, str]]

def _create_access_key(p: dict[str, list[str]]) -> object: ...
