"""The streams of an egress, pushed to RTMP receivers while it records."""

from collections.abc import Callable
from dataclasses import dataclass

from livekit.protocol import egress

from livekit_standin.outputs.asked import Names, RefusedError, StreamsOutput, redacted
from livekit_standin.outputs.sink import Failure, ManifestPlace, Stage
from livekit_standin.recording import Recording
from livekit_standin.records import Egress
from livekit_standin.timing import SECOND
from livekit_standin.twirp import TwirpError, invalid_argument, not_found

_RETRIES_PER_S = 25
_TELL_RETRIES_EVERY = 60 * SECOND


@dataclass(frozen=True, slots=True)
class PushStream:
    """A stream to be pushed from now on.

    Its driver reports `stream_connected` or `stream_failed` with `id`, later perhaps `stream_lost` and again
    `stream_connected`.
    """

    id: int
    egress_id: str
    url: str
    recording: Recording
    """The part that has been recorded so far."""


@dataclass(frozen=True, slots=True)
class EndStream:
    """A stream that is to be pushed no more."""

    id: int


type StreamEffect = PushStream | EndStream


class Streams:
    """All streams that are pushed, for the reports about them."""

    def __init__(self, hand_over: Callable[[StreamEffect], None]) -> None:
        self._hand_over = hand_over
        self._sinks: dict[int, StreamsSink] = {}
        self._serial = 0

    def push(self, sink: "StreamsSink", url: str, recording: Recording, egress_id: str) -> int:
        """Have a stream pushed, and give its id."""
        self._serial += 1
        self._sinks[self._serial] = sink
        self._hand_over(PushStream(self._serial, egress_id, url, recording))
        return self._serial

    def end(self, stream_id: int) -> None:
        """Have a stream pushed no more."""
        if self._sinks.pop(stream_id, None) is not None:
            self._hand_over(EndStream(stream_id))

    def find(self, stream_id: int) -> "StreamsSink | None":
        """Find who has a stream pushed."""
        return self._sinks.get(stream_id)


@dataclass(slots=True)
class _Stream:
    url: str
    index: int
    """Of its result."""
    id: int = 0
    """0 while it is not pushed."""
    lost: str = ""
    """Why its receiver is gone; empty while it is there."""
    told_at: int = 0


