import ssl

from pg8000.core import CoreConnection

class Cursor:
    def execute(self, operation: str, args: tuple[object, ...] = ...) -> Cursor: ...
    def fetchall(self) -> tuple[list[object], ...]: ...

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
    def cursor(self) -> Cursor: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...

def connect(
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
) -> Connection: ...
