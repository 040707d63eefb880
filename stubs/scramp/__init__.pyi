import ssl
from collections.abc import Sequence

class ScramException(Exception): ...

class ScramClient:
    mechanism_name: str
    password: bytes
    def __init__(
        self,
        mechanisms: Sequence[str],
        username: str,
        password: str,
        channel_binding: tuple[str, ssl.SSLSocket] | None = ...,
    ) -> None: ...
    def get_client_first(self) -> str: ...
