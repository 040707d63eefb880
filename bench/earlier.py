"""An earlier revision of the product in today's laboratory: its own code on the same packages and the same database."""

from __future__ import annotations

import compileall
import io
import re
import shutil
import subprocess
import tarfile
from dataclasses import replace
from py_compile import PycInvalidationMode
from typing import TYPE_CHECKING

from local.processes.children import LocalStackError
from local.processes.environments import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from bench.laboratory import Laboratory
    from local.template.application import Function

_CODE = ("layers/recorder/recorder", "functions")


class Earlier:
    """The functions of a revision, written into a directory that stays while they are used."""

    def __init__(self, laboratory: Laboratory, revision: str, directory: Path) -> None:
        """Raise LocalStackError where Git does not know the revision."""
        self.revision = revision
        self._directory = directory
        archive = subprocess.run(
            ["git", "archive", revision, *_CODE], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode:
            raise LocalStackError(f"git archive {revision}: {archive.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(directory, filter="data")
        self._layer = directory / "layer"
        shutil.copytree(laboratory.layer, self._layer / "python")
        package = self._layer / "python" / "recorder"
        shutil.rmtree(package)
        shutil.copytree(directory / _CODE[0], package)
        compileall.compile_dir(package, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)

    def function(self, today: Function) -> Function | None:
        """Return the function of the same name with the same settings; None where it had none, or one without layer."""
        folder = self._directory / "functions" / re.sub(r"(?<!^)(?=[A-Z])", "_", today.name).lower()
        if not today.layers or not folder.exists():
            return None
        return replace(today, name=f"Earlier{today.name}", directory=folder, layers=(self._layer,))
