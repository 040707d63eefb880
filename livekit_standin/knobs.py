"""The settings of a World as JSON: what the controls show, and how they change it."""

from dataclasses import fields
from typing import Self

from livekit.protocol import egress
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, TypeAdapter

from livekit_standin.options import Settings, WorkerOptions
from livekit_standin.timing import SECOND

_OBJECT = TypeAdapter(dict[str, JsonValue])


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Backup(_Model):
    endpoint: str
    bucket: str
    region: str = "us-east-1"
    access_key: str = ""
    secret: SecretStr = SecretStr("")
    force_path_style: bool = True

    @classmethod
    def of(cls, s3: egress.S3Upload) -> Self:
        return cls(
            endpoint=s3.endpoint,
            bucket=s3.bucket,
            region=s3.region,
            access_key=s3.access_key,
            secret=SecretStr(s3.secret),
            force_path_style=s3.force_path_style,
        )

    def upload(self) -> egress.S3Upload:
        return egress.S3Upload(
            endpoint=self.endpoint,
            bucket=self.bucket,
            region=self.region,
            access_key=self.access_key,
            secret=self.secret.get_secret_value(),
            force_path_style=self.force_path_style,
        )


class _Worker(_Model):
    clock_skew_s: float = 0
    storage_prefix: str = ""
    generate_presigned_url: bool = False
    max_retries: int = Field(default=5, ge=1)
    max_retry_delay_s: float = Field(default=5, gt=0)
    backup: _Backup | None = None


class _Settings(_Model):
    page_size: int | None = Field(default=None, ge=1)
    worker: _Worker = _Worker()


def shown_settings(settings: Settings) -> str:
    """Show the settings, secrets masked."""
    return _read(settings).model_dump_json()


def change_settings(settings: Settings, body: bytes) -> None:
    """Change those settings that a JSON object names; raises ValueError."""
    change = _OBJECT.validate_json(body)
    before = _read(settings)
    worker = _OBJECT.validate_python(change.pop("worker", {}))
    kept = dict(before)
    kept["worker"] = dict(before.worker) | worker
    _write(_Settings.model_validate(kept | change), settings)


def reset_settings(settings: Settings) -> None:
    """Set everything as it was in the beginning."""
    fresh = Settings()
    for each in fields(fresh):
        setattr(settings, each.name, getattr(fresh, each.name))


def _read(settings: Settings) -> _Settings:
    worker = settings.worker
    return _Settings(
        page_size=settings.page_size,
        worker=_Worker(
            clock_skew_s=worker.clock_skew / SECOND,
            storage_prefix=worker.storage_prefix,
            generate_presigned_url=worker.generate_presigned_url,
            max_retries=worker.max_retries,
            max_retry_delay_s=worker.max_retry_delay / SECOND,
            backup=None if worker.backup is None else _Backup.of(worker.backup),
        ),
    )


def _write(wanted: _Settings, settings: Settings) -> None:
    worker = wanted.worker
    settings.page_size = wanted.page_size
    settings.worker = WorkerOptions(
        clock_skew=int(worker.clock_skew_s * SECOND),
        storage_prefix=worker.storage_prefix,
        generate_presigned_url=worker.generate_presigned_url,
        max_retries=worker.max_retries,
        max_retry_delay=int(worker.max_retry_delay_s * SECOND),
        backup=None if worker.backup is None else worker.backup.upload(),
    )
