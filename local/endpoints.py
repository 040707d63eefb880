"""`endpoints.json`: where everything of a running stack is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pathlib import Path


class Endpoints(BaseModel):
    """The addresses and keys of a running stack; `tokens` are access tokens by user name."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    api_url: str
    console_url: str
    tokens: dict[str, str]
    issuer: str
    livekit_url: str
    livekit_api_key: str
    livekit_api_secret: str
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    bucket: str
    database_url: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what a file says; raise FileNotFoundError if there is none, since no stack runs or is ready."""
        return cls.model_validate_json(path.read_bytes())

    def write(self, path: Path) -> None:
        """Write the file whole or not at all, for nobody else to read."""
        unfinished = path.with_suffix(".unfinished")
        unfinished.touch(mode=0o600)
        unfinished.write_text(self.model_dump_json(by_alias=True, indent=2) + "\n")
        os.replace(unfinished, path)  # noqa: PTH105 - Path.replace says no more
