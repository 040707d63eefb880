"""`make audit` tells what is known of the locked packages, and never takes silence for good news."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final

import pytest

from local.processes.children import LocalStackError
from tools.audit import audit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCKED: Final = """\
six==1.17.0 \\
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d39dc7d27b2e1e8eda2be8970586274f
flawed==1.0 \\
    --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000
"""
ADVISORY: Final = {
    "id": "PYSEC-2026-1",
    "affected": [
        {
            "package": {"name": "flawed", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}


class Database(BaseHTTPRequestHandler):
    """Answers as OSV does, for those packages of which the server has been told."""

    def do_POST(self) -> None:
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known: dict[str, object] = vars(self.server).get("advisories", {})
        name = query["package"]["name"]
        body = json.dumps({"vulns": [known[name]]} if name in known else {}).encode()
        self.send_response(vars(self.server).get("status", 200))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name of the one it replaces
        """Keep quiet."""


@pytest.fixture
def database() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "lock.txt"
    path.write_text(LOCKED)
    return path


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}/v1/query"


def test_nothing_known_is_good(
    database: ThreadingHTTPServer, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit([lock], url(database)) == 0
    assert "2 locked packages" in capsys.readouterr().out


def test_a_vulnerability_is_named_with_its_fix(
    database: ThreadingHTTPServer, lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vars(database)["advisories"] = {"flawed": ADVISORY}

    assert audit([lock], url(database)) == 1
    assert capsys.readouterr().out == "flawed 1.0: PYSEC-2026-1, fixed in 1.1\n"


def test_a_database_that_refuses_is_no_good_news(database: ThreadingHTTPServer, lock: Path) -> None:
    vars(database)["status"] = 404

    with pytest.raises(LocalStackError, match=r"(?s)within reach.*ServiceError"):
        audit([lock], url(database))


def test_a_database_out_of_reach_is_no_good_news(lock: Path) -> None:
    with pytest.raises(LocalStackError, match=r"(?s)within reach.*Connection refused"):
        audit([lock], "http://127.0.0.1:1/v1/query")
