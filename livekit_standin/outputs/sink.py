"""The base of every output of a running egress."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from livekit_standin.environment import Environment
from livekit_standin.outputs.asked import Names
from livekit_standin.recording import Recording
from livekit_standin.records import Egress
from livekit_standin.uploads import Store, Uploads

type Failure = tuple[int, str]
"""An error's code and text."""


@dataclass(frozen=True, slots=True)
class Stage:
    """An egress as its outputs see it."""

    found: Egress
    environment: Environment
    uploads: Uploads
    fail: Callable[[int, str], None]
    """Ends the egress in the midst of its recording."""
    publish: Callable[[], None]
    """Tells how it is now."""
    output_ended: Callable[[], None]
    """One of its outputs writes no more."""

    def worker_time(self) -> int:
        """Give what the worker's clock shows."""
        return self.found.worker_time(self.environment.now())

    def recording(self, container: str, duration: int) -> Recording:
        """Describe what was recorded in so many ns."""
        job = self.found.job
        return Recording(
            room_name=job.room_name,
            container=container,
            encoding=job.encoding,
            audio=bool(job.encoding.audio_codec),
            video=bool(job.encoding.video_codec),
            layout=self.found.layout or ("grid" if job.kind == "room_composite" else "single-speaker"),
            duration=duration,
            begin=self.found.begun_at,
        )


@dataclass(frozen=True, slots=True)
class ManifestPlace:
    """Where an output wants the manifest."""

    store: Store
    folder: str
    wanted: bool
    """Otherwise only where the backup storage is used."""


class Sink(Protocol):
    """One output of an egress. All times are by the worker's clock, in ns."""

    def name(self, names: Names) -> None:
        """Write the names into the result."""

    def begin(self, started_at: int) -> None:
        """Record from a time on, which is now or was some moments ago."""

    def end(self, ended_at: int) -> None:
        """Write into the result when it ended; 0 where the worker does not know, as LiveKit does then."""

    def finish(self, done: Callable[[Failure | None], None]) -> None:
        """Store what is left, then call `done`."""

    def stop(self) -> None:
        """Do nothing more: the egress has ended, or its host died."""

    def manifest_place(self) -> ManifestPlace | None:
        """Say where the manifest goes; None where an output has no folder."""
