from collections.abc import Callable, MutableMapping

class HookContext: ...

class _GenerationMode:
    is_positive: bool

class _Generation:
    mode: _GenerationMode

class _Meta:
    generation: _Generation

class _Operation:
    label: str

class Case:
    path: str
    body: object
    headers: MutableMapping[str, str]
    meta: _Meta | None
    operation: _Operation
    def as_transport_kwargs(self, base_url: str | None = None) -> dict[str, object]: ...

def hook[**P, R](function: Callable[P, R]) -> Callable[P, R]: ...
