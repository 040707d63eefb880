"""The settings of a running stack's functions, so that one of them can be run beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pathlib import Path

    from local.template.application import Application


class Deployment(BaseModel):
    """The template's parameters and resources with their local values, and what Lambda brings to every function."""

    model_config = ConfigDict(frozen=True)

    parameters: dict[str, str]
    resources: dict[str, str]
    environment: dict[str, str]
    region: str
    access_key: str
    secret_key: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a file says."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """Write the file, for nobody else to read."""
        path.touch(mode=0o600)
        path.write_text(self.model_dump_json(indent=2) + "\n")

    def load(self, built: Path) -> Application:
        """Return what the built template would deploy with these values."""
        from local.template import application  # noqa: PLC0415 - SAM's transform takes seconds to import: see Stack

        return application.load(
            built, self.parameters, self.resources, region=self.region, overrides=self.environment
        )
