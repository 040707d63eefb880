from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from scramp import ScramClient

NULL_BYTE: bytes
DESCRIBE: bytes
PORTAL: bytes
SYNC_MSG: bytes
PASSWORD: bytes

class Context:
    rows: list[list[object]] | None
    row_count: int
    def __init__(self, statement: str) -> None: ...

class CoreConnection:
    py_types: Mapping[type, Callable[[object], str | None]]
    password: bytes | None
    auth: ScramClient
    _sock: BinaryIO
    _usock: object
    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Context) -> None: ...
    def send_PARSE(self, statement_name_bin: bytes, statement: str, oids: Sequence[int] = ...) -> None: ...
    def send_BIND(self, statement_name_bin: bytes, params: Sequence[str | None]) -> None: ...
    def send_EXECUTE(self) -> None: ...
    def handle_messages(self, context: Context) -> None: ...
    def _send_message(self, code: bytes, data: bytes) -> None: ...

def _write(sock: BinaryIO, d: bytes) -> None: ...
def _flush(sock: BinaryIO) -> None: ...
