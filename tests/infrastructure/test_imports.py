"""The layer's packages import inwards only, for types too, and each vendor has its place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "recorder"
PACKAGE = LAYER / "recorder"

LEAVES = {"errors", "telemetry", "untrusted", "outbound"}
# By package, or module at the top: what it may import of ours. Everything may import itself and the leaves below it.
MAY_IMPORT: dict[str, set[str]] = {
    "untrusted": set(),
    "outbound": set(),
    "errors": set(),
    "telemetry": {"errors", "untrusted"},
    "domain": set(),
    "settings": {"domain"},
    "contract": {"domain", "errors", "untrusted"},
    "usecases": {"domain", "contract", *LEAVES},
    "sweep": {"usecases", "domain", *LEAVES},
    "postgres": {"usecases", "domain", "settings", *LEAVES},
    "livekit": {"usecases", "domain", "settings", *LEAVES},
    "aws": {"usecases", "domain", "settings", *LEAVES},
    "ahead": {"settings"},
    "bootstrap": {
        "ahead",
        "aws",
        "contract",
        "domain",
        "livekit",
        "postgres",
        "settings",
        "sweep",
        "usecases",
        *LEAVES,
    },
    "api": {"bootstrap", "contract", "domain", "usecases", *LEAVES},
    # It looks at what the adapters look at, with as little as possible between.
    "doctor": {"aws", "bootstrap", "domain", "livekit", "postgres", "settings", *LEAVES},
    "__init__": {"bootstrap", "contract", "domain", "usecases", "errors"},
}
# Of the use cases the adapters see the ports only.
ADAPTERS = {"postgres", "livekit", "aws"}
VENDORS = {
    "livekit": {"livekit.client", "livekit.egress", "livekit.requests"},
    "aiohttp": {"livekit.client"},
    "jwt": {"livekit.webhook", "doctor.livekit", "doctor.outside"},
    "pg8000": {"postgres.database", "postgres.login", "doctor.database"},
    "scramp": {"postgres.database", "postgres.login", "doctor.database"},
    "boto3": set(),
    "botocore": set(),
    "pydantic": {"contract.requests"},
    "pydantic_core": {"contract.requests"},
    "aws_lambda_powertools": {"telemetry"},
    "os": {"settings"},
}

MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in sorted(PACKAGE.rglob("*.py"))
}


def _imported(path: Path, *, when_run: bool = False) -> set[str]:
    """Return the modules that a file imports, by their full names; `when_run` leaves out those for types."""
    found: set[str] = set()
    tree = ast.parse(path.read_text())
    if when_run:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body.clear()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            module = node.module or ""
            modules = {f"{module}.{alias.name}" for alias in node.names}
            ours = {name for name in modules if name.removeprefix("recorder.") in MODULES}
            found |= ours or {module}
    return found


def _ours(path: Path) -> set[str]:
    return {name.removeprefix("recorder.") for name in _imported(path) if name.startswith("recorder.")}


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_inwards_only(module: str) -> None:
    package = module.partition(".")[0]
    imported = _ours(MODULES[module])
    packages = {name.partition(".")[0] for name in imported} - {package}
    assert packages <= MAY_IMPORT[package]
    if package in ADAPTERS:
        assert {name for name in imported if name.startswith("usecases.")} <= {"usecases.ports"}


def _classes(module: str) -> dict[str, tuple[set[str], set[str]]]:
    """Return the classes of a module, with the names of their bases and of their public methods and properties."""
    return {
        node.name: (
            {ast.unparse(base) for base in node.bases},
            {
                each.name
                for each in node.body
                if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")
            },
        )
        for node in ast.parse(MODULES[module].read_text()).body
        if isinstance(node, ast.ClassDef)
    }


PORTS = {
    name: methods
    for name, (bases, methods) in _classes("usecases.ports").items()
    if "Protocol" in bases and name != "Adapters"
}


def _implementations() -> dict[str, set[str]]:
    """Return by port the adapters: the classes of the adapters' packages that have all of its methods."""
    return {
        port: {
            f"{module}.{name}"
            for module in MODULES
            if module.partition(".")[0] in ADAPTERS
            for name, (bases, has) in _classes(module).items()
            if "Protocol" not in bases and methods <= has
        }
        for port, methods in PORTS.items()
    }


def test_only_bootstrap_names_an_adapter() -> None:
    implementations = _implementations()
    # The joiner is the assembling function's own: nothing else has PyAV.
    assert [port for port, adapters in implementations.items() if not adapters] == ["Joiner"]
    named = {adapter.rpartition(".")[2] for adapters in implementations.values() for adapter in adapters}
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "functions").rglob("*.py")]:
        used = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        if path.parent.name not in ADAPTERS:
            assert used & named == (named if path.name == "bootstrap.py" else set()), path


def test_bootstrap_is_loaded_before_all_that_a_cold_start_imports() -> None:
    tree = ast.parse(MODULES["bootstrap"].read_text())
    loaded = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert {name for name in loaded if name and name.startswith("recorder.")} == {
        "recorder.ahead",
        "recorder.errors",
        "recorder.settings",
    }


def test_types_of_answers_are_imported_for_types_only() -> None:
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "functions").glob("*/*.py")]:
        assert "recorder.contract.schemas" not in _imported(path, when_run=True), path


def test_annotations_of_values_are_not_deferred() -> None:
    values = [module for module in MODULES if module.partition(".")[0] in {"domain", "settings"}]
    for module in [*values, "contract.requests"]:
        assert "__future__" not in _imported(MODULES[module]), module


def test_no_module_imports_itself_by_way_of_others() -> None:
    imports = {module: _ours(path) & set(MODULES) for module, path in MODULES.items()}

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        for each in imports[module]:
            if each not in clean:
                visit(each, (*path, module))
        clean.add(module)

    clean: set[str] = set()
    for module in imports:
        visit(module, ())


@pytest.mark.parametrize("vendor", VENDORS)
def test_vendor_stays_where_it_belongs(vendor: str) -> None:
    users = {
        module
        for module, path in MODULES.items()
        if vendor in {name.partition(".")[0] for name in _imported(path, when_run=True)}
    }
    assert users == VENDORS[vendor]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "functions").glob("*/app.py")), ids=lambda path: path.parent.name
)
def test_function_knows_the_layer_and_no_vendor(path: Path) -> None:
    allowed = {"recorder", "http", "json", "typing", "urllib", "uuid", "pathlib", "aws_lambda_powertools"}
    if path.parent.name == "assemble_recording":
        allowed |= {"functools", "joiner"}
    if path.parent.name == "migrate_database":
        allowed |= {"alembic", "sqlalchemy", "pg8000", "hashlib", "time"}
    if path.parent.name == "check_deployment":
        allowed |= {"time"}
    if path.parent.name == "serve_console":
        # It has no layer, so that it starts as a bare handler does.
        allowed = {"__future__", "base64", "json", "os", "typing", "urllib", "zlib"}
    assert {name.partition(".")[0] for name in _imported(path, when_run=True)} <= allowed


def test_environment_is_read_in_the_settings_only() -> None:
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "functions").glob("*/*.py")]:
        if path.stem != "settings" and path.parent.name != "serve_console":
            assert "environ" not in path.read_text().replace("environment", ""), path


@pytest.mark.parametrize("package", ["livekit_standin", "simulator"])
def test_package_stands_alone(package: str) -> None:
    strangers = {"local", "tests", "pytest"} | (
        {"recorder", "simulator"} if package == "livekit_standin" else set()
    )
    for path in (ROOT / package).rglob("*.py"):
        assert not {name.partition(".")[0] for name in _imported(path)} & strangers, path
