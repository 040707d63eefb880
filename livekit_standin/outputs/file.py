"""The file of an egress, stored at its end."""

from collections.abc import Callable
from dataclasses import replace
from posixpath import dirname

from livekit.protocol import egress

from livekit_standin import files
from livekit_standin.outputs.asked import FileOutput, Names
from livekit_standin.outputs.sink import Failure, ManifestPlace, Stage
from livekit_standin.recording import Recording
from livekit_standin.uploads import Object, Stored

_UPLOAD_DENIED = (
    "S3 upload failed: err: operation error S3: PutObject, https response error StatusCode: 403, "
    "RequestID: , HostID: , api error AccessDenied: Access Denied, status code: 403"
)


def _begun_earlier(recording: Recording, by: int) -> Recording:
    return replace(recording, begin=recording.begin - by, duration=recording.duration + by)


class FileSink:
    """Names and stores the file."""

    def __init__(self, stage: Stage, output: FileOutput) -> None:
        self._stage = stage
        self._output = output
        self._store = stage.uploads.open(stage.found, output.upload)

    def name(self, names: Names) -> None:
        """Write the name into the result."""
        # That of a track has learned its container meanwhile.
        self._output = self._stage.found.job.outputs.file or self._output
        self._output.write_names(self._result, names)

    def begin(self, started_at: int) -> None:
        """Record from now on."""
        self._result.started_at = started_at

    def end(self, ended_at: int) -> None:
        """Write the end into the result."""
        self._result.ended_at = ended_at
        self._result.duration = ended_at - self._result.started_at

    def finish(self, done: Callable[[Failure | None], None]) -> None:
        """Store the file."""
        stage = self._stage
        self.end(stage.found.file_ended_at)
        if stage.environment.fires(stage.environment.faults.upload_fails):
            done((400, _UPLOAD_DENIED))
            return
        container, result = self._output.container or "mp4", self._result

        def stored(where: Stored) -> None:
            result.size, result.location = where.size, where.location
            stage.found.manifest.files.append({"filename": result.filename, "location": where.location})
            done(None)

        recording = stage.recording(container, result.duration)
        if stage.found.job.web and stage.environment.fires(stage.environment.faults.duration_short):
            recording = _begun_earlier(recording, stage.environment.draw(stage.environment.timing.surplus))
        file = Object(result.filename, recording, files.content_type(container))
        stage.uploads.put(self._store, file, stored, lambda code, text: done((code, text)))

    def stop(self) -> None:
        """Nothing is under way but uploads, which end by themselves."""

    def manifest_place(self) -> ManifestPlace:
        """Say where the manifest goes: beside the file."""
        folder = dirname(files.key_of(self._result.filename))
        return ManifestPlace(self._store, folder, wanted=not self._output.disable_manifest)

    @property
    def _result(self) -> egress.FileInfo:
        return self._stage.found.info.file_results[0]
