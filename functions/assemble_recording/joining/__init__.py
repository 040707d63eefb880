"""Joins the takes of a recording into one MP4, without encoding them again.

It knows objects that can be read in pieces and an upload in parts (`Objects`, `Upload`), and nothing of what they
belong to::

    takes = [Take(number=1, segments=segments_in(listing)), Take(number=2, file=Part(key, size))]
    joined = join(plan(objects, takes), objects, upload)
    verified = verify(objects, Part(key, joined.size), joined)

CannotJoinError says that, and why, the takes have to stay in parts; UnreadableError names the part that is damaged;
VerificationError says that the parts must not be removed.
"""

from .joining import Joined, JoinedTake, join
from .media import StreamFacts
from .planning import Plan, PlannedTake, plan
from .values import (
    CannotJoinError,
    JoiningError,
    Kind,
    Objects,
    Part,
    Reason,
    Take,
    UnreadableError,
    Upload,
    VerificationError,
    segments_in,
)
from .verifying import Verified, verify

__all__ = [
    "CannotJoinError",
    "Joined",
    "JoinedTake",
    "JoiningError",
    "Kind",
    "Objects",
    "Part",
    "Plan",
    "PlannedTake",
    "Reason",
    "StreamFacts",
    "Take",
    "UnreadableError",
    "Upload",
    "VerificationError",
    "Verified",
    "join",
    "plan",
    "segments_in",
    "verify",
]
