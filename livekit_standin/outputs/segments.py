"""The segments of an egress and their playlists, stored while it records."""

from collections.abc import Callable
from functools import partial
from posixpath import join
from time import gmtime, strftime

from livekit.protocol import egress

from livekit_standin.outputs.asked import Names, SegmentNames, SegmentsOutput
from livekit_standin.outputs.playlist import LivePlaylist, Playlist, entry
from livekit_standin.outputs.sink import Failure, ManifestPlace, Stage
from livekit_standin.recording import Segment
from livekit_standin.timing import SECOND
from livekit_standin.uploads import Object, Stored

_AUDIO_FRAME = 1024
_MILLISECOND = 1_000_000
_SLIVER = 100 * _MILLISECOND
"""A rest at the end that is shorter makes no segment of its own."""
_HOUR, _MINUTE = 3600 * SECOND, 60 * SECOND
_PLAYLIST_TYPE = "application/x-mpegurl"


class SegmentsSink:
    """Closes a segment every few seconds; a segment is stored before the playlists that name it."""

    def __init__(self, stage: Stage, output: SegmentsOutput) -> None:
        self._stage = stage
        self._output = output
        self._store = stage.uploads.open(stage.found, output.upload)
        self._names = SegmentNames("", "", "", "")
        self._playlist = Playlist(output.duration)
        self._live_playlist = LivePlaylist(output.duration)
        self._length = _segment_length(stage, output)
        self._zero = 0
        self._closed = 0
        self._stored: dict[int, tuple[int, str]] = {}
        """Length and name of those that wait for their turn in the playlist, by number."""
        self._listed = 0
        self._playlist_stored_at: int | None = None
        self._busy = False
        self._done: Callable[[Failure | None], None] | None = None
        self._segments: list[dict[str, str]] = []

    def name(self, names: Names) -> None:
        """Write the names into the result."""
        self._names = self._output.names(names)
        self._output.write_names(self._result, names)

    def begin(self, started_at: int) -> None:
        """Record from now on."""
        self._result.started_at = started_at
        self._zero = self._stage.environment.now()
        self._stage.found.manifest.playlists.append(self._described())
        self._await_next()

    def end(self, ended_at: int) -> None:
        """Write the end into the result."""
        self._result.ended_at = ended_at
        self._result.duration = ended_at - self._result.started_at

    def finish(self, done: Callable[[Failure | None], None]) -> None:
        """Store the segments that are left, the last one shorter, and close the playlists."""
        self._done = done
        self.end(self._stage.found.file_ended_at)
        recorded = self._stage.found.file_ended_at - self._result.started_at
        while recorded - self._closed * self._length > _SLIVER:
            end = min(recorded, (self._closed + 1) * self._length)
            self._close(recorded if recorded - end <= _SLIVER else end)
        self._list_next()

    def stop(self) -> None:
        """Nothing is under way but uploads, which end by themselves."""

    def manifest_place(self) -> ManifestPlace:
        """Say where the manifest goes: beside the playlists."""
        return ManifestPlace(self._store, self._names.folder, wanted=not self._output.disable_manifest)

    @property
    def _result(self) -> egress.SegmentsInfo:
        return self._stage.found.info.segment_results[0]

    def _described(self) -> dict[str, object]:
        return {"location": "", "segments": self._segments}

    def _await_next(self) -> None:
        environment = self._stage.environment
        # A picture's group has to be whole before what stands in front of it is closed.
        groups = self._closed + (2 if self._stage.found.job.encoding.video_codec else 1)
        due = self._zero + groups * self._length + environment.draw(environment.timing.segment)
        after = max(0, due - environment.now())
        environment.schedule.after(after, partial(self._stage.found.do, self._close_in_time))

    def _close_in_time(self) -> None:
        if self._stage.found.info.status == egress.EGRESS_ACTIVE:
            self._close((self._closed + 1) * self._length)
            self._await_next()

    def _close(self, end: int) -> None:
        number, begin = self._closed, self._closed * self._length
        self._closed += 1
        segment = Segment(self._stage.recording("ts", end), number, begin)
        local = f"{self._names.prefix}_{self._suffix(number)}.ts"
        name = join(self._names.folder, local)
        made = Object(name, segment, "video/mp2t")

        def stored(where: Stored) -> None:
            self._result.segment_count += 1
            self._result.size += where.size
            self._segments.append({"filename": name, "location": where.location})
            self._stored[number] = (self._played(end - begin), local)
            self._list_next()

        self._stage.uploads.put(self._store, made, stored, self._failed)

    def _played(self, length: int) -> int:
        # The last segment of a picture ends with a whole frame.
        encoding = self._stage.found.job.encoding
        if not encoding.video_codec:
            return length
        frames = -(-length * encoding.framerate // SECOND)
        return frames * SECOND // encoding.framerate

    def _suffix(self, number: int) -> str:
        if not self._output.by_time:
            return f"{number:05d}"
        milliseconds = self._begun_at(number) // _MILLISECOND
        return f"{strftime('%Y%m%d%H%M%S', gmtime(milliseconds // 1000))}{milliseconds % 1000:03d}"

    def _begun_at(self, number: int) -> int:
        return self._stage.found.worker_time(self._zero + number * self._length)

    def _list_next(self) -> None:
        if self._busy:
            return
        ready = self._stored.pop(self._listed, None)
        if ready is not None:
            length, name = ready
            listed = entry(self._begun_at(self._listed), length, name)
            self._playlist.append(listed)
            self._live_playlist.append(listed)
            self._listed += 1
            self._busy = True
            self._store_playlists()
        elif self._done is not None and self._listed == self._closed:
            self._busy = True
            self._close_playlists(self._done)

    def _store_playlists(self) -> None:
        def go_on() -> None:
            self._busy = False
            self._list_next()

        # Until the end it does not matter whether a playlist could be stored.
        live = partial(self._store_live_playlist, go_on, lambda _code, _text: go_on(), ended=False)
        if self._playlist_is_due():
            self._store_playlist(live, lambda _code, _text: live(), ended=False)
        else:
            live()

    def _playlist_is_due(self) -> bool:
        # A long one is stored less often.
        now, last = self._stage.environment.now(), self._playlist_stored_at
        hours = (now - self._zero) // _HOUR
        return last is None or self._listed % (hours + 1) == 0 or now - last > _MINUTE

    def _close_playlists(self, done: Callable[[Failure | None], None]) -> None:
        def failed(code: int, text: str) -> None:
            done((code, text))

        live = partial(self._store_live_playlist, lambda: done(None), failed, ended=True)
        self._store_playlist(live, failed, ended=True)

    def _store_playlist(
        self, then: Callable[[], None], failed: Callable[[int, str], None], *, ended: bool
    ) -> None:
        def stored(where: Stored) -> None:
            self._playlist_stored_at = self._stage.environment.now()
            self._result.playlist_location = where.location
            self._stage.found.manifest.playlists[0]["location"] = where.location
            then()

        made = Object(self._result.playlist_name, self._playlist.text(ended=ended), _PLAYLIST_TYPE)
        self._stage.uploads.put(self._store, made, stored, failed)

    def _store_live_playlist(
        self, then: Callable[[], None], failed: Callable[[int, str], None], *, ended: bool
    ) -> None:
        if not self._names.live_playlist:
            then()
            return

        def stored(where: Stored) -> None:
            self._result.live_playlist_location = where.location
            then()

        text = self._live_playlist.text(ended=ended)
        made = Object(self._result.live_playlist_name, text, _PLAYLIST_TYPE)
        self._stage.uploads.put(self._store, made, stored, failed)

    def _failed(self, code: int, text: str) -> None:
        if self._done is None:
            self._stage.fail(code, text)
            return
        done, self._done = self._done, None
        done((code, text))


def _segment_length(stage: Stage, output: SegmentsOutput) -> int:
    encoding = stage.found.job.encoding
    if encoding.video_codec:
        return output.duration
    # Sound alone is cut between its frames.
    frames = output.duration * encoding.audio_frequency // (_AUDIO_FRAME * SECOND)
    return frames * _AUDIO_FRAME * SECOND // encoding.audio_frequency
