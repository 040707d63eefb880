"""The errors, in the domain's own terms. `recorder.api.endpoint` maps each class to one HTTP answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


class RecorderError(Exception):
    """Base of every error that this package raises on purpose. `str(error)` is fit for a client's eyes."""


class InvalidRequestError(RecorderError):
    """The request does not validate.

    `details` holds one `(field, message)` for each thing wrong.
    """

    def __init__(self, *details: tuple[str, str]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in details))
        self.details = details


class UnauthorizedError(RecorderError):
    """The caller did not prove who they are: no subject, or a webhook that LiveKit did not sign."""


class ForbiddenError(RecorderError):
    """The caller is known and may not do this."""


class RecordingNotFoundError(RecorderError):
    """Absent, deleted, or somebody else's: a caller cannot tell which."""

    def __init__(self) -> None:
        super().__init__("recording not found")


class LinkNotFoundError(RecorderError):
    """Wrong, expired, revoked, or its recording is gone: a caller cannot tell which."""

    def __init__(self) -> None:
        super().__init__("this link has expired, was revoked, or never was one")


class TooManyLinksError(RecorderError):
    """The recording has as many links as it may have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"this recording has {most} links: revoke one that is not needed first")


class RecordingGoneError(RecorderError):
    """The recording's retention is over."""

    def __init__(self) -> None:
        super().__init__("the recording has expired")


class RecordingInProgressError(RecorderError):
    """The target is being recorded, or its last recording is `ending`, which frees it.

    `recording_id` is set only where the caller can read that recording: it is their own, and not deleted.
    """

    def __init__(self, recording_id: UUID | None, *, ending: bool = False) -> None:
        super().__init__(
            "the last recording of this target is still being stopped, which takes up to three minutes where its "
            "worker was lost: try again in a minute"
            if ending
            else "this target is already being recorded: stop that recording first"
        )
        self.recording_id = recording_id


class NotPossibleNowError(RecorderError):
    """A recording cannot be paused or resumed in the status that it has; the text says in which it can."""


class IdempotencyMismatchError(RecorderError):
    """The idempotency key came before, with another request."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key was used with another request")


class UnsupportedCodecError(RecorderError):
    """LiveKit would silently record something else than was asked for."""


class StartRefusedError(RecorderError):
    """LiveKit answered Start with a refusal: nothing was started."""


class RoomNotFoundError(StartRefusedError):
    """LiveKit does not know the room: a room exists only while someone is in it."""


class EgressRefusedError(StartRefusedError):
    """LiveKit refused the options; the text is its reason."""


class EgressUnavailableError(StartRefusedError):
    """LiveKit answered that no worker is free, or could not be reached: trying again later may work."""


class EgressMisconfiguredError(StartRefusedError):
    """LiveKit does not accept this deployment's credentials."""


class EgressUnansweredError(RecorderError):
    """A call to LiveKit had no usable answer: what it did is not known, and nothing may be concluded from it."""


class EgressNotAskedError(EgressUnansweredError):
    """No time was left to ask LiveKit."""


class EgressEndedError(RecorderError):
    """Stop came too late: the egress has ended already (LiveKit: failed_precondition)."""


class EgressNotFoundError(RecorderError):
    """Neither LiveKit's record nor a worker knows the egress."""


class CannotJoinError(RecorderError):
    """The takes of a recording cannot become one file that plays everywhere; the text says why."""


class DatabaseUnavailableError(RecorderError):
    """Postgres did not answer, also not on a fresh connection."""


class RecordingContendedError(DatabaseUnavailableError):
    """A change of one recording was lost to other writers too often, or something in the database undoes it."""

    def __init__(self) -> None:
        super().__init__("the recording could not be changed: try again in a moment")


class DatabaseBusyError(DatabaseUnavailableError):
    """Postgres answered that it cannot do it now, and said so again: a lock, a conflict, a failover, its resources."""


class StatementRefusedError(RecorderError):
    """Postgres refused a statement for a reason that does not pass by itself."""


class RowRefusedError(RecorderError):
    """Postgres stores a row not at all and names no reason: something in the table that is not ours keeps it out."""


class StorageUnavailableError(RecorderError):
    """S3 did not do what was asked."""


class AwsError(OSError):
    """An AWS API refused, or did not answer; neither the text nor `type` holds a secret.

    `type` is AWS's name of the error, such as AccessDeniedException; it is empty where there was no answer, and the
    error's cause then tells why.
    """

    def __init__(self, text: str, type_: str = "") -> None:
        super().__init__(text)
        self.type = type_


class SecretIncompleteError(AwsError):
    """A secret was read and does not hold what it should; the text names the field."""
