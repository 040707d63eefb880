"""All checks, in the order in which one mends what they find; none of them keeps another from running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recorder.aws.calls import secret
from recorder.doctor import bucket, livekit, outside
from recorder.doctor.database import database
from recorder.doctor.finding import Verdict, failed, unknown
from recorder.doctor.network import cause
from recorder.errors import AwsError
from recorder.settings import (
    ApiSettings,
    AwsSettings,
    DoctorSettings,
    LiveKitSettings,
    SettingsError,
    StorageSettings,
    UploadSettings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping

    from recorder.doctor.finding import Finding

_MOST_WORDS: Final = 900
"""An output of CloudFormation, and a reason of its events, hold little more."""


def examine(*, record: bool = False, later: Container[str] = ()) -> Iterator[Finding]:
    """Yield what is found, check by check, in less than four minutes.

    `record` has a worker record and upload some seconds: it costs that, and shows what only workers can. `later` names
    checks that only the deploy itself can make: `Postgres`, `bucket`, `webhook`.
    """
    for name, check in (
        ("clock and issuer", _issuer),
        ("Postgres", database),
        ("LiveKit", lambda: _livekit(record=record)),
        ("bucket", _bucket),
        ("webhook", _webhook),
    ):
        if name in later:
            yield unknown(
                name, "the deploy makes it, or its network alone reaches it", "the output Checks will tell"
            )
        else:
            yield from _safely(name, check)


def summary(findings: list[Finding]) -> str:
    """Return how it stands in a few words, those that somebody has to act on first."""
    wrong = [each for each in findings if each.verdict is Verdict.FAILED]
    if not wrong:
        untold = [each.check for each in findings if each.verdict is Verdict.UNKNOWN]
        beside = f"; not told from here: {', '.join(untold)}" if untold else ""
        return f"{len(findings) - len(untold)} checks passed{beside}"
    words = "; ".join(f"{each.check}: {each.says} ({each.advice})" for each in wrong)
    return f"{len(wrong)} of {len(findings)} checks FAILED - {words}"[:_MOST_WORDS]


def _safely(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except AwsError as error:
        yield failed(
            name, f"a secret cannot be read: {cause(error)}", "its ARN and fields, the role, the way to AWS"
        )
    except SettingsError as error:
        yield failed(name, f"a setting is missing: {error}", "the deployment's parameters")
    except Exception as error:  # noqa: BLE001 - a check that fails otherwise must not hide the others
        yield failed(name, f"the check itself failed: {cause(error)}", "tell us: this is a bug")


def _issuer() -> Iterator[Finding]:
    settings = DoctorSettings.from_environment()
    discovery = f"{settings.jwt_issuer.rstrip('/')}/.well-known/openid-configuration"
    server = livekit.LiveKit(LiveKitSettings.from_environment().url, {})
    yield from outside.clock({"the issuer": discovery, "LiveKit": server.address})
    yield from outside.issuer(settings.jwt_issuer)


def _server() -> livekit.LiveKit:
    settings = LiveKitSettings.from_environment()
    return livekit.LiveKit(settings.url, _livekit_keys(settings))


def _livekit_keys(settings: LiveKitSettings) -> Mapping[str, str]:
    return secret(AwsSettings.from_environment(), settings.secret_arn, "api_key", "api_secret")


def _livekit(*, record: bool) -> Iterator[Finding]:
    server = _server()
    for finding in livekit.key(server):
        yield finding
        if finding.verdict is not Verdict.OK:
            return
    yield from livekit.worker(server)
    if record:
        yield from _recording(server)


def _recording(server: livekit.LiveKit) -> Iterator[Finding]:
    storage, aws, settings = _storage()
    outputs = bucket.outputs(storage, settings, _upload_keys(settings))
    yield from livekit.record(server, outputs, DoctorSettings.from_environment().jwt_issuer)
    yield from bucket.recorded(storage, aws, outputs)


def _storage() -> tuple[StorageSettings, AwsSettings, UploadSettings]:
    return (
        StorageSettings.from_environment(),
        AwsSettings.from_environment(),
        UploadSettings.from_environment(),
    )


def _upload_keys(settings: UploadSettings) -> Mapping[str, str]:
    if not settings.secret_arn:
        return {}
    return secret(AwsSettings.from_environment(), settings.secret_arn, "access_key", "secret")


def _bucket() -> Iterator[Finding]:
    storage, aws, settings = _storage()
    yield from bucket.upload(storage, aws, settings, _upload_keys(settings))
    yield from bucket.players(storage, aws)
    yield from bucket.segments(storage, aws)


def _webhook() -> Iterator[Finding]:
    keys = _livekit_keys(LiveKitSettings.from_environment())
    yield from outside.webhook(ApiSettings.from_environment().public_url, keys)
