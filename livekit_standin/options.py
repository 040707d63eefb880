"""How a LiveKit and its workers are configured."""

from dataclasses import dataclass, field

from livekit.protocol import egress

from livekit_standin.timing import SECOND


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """The configuration of a worker, as in the YAML file of LiveKit's egress service."""

    clock_skew: int = 0
    """How many ns a worker's clock is ahead of the server's; negative where it is behind."""
    storage_prefix: str = ""
    """`storage.prefix`: stands in front of every key, also in the bucket of a request."""
    generate_presigned_url: bool = False
    """`storage.generate_presigned_url`: locations are links that are valid for seven days."""
    max_retries: int = 5
    """`storage.s3.max_retries`: how often an upload is tried."""
    max_retry_delay: int = 5 * SECOND
    """`storage.s3.max_retry_delay`, in ns."""
    backup: egress.S3Upload | None = None
    """`backup`: where to an output goes, for good, once an upload to its own place has failed."""


@dataclass(slots=True)
class Settings:
    """Options that may be changed at any time."""

    worker: WorkerOptions = field(default_factory=WorkerOptions)
    """Of the workers that take the next egresses; what runs keeps that of its start."""
    page_size: int | None = None
    """How many egresses ListEgress gives at once; None: all, as LiveKit's own server does."""
