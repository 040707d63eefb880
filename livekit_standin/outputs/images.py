"""The images of an egress, stored while it records."""

from collections import deque
from collections.abc import Callable
from functools import partial
from posixpath import join, split
from time import gmtime, strftime

from livekit.protocol import egress

from livekit_standin.outputs.asked import ImagesOutput, Names
from livekit_standin.outputs.sink import Failure, ManifestPlace, Stage
from livekit_standin.recording import Image
from livekit_standin.timing import SECOND
from livekit_standin.uploads import Object, Stored

_MILLISECOND = 1_000_000


class ImagesSink:
    """Stores an image at once, one every interval, and one at the end; one after the other."""

    def __init__(self, stage: Stage, output: ImagesOutput, index: int) -> None:
        self._stage = stage
        self._output = output
        self._index = index
        self._store = stage.uploads.open(stage.found, output.upload)
        self._folder = self._base = ""
        self._captured = 0
        self._first_at: int | None = None
        self._queue: deque[tuple[int, int]] = deque()
        """Number and time of those that are not stored yet."""
        self._busy = False
        self._done: Callable[[Failure | None], None] | None = None

    def name(self, names: Names) -> None:
        """Write the names into the result."""
        self._output.write_names(self._result, names)
        self._folder, base = split(self._result.filename_prefix)
        self._base = base or names.own()

    def begin(self, started_at: int) -> None:
        """Record from now on."""
        self._result.started_at = started_at
        environment = self._stage.environment
        environment.after(
            environment.timing.first_image, partial(self._stage.found.do, self._capture_in_time)
        )

    def end(self, ended_at: int) -> None:
        """Write the end into the result."""
        self._result.ended_at = ended_at

    def finish(self, done: Callable[[Failure | None], None]) -> None:
        """Store the last image."""
        self._done = done
        self.end(self._stage.found.file_ended_at)
        self._capture(self._stage.found.file_ended_at - self._result.started_at)
        self._store_next()

    def stop(self) -> None:
        """Nothing is under way but uploads, which end by themselves."""

    def manifest_place(self) -> ManifestPlace:
        """Say where the manifest goes: beside the images."""
        return ManifestPlace(self._store, self._folder, wanted=not self._output.disable_manifest)

    @property
    def _result(self) -> egress.ImagesInfo:
        return self._stage.found.info.image_results[self._index]

    def _capture_in_time(self) -> None:
        stage = self._stage
        if stage.found.info.status != egress.EGRESS_ACTIVE:
            return
        self._capture(self._captured * self._output.interval)
        self._store_next()
        environment = stage.environment
        due = stage.found.begun_at + self._captured * self._output.interval
        after = max(0, due + environment.draw(environment.timing.image) - environment.now())
        environment.schedule.after(after, partial(stage.found.do, self._capture_in_time))

    def _capture(self, at: int) -> None:
        self._queue.append((self._captured, at))
        self._captured += 1

    def _store_next(self) -> None:
        if self._busy:
            return
        if not self._queue:
            if self._done is not None:
                self._done(None)
            return
        number, at = self._queue.popleft()
        self._busy = True
        self._result.image_count += 1
        if self._first_at is None:
            self._first_at = self._stage.worker_time()
        time = self._first_at + number * self._output.interval
        name = join(self._folder, f"{self._base}{self._suffix(number, time)}.jpeg")
        made = Object(name, self._image(at), "image/jpeg")

        def stored(where: Stored) -> None:
            described = {"filename": name, "timestamp": _rfc3339(time), "location": where.location}
            self._stage.found.manifest.images.append(described)
            self._busy = False
            self._store_next()

        self._stage.uploads.put(self._store, made, stored, self._failed)

    def _image(self, at: int) -> Image:
        recording = self._stage.recording("jpeg", at)
        encoding = recording.encoding
        return Image(recording, self._output.width or encoding.width, self._output.height or encoding.height)

    def _suffix(self, number: int, time: int) -> str:
        if self._output.suffix == egress.IMAGE_SUFFIX_NONE_OVERWRITE:
            return ""
        if self._output.suffix == egress.IMAGE_SUFFIX_INDEX:
            return f"_{number:05d}"
        milliseconds = time // _MILLISECOND
        return f"_{strftime('%Y%m%d%H%M%S', gmtime(milliseconds // 1000))}{milliseconds % 1000:03d}"

    def _failed(self, code: int, text: str) -> None:
        if self._done is None:
            self._stage.fail(code, text)
        else:
            self._done((code, text))


def _rfc3339(time: int) -> str:
    fraction = f".{time % SECOND:09d}".rstrip("0").rstrip(".")
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(time // SECOND)) + fraction + "Z"
