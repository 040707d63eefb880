"""The outputs of running egresses: opened with them, finished one after the other, described by manifests."""

from collections.abc import Callable
from posixpath import join

from livekit_standin import files
from livekit_standin.environment import Environment
from livekit_standin.outputs.file import FileSink
from livekit_standin.outputs.images import ImagesSink
from livekit_standin.outputs.segments import SegmentsSink
from livekit_standin.outputs.sink import Failure, ManifestPlace, Sink, Stage
from livekit_standin.outputs.streams import Streams, StreamsSink
from livekit_standin.records import Egress
from livekit_standin.uploads import Object, Stored, Uploads


class Stages:
    """Where egresses put what they record."""

    def __init__(self, environment: Environment, uploads: Uploads, streams: Streams) -> None:
        self._environment = environment
        self._uploads = uploads
        self._streams = streams

    def open(
        self,
        found: Egress,
        *,
        fail: Callable[[int, str], None],
        publish: Callable[[], None],
        output_ended: Callable[[], None],
    ) -> list[Sink]:
        """Open the outputs of an egress, which call back as `Stage` says."""
        stage = Stage(
            found=found,
            environment=self._environment,
            uploads=self._uploads,
            fail=fail,
            publish=publish,
            output_ended=output_ended,
        )
        outputs = found.job.outputs
        sinks: list[Sink] = [] if outputs.file is None else [FileSink(stage, outputs.file)]
        if outputs.segments is not None:
            sinks.append(SegmentsSink(stage, outputs.segments))
        sinks += [ImagesSink(stage, images, index) for index, images in enumerate(outputs.images)]
        if outputs.streams is not None:
            sinks.append(StreamsSink(stage, outputs.streams, self._streams))
        return sinks

    def finish(self, found: Egress, done: Callable[[Failure | None], None]) -> None:
        """Store what is left of each output, the file last, then say what failed first.

        What fails does not stop the others.
        """
        left = [*found.sinks]

        def go_on(failure: Failure | None) -> None:
            if left:
                left.pop().finish(lambda failed: go_on(failure or failed))
            else:
                done(failure)

        go_on(None)

    def store_manifests(self, found: Egress, then: Callable[[], None]) -> None:
        """Store the manifest beside each output that wants it; what cannot be stored is missing."""
        used = found.info.backup_storage_used
        places = (sink.manifest_place() for sink in found.sinks)
        left = [place for place in places if place is not None and (place.wanted or used)]
        content = files.manifest(found.info, found.manifest)

        def stored(where: Stored) -> None:
            found.info.manifest_location = found.info.manifest_location or where.location
            go_on()

        def go_on() -> None:
            if left:
                put(left.pop(0))
            else:
                then()

        def put(place: ManifestPlace) -> None:
            manifest = Object(join(place.folder, f"{found.id}.json"), content, "application/json")
            self._uploads.put(place.store, manifest, stored, lambda _code, _text: go_on())

        go_on()
