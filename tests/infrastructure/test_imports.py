"""The layer's modules import downwards only, and each vendor has its place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "layers" / "recorder" / "recorder"

# Outermost first: a module may import what stands below it.
ORDER = (
    "http",
    "authorization",
    "paging",
    "bootstrap",
    "ahead",
    "reconciler",
    "service",
    "repository",
    "database",
    "egress",
    "egress_record",
    "livekit_webhook",
    "egress_info",
    "storage",
    "events",
    "login",
    "aws",
    "sigv4",
    "https",
    "ports",
    "settings",
    "requests",
    "schemas",
    "domain",
    "telemetry",
    "errors",
    "untrusted",
)
VENDORS = {
    "livekit": {"egress"},
    "aiohttp": {"egress"},
    "jwt": {"livekit_webhook"},
    "pg8000": {"database"},
    "boto3": {"bootstrap"},
    "botocore": {"bootstrap", "events", "storage"},
    "pydantic": {"requests"},
    "pydantic_core": {"requests"},
    "aws_lambda_powertools": {"telemetry"},
    "os": {"settings"},
}


def _imported(path: Path) -> set[str]:
    """Return what a file imports when it runs: modules of its own package with a dot, others by their first name."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {f".{name.partition('.')[0]}" for name in names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


MODULES = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_downwards(module: str) -> None:
    own = {name[1:] for name in _imported(PACKAGE / f"{module}.py") if name.startswith(".")}
    assert own <= set(ORDER[ORDER.index(module) + 1 :])


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendor_stays_where_it_belongs(vendor: str) -> None:
    users = {module for module in MODULES if vendor in _imported(PACKAGE / f"{module}.py")}
    assert users == VENDORS[vendor]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda path: path.parent.name
)
def test_function_knows_the_layer_and_no_vendor(path: Path) -> None:
    allowed = {"recorder", "http", "json", "typing", "urllib", "uuid", "pathlib", "aws_lambda_powertools"}
    if path.parent.name == "start_recording":
        allowed |= {"pydantic"}
    if path.parent.name == "migrate_database":
        allowed |= {"alembic", "sqlalchemy", "pg8000", "hashlib", "time"}
    assert _imported(path) <= allowed


def test_environment_is_read_in_the_settings_only() -> None:
    for path in [*PACKAGE.glob("*.py"), *(ROOT / "functions").glob("*/*.py")]:
        if path.stem != "settings":
            assert "environ" not in path.read_text().replace("environment", ""), path
