"""TLS to a real Postgres with an authority of its own: only the right server, and only encrypted."""

from __future__ import annotations

import ssl
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import pytest

from local.processes.children import LOOPBACK
from local.services.authority import Authority
from local.services.postgres import DATABASE, USER
from local.stack import Part, Stack
from recorder.errors import DatabaseUnavailableError
from recorder.postgres.database import Database
from recorder.postgres.login import TlsRefusedError, open_connection
from recorder.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.services.postgres import Postgres
    from recorder.postgres.login import Row


class Server(NamedTuple):
    postgres: Postgres
    bundle: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Postgres whose certificate names 127.0.0.1, and the authority that says so."""
    directory = tmp_path_factory.mktemp("tls")
    with Stack(directory / "stack", parts=Part.POSTGRES, durable=False) as stack:
        authority = Authority(directory / "authority")
        authority.certify(stack.postgres, LOOPBACK)
        yield Server(stack.postgres, authority.bundle)


def answer(postgres: Postgres, **environment: str) -> list[Row]:
    """Ask how the connection is secured, as a function with these variables does."""
    variables = {
        "DATABASE_HOST": LOOPBACK,
        "DATABASE_NAME": DATABASE,
        "DATABASE_PORT": str(postgres.port),
        "DATABASE_SECRET_ARN": "unused",
        "DATABASE_USER": USER,
    }
    settings = DatabaseSettings.from_environment(variables | environment)
    with closing(Database(lambda: open_connection(settings, postgres.password))) as database:
        return database.run("select ssl, version from pg_stat_ssl where pid = pg_backend_pid()")


def refusal(postgres: Postgres, **environment: str) -> BaseException:
    with pytest.raises(DatabaseUnavailableError) as refused:
        answer(postgres, **environment)
    assert refused.value.__cause__ is not None
    return refused.value.__cause__


def test_the_right_server_is_spoken_to_encrypted(server: Server) -> None:
    assert answer(server.postgres, DATABASE_CA_BUNDLE=str(server.bundle)) == [[True, "TLSv1.3"]]


def test_a_certificate_for_another_name_is_refused(server: Server) -> None:
    cause = refusal(server.postgres, DATABASE_CA_BUNDLE=str(server.bundle), DATABASE_HOST="localhost")

    assert isinstance(cause, ssl.SSLCertVerificationError)
    assert "localhost" in cause.verify_message


def test_a_certificate_of_another_authority_is_refused(server: Server, tmp_path: Path) -> None:
    another = Authority(tmp_path).bundle

    assert isinstance(refusal(server.postgres, DATABASE_CA_BUNDLE=str(another)), ssl.SSLCertVerificationError)


def test_without_a_bundle_only_the_authorities_of_the_system_are_trusted(server: Server) -> None:
    assert isinstance(refusal(server.postgres), ssl.SSLCertVerificationError)


def test_a_server_without_tls_is_not_spoken_to(stack: Stack, server: Server) -> None:
    cause = refusal(stack.postgres, DATABASE_CA_BUNDLE=str(server.bundle))

    assert isinstance(cause, TlsRefusedError)


def test_tls_is_given_up_only_on_demand(server: Server) -> None:
    assert answer(server.postgres, DATABASE_TLS="disable") == [[False, None]]