class StreamsSink:
    """Pushes streams; what fails at once is FAILED, what breaks later is tried again until the end."""

    def __init__(self, stage: Stage, output: StreamsOutput, streams: Streams) -> None:
        self._stage = stage
        self._streams = streams
        self._running = [_Stream(url, index) for index, url in enumerate(output.urls)]

    @property
    def found(self) -> Egress:
        """Whose streams they are."""
        return self._stage.found

    def name(self, names: Names) -> None:
        """Streams have no names to be filled."""

    def begin(self, started_at: int) -> None:
        """Push from now on; a stream has begun when it is connected."""
        del started_at
        for stream in self._running:
            self._push(stream)

    def end(self, ended_at: int) -> None:
        """Write the end into the results of those that still run: a failed egress has failed streams."""
        failed = self._stage.found.info.status == egress.EGRESS_FAILED
        for stream in self._running:
            result = self._result(stream)
            result.status = egress.StreamInfo.FAILED if failed else egress.StreamInfo.FINISHED
            self._close(result, ended_at)

    def finish(self, done: Callable[[Failure | None], None]) -> None:
        """Give up those whose receivers are gone, and push no more."""
        lost = [stream for stream in self._running if stream.lost]
        for stream in lost:
            self._count_retries(stream)
            self._give_up(stream, stream.lost)
        if lost:
            self._stage.publish()
        self.stop()
        self.end(self._stage.found.file_ended_at)
        done(None)

    def stop(self) -> None:
        """Push no more."""
        for stream in self._running:
            self._streams.end(stream.id)

    def manifest_place(self) -> ManifestPlace | None:
        """Streams have no folder."""
        return None

    def update(self, request: egress.UpdateStreamRequest) -> TwirpError | None:
        """UpdateStream: add and remove streams; what can be done is done although the rest is refused."""
        errors: list[tuple[Callable[[str], TwirpError], str]] = []
        for url in request.add_output_urls:
            try:
                shown = redacted(url)
            except RefusedError as error:
                errors.append((invalid_argument, str(error)))
                continue
            results = self._stage.found.info.stream_results
            results.add(url=shown, status=egress.StreamInfo.ACTIVE)
            self._stage.found.outputs += 1
            stream = _Stream(url, len(results) - 1)
            self._running.append(stream)
            self._push(stream)
        for url in request.remove_output_urls:
            removed = next((stream for stream in self._running if stream.url == url), None)
            if removed is None:
                errors.append((not_found, f"stream {url} not found"))
            else:
                self._remove(removed)
        self._updated()
        if not errors:
            return None
        refuse, _ = errors[0]
        return refuse("\n".join(text for _, text in errors))

    def connected(self, stream_id: int) -> None:
        """Take note that a stream has reached its receiver."""
        stream = self._find(stream_id)
        if stream is None:
            return
        stream.lost = ""
        result = self._result(stream)
        if not result.started_at:
            result.started_at = self._stage.worker_time()
            self._updated()

    def failed(self, stream_id: int, text: str) -> None:
        """Take note that a stream could not reach its receiver at all."""
        stream = self._find(stream_id)
        if stream is None:
            return
        self._give_up(stream, text)
        self._streams.end(stream_id)
        if not self._stage.found.outputs:
            self._stage.fail(503, text)
        else:
            self._updated()

    def lost(self, stream_id: int, text: str) -> None:
        """Take note that the receiver of a stream is gone: it is tried again and again."""
        stream = self._find(stream_id)
        if stream is None or stream.lost:
            return
        stream.lost = text
        self._retry(stream)

    def _retry(self, stream: _Stream) -> None:
        if not stream.lost or stream not in self._running:
            return
        self._count_retries(stream)
        self._updated()
        environment = self._stage.environment
        environment.schedule.after(
            _TELL_RETRIES_EVERY, lambda: self._stage.found.do(lambda: self._retry(stream))
        )

    def _count_retries(self, stream: _Stream) -> None:
        result, now = self._result(stream), self._stage.worker_time()
        passed = now - result.last_retry_at if result.retries else 0
        result.retries += 1 + passed * _RETRIES_PER_S // SECOND
        result.last_retry_at = now

    def _push(self, stream: _Stream) -> None:
        recorded = self._stage.environment.now() - self._stage.found.begun_at
        recording = self._stage.recording("flv", recorded)
        stream.id = self._streams.push(self, stream.url, recording, self._stage.found.id)

    def _remove(self, stream: _Stream) -> None:
        result = self._result(stream)
        result.status = egress.StreamInfo.FINISHED
        self._close(result, self._stage.worker_time())
        self._forget(stream)
        if not self._stage.found.outputs:
            self._stage.output_ended()

    def _give_up(self, stream: _Stream, text: str) -> None:
        result = self._result(stream)
        result.status, result.error = egress.StreamInfo.FAILED, text
        self._close(result, self._stage.worker_time())
        self._forget(stream)

    def _forget(self, stream: _Stream) -> None:
        self._streams.end(stream.id)
        self._running.remove(stream)
        self._stage.found.outputs -= 1

    def _close(self, result: egress.StreamInfo, ended_at: int) -> None:
        result.ended_at = ended_at
        if not result.started_at:
            result.started_at = ended_at
        else:
            result.duration = ended_at - result.started_at

    def _updated(self) -> None:
        self._stage.found.info.updated_at = self._stage.worker_time()
        # While one is on its way to its receiver nothing is told.
        if not any(self._connecting(stream) for stream in self._running):
            self._stage.publish()

    def _connecting(self, stream: _Stream) -> bool:
        return not self._result(stream).started_at

    def _find(self, stream_id: int) -> _Stream | None:
        return next((stream for stream in self._running if stream.id == stream_id), None)

    def _result(self, stream: _Stream) -> egress.StreamInfo:
        return self._stage.found.info.stream_results[stream.index]
