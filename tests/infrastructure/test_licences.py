"""Packages of others in the layer and in the migration come with their licences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from local.functions.build import built
from local.processes.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PACKAGE: Final = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def build() -> Iterator[Path]:
    with built(print) as template:
        yield template.parent


@pytest.mark.parametrize(
    ("requirements", "folder"), [("layer.txt", "Recorder"), ("migrate.txt", "MigrateDatabase")]
)
def test_each_package_is_carried_with_its_licence(build: Path, requirements: str, folder: str) -> None:
    carried = PACKAGE.findall((ROOT / "requirements" / requirements).read_text())
    licences = build / folder / "licences"

    assert carried
    for name, version in carried:
        [kept] = licences.glob(f"{name.replace('-', '_')}-{version}*")
        texts = [path for path in kept.iterdir() if path.name != "METADATA"]
        assert (kept / "METADATA").exists()
        assert any(path.stat().st_size > 500 for path in texts), name
    # They are for people, and on no path for imports.
    assert not (build / folder / "python" / "licences").exists()
