from typing import Protocol

from pydantic import JsonValue

class _ManagedPolicyLoader(Protocol):
    def load(self) -> dict[str, str]: ...

def transform(
    input_fragment: dict[str, JsonValue],
    parameter_values: dict[str, str],
    managed_policy_loader: _ManagedPolicyLoader,
) -> dict[str, JsonValue]: ...
