from ssl import SSLContext

from sqlalchemy.engine.interfaces import DBAPIConnection

class Connection(DBAPIConnection): ...

def connect(
    *,
    user: str,
    host: str,
    port: int,
    database: str,
    password: str,
    ssl_context: SSLContext | bool | None,
    application_name: str,
) -> Connection: ...
