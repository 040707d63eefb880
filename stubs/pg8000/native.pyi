import ssl
from collections.abc import Callable
from typing import Self

from pg8000.core import CoreConnection
from pg8000.exceptions import DatabaseError as DatabaseError, Error as Error, InterfaceError as InterfaceError

TIMESTAMPTZ: int

class Connection(CoreConnection):
    def __init__(
        self,
        user: str,
        host: str = ...,
        database: str | None = ...,
        port: int = ...,
        password: str | None = ...,
        source_address: tuple[str, int] | None = ...,
        unix_sock: str | None = ...,
        ssl_context: ssl.SSLContext | bool | None = ...,
        timeout: float | None = ...,
        tcp_keepalive: bool = ...,
        application_name: str | None = ...,
        replication: str | None = ...,
        startup_params: dict[str, str] | None = ...,
        sock: object = ...,
    ) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *args: object) -> None: ...
    @property
    def row_count(self) -> int: ...
    def run(self, sql: str, **params: object) -> list[list[object]] | None: ...
    def register_in_adapter(self, oid: int, in_func: Callable[[str], object]) -> None: ...
    def close(self) -> None: ...

def to_statement(query: str) -> tuple[str, Callable[[dict[str, object]], tuple[object, ...]]]: ...
