"""The function's package as `sam build` makes it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from local.functions.build import architecture
from local.processes.environments import ROOT
from tests.assembling.media import Recorded, Store

if TYPE_CHECKING:
    from pathlib import Path

JOIN: Final = """
import sys
from joining import Part, Take, join, plan

class Objects:
    def read(self, key, start, length):
        with open(key, "rb") as file:
            file.seek(start)
            return file.read(length)

class Upload:
    def create(self): pass
    def upload_part(self, number, content): self.size = len(content)
    def complete(self): print(self.size)
    def abort(self): pass

content = open(sys.argv[1], "rb").read()
take = Take(number=1, file=Part(sys.argv[1], len(content)))
join(plan(Objects(), [take, take]), Objects(), Upload())
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build as `sam build` does, with what it has installed before."""
    directory = tmp_path_factory.mktemp("package")
    subprocess.run(
        [
            *("make", "-f", "requirements/Makefile", "build-AssembleRecording"),
            *(f"ARTIFACTS_DIR={directory}", f"ARCHITECTURE={architecture()}"),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return directory


def test_it_joins_with_nothing_but_what_it_holds(package: Path, tmp_path: Path) -> None:
    store = Store()
    store.record(Recorded(number=1), file=True, segments=False)
    file = tmp_path / "recording.mp4"
    file.write_bytes(store.contents["1/recording.mp4"])

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(package)!r})\n{JOIN}", file],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )

    assert done.stderr == ""
    assert int(done.stdout) > file.stat().st_size


def test_it_carries_its_licences(package: Path) -> None:
    texts = {path.name for path in (package / "licences" / "ffmpeg").iterdir()}
    assert {"NOTICE.md", "GPL-2.txt", "GPL-3.txt", "LGPL-2.1.txt", "LGPL-3.txt"} == texts
    assert list(package.glob("licences/av-*/LICENSE.txt"))
    notice = (package / "licences" / "ffmpeg" / "NOTICE.md").read_text().lower()
    libraries = {path.name.partition("-")[0].lower() for path in (package / "av.libs").iterdir()}
    parts = {"libhogweed": "nettle", "libsharpyuv": "webp", "libwebpmux": "webp", "libasound": "alsa"}
    names = {parts.get(library, library.removeprefix("lib").removesuffix("enc")) for library in libraries}
    assert {name for name in names if name.replace("svtav1", "svt-av1") not in notice} == set()


def test_it_is_compiled_and_fits_beside_the_layer(package: Path) -> None:
    compiled = [path for path in package.rglob("*.pyc") if "joining" in path.parts]
    assert len(compiled) == len(list((package / "joining").glob("*.py")))
    size = sum(path.stat().st_size for path in package.rglob("*") if path.is_file())
    # Lambda takes 250 MB of function and layer, of which the layer has 30.
    assert size < 180 * 2**20
