from collections.abc import Callable
from ssl import SSLContext

TIMESTAMPTZ: int

class Context:
    rows: list[list[object]] | None

class Connection:
    def __init__(
        self,
        user: str,
        *,
        host: str,
        port: int,
        database: str,
        password: str,
        ssl_context: SSLContext | bool | None,
        timeout: float,
        application_name: str,
    ) -> None: ...
    def register_in_adapter(self, oid: int, in_func: Callable[[str], object]) -> None: ...
    def execute_unnamed(self, statement: str, vals: tuple[object, ...]) -> Context: ...
    def close(self) -> None: ...

def to_statement(query: str) -> tuple[str, Callable[[dict[str, object]], tuple[object, ...]]]: ...
