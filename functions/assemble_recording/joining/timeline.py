"""Where each packet lies in the joined file: one take behind the other, in both streams, without holes in the sound.

A take's packets keep their distances. The next one begins on the grid of the pictures before it, so that the frame
rate stays what it was. Sound is laid frame to frame, because browsers count samples and ignore time stamps: where a
frame or more is missing, silence is put in, and what remains of the difference is less than a frame (23 ms).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .media import TICKS
from .values import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEVER = -(2**63)


@dataclass(kw_only=True)
class Timeline:
    """The joined file so far, in ticks; sound in samples."""

    delay: int
    """The longest time before its moment that a picture of any take is decoded. All takes are decoded so early."""
    rate: int
    """Samples a second; anything but 0 where there is no sound."""
    interval: int = TICKS // 30
    """The usual time between two pictures of what is being added."""
    _video_end: int = 0
    _samples: int = 0
    _decoded: int = _NEVER
    _offset: int = 0
    _earlier: int = 0

    @property
    def audio_end(self) -> int:
        """The end of the sound, rounded up."""
        return -(-self._samples * TICKS // self.rate)

    @property
    def end(self) -> int:
        """The end of what is there."""
        return max(self._video_end, self.audio_end)

    def begin(self, starts: Mapping[Kind, int], interval: int, delay: int) -> int:
        """Put the next packets behind what is there, and return where they begin.

        `starts` are the first moments of their streams, `interval` is the time between their pictures, and `delay`
        how long before its moment the first one is decoded.
        """
        start = min(starts.values())
        position = self.end
        if self._video_end:
            lead = starts.get(Kind.VIDEO, start) - start
            intervals = -(-(position + lead - self._video_end) // self.interval)
            position = self._video_end - lead + intervals * self.interval
        self.interval = interval
        self._offset = position - start
        self._earlier = self.delay - delay
        return position

    def place_picture(self, moment: int, decoded: int) -> tuple[int, int]:
        """Return when a picture is shown and when it is decoded."""
        return self.add_picture(moment + self._offset, decoded + self._offset - self._earlier)

    def add_picture(self, moment: int, decoded: int) -> tuple[int, int]:
        """As `place_picture`, for moments of the joined file. No two pictures are decoded at once."""
        self._decoded = max(decoded, self._decoded + 1)
        moment = max(moment, self._decoded)
        self._video_end = max(self._video_end, moment + self.interval)
        return moment, self._decoded

    def missing_frames(self, moment: int, frame: int) -> int:
        """Return how many frames of silence lie before a sound; negative where something else is in its place.

        `frame` is the length of one in samples.
        """
        difference = (moment + self._offset) * self.rate // TICKS - self._samples
        return 0 if abs(difference) < frame else round(difference / frame)

    def add_sound(self, frame: int) -> int:
        """Lay a frame of sound behind the last one and return where it begins, in samples."""
        position = self._samples
        self._samples += frame
        return position
