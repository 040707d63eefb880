"""The bucket: written with the rights of egress, read by a link, emptied, open to players, with a lifecycle."""

from __future__ import annotations

import re
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from uuid import uuid4
from xml.etree.ElementTree import ParseError, fromstring

from recorder.aws.calls import host, presigned_get, s3
from recorder.aws.sigv4 import query_of
from recorder.doctor.finding import failed, ok, unknown
from recorder.doctor.network import UnreachableError, ask, cause
from recorder.domain.outputs import SAFETY_SECONDS
from recorder.domain.recording import PREFIX, SEGMENTS_PREFIX
from recorder.errors import AwsError
from recorder.livekit.info import DEPLOYMENT_METADATA
from recorder.outbound import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from xml.etree.ElementTree import Element

    from recorder.doctor.finding import Finding
    from recorder.settings import AwsSettings, StorageSettings, UploadSettings

BODY: Final = b"written by the doctor, and removed again"
_LINK_SECONDS: Final = 60
_NARROW: Final = ("And", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan")
"""Parts of a filter with which a rule may pass over some objects."""
_CODE: Final = re.compile(rb"<Code>(\w+)</Code>")
_ORIGIN: Final = "https://example.com"
_EXPIRY: Final = (
    f'{{"ID":"SafetySegments","Status":"Enabled","Filter":{{"Prefix":"{SEGMENTS_PREFIX}"}},'
    '"Expiration":{"Days":7}}'
)


def upload(
    storage: StorageSettings, aws: AwsSettings, settings: UploadSettings, keys: Mapping[str, str]
) -> Iterator[Finding]:
    """Check the life of an object in each folder: `keys` are those that egress gets, or empty where it has others."""
    found = [f"{folder}{uuid4()}/doctor.txt" for folder in (PREFIX, SEGMENTS_PREFIX)]
    if keys:
        theirs = aws._replace(
            access_key=keys["access_key"],
            secret_key=keys["secret"],
            session_token="",
            region=settings.region or aws.region,
            s3_endpoint_url=settings.endpoint or aws.s3_endpoint_url,
        )
        for key in found:
            if refusal := _refusal(theirs, storage, key, "PUT", BODY):
                yield failed(
                    "upload",
                    f"with egress' keys {storage.bucket} refuses an object below {_folder(key)}: {refusal}",
                    "the user of EgressS3SecretArn needs the policy in the output EgressUploadPolicyArn",
                )
                return
        yield ok("upload", f"egress' keys write into {storage.bucket}")
        yield from _link(storage, aws, found[0])
    else:
        yield unknown(
            "upload",
            "egress writes with rights that only its workers have",
            'have one record and upload: make doctor RECORD=1, or invoke CheckDeployment with {"record": true}',
        )
    stay = {key: refusal for key in found if (refusal := _refusal(aws, storage, key, "DELETE"))}
    if not stay:
        yield ok("removal", f"objects in {storage.bucket} can be removed")
        return
    yield failed(
        "removal",
        f"{storage.bucket} refuses to remove an object below {' and '.join(map(_folder, stay))}: {min(stay.values())}",
        f"the bucket's policy, or Object Lock; remove {' and '.join(stay)} yourself"
        if keys
        else "the bucket's policy",
    )


def _folder(key: str) -> str:
    return key.partition("/")[0] + "/"


def _link(storage: StorageSettings, aws: AwsSettings, key: str) -> Iterator[Finding]:
    check = "download"
    try:
        url, _ = presigned_get(aws, object_url(storage, aws, key), {}, _LINK_SECONDS)
        reply = ask("GET", url)
    except (AwsError, UnreachableError) as error:
        yield failed(check, f"a link cannot be followed: {error}", "the way from here to S3")
        return
    if reply.status == HTTPStatus.OK and reply.body:
        yield ok(check, "a link to an object works")
    else:
        yield failed(
            check,
            f"a link to an object is answered {reply.status}",
            "the bucket's policy; with a KMS key of your own BucketKeyArn, and the key's policy",
        )


def players(storage: StorageSettings, aws: AwsSettings) -> Iterator[Finding]:
    """Check that a page of any origin may play a link: the link is the right."""
    check = "players"
    headers = {"Origin": _ORIGIN, "Access-Control-Request-Method": "GET"}
    try:
        reply = ask("OPTIONS", object_url(storage, aws, "recordings/doctor"), headers)
    except UnreachableError as error:
        yield unknown(check, f"S3 cannot be reached: {error}", "the way from here to S3")
        return
    allowed = {name.lower(): value for name, value in reply.headers.items()}.get(
        "access-control-allow-origin"
    )
    if reply.status == HTTPStatus.OK and allowed in {"*", _ORIGIN}:
        yield ok(check, f"pages may play what is in {storage.bucket}")
    else:
        rules = '{"CORSRules":[{"AllowedOrigins":["*"],"AllowedMethods":["GET","HEAD"]}]}'
        yield failed(
            check,
            f"{storage.bucket} lets no page of another origin play a link",
            f"aws s3api put-bucket-cors --bucket {storage.bucket} --cors-configuration '{rules}'",
        )


def segments(storage: StorageSettings, aws: AwsSettings) -> Iterator[Finding]:
    """Check that the bucket removes old safety segments by itself: those of a recording in parts stay otherwise."""
    check = "segments"
    try:
        with closing(Client()) as client:
            status, text = s3(client, aws, "GET", f"{_bucket_url(storage, aws)}?lifecycle=")
        rules = list(fromstring(text).iterfind("{*}Rule")) if status == HTTPStatus.OK else []  # noqa: S314 - S3's answer
    except (AwsError, ParseError) as error:
        yield unknown(check, f"the lifecycle cannot be read: {cause(error)}", "the way from here to S3")
        return
    if any(_forgets_segments(each) for each in rules):
        yield ok(check, f"{storage.bucket} forgets safety segments by itself")
    elif status == HTTPStatus.NOT_FOUND and b"NoSuchLifecycleConfiguration" in text:
        command = f"aws s3api put-bucket-lifecycle-configuration --bucket {storage.bucket}"
        yield failed(
            check,
            f"{storage.bucket} keeps what is below {SEGMENTS_PREFIX} for ever",
            f"{command} --lifecycle-configuration '{{\"Rules\":[{_EXPIRY}]}}'",
        )
    elif status == HTTPStatus.OK:
        yield failed(
            check,
            f"no rule of {storage.bucket} ends what is below {SEGMENTS_PREFIX}",
            f"add this one to its lifecycle, where the others stay: {_EXPIRY}",
        )
    else:
        yield unknown(
            check,
            f"the lifecycle of {storage.bucket} is answered {status}",
            f"the right s3:GetLifecycleConfiguration; it should have {_EXPIRY}",
        )


def _forgets_segments(rule: Element) -> bool:
    """Tell whether a rule of a lifecycle ends every object below the segments' prefix."""
    prefix = rule.findtext("{*}Filter/{*}Prefix") or rule.findtext("{*}Prefix") or ""
    narrow = any(rule.find(f"{{*}}Filter/{{*}}{each}") is not None for each in _NARROW)
    days = rule.findtext("{*}Expiration/{*}Days")
    enabled = rule.findtext("{*}Status") == "Enabled"
    return enabled and days is not None and not narrow and SEGMENTS_PREFIX.startswith(prefix)


def outputs(
    storage: StorageSettings, settings: UploadSettings, keys: Mapping[str, str]
) -> Mapping[str, list[dict[str, object]]]:
    """Return what a worker is to put into both folders, with the rights that every start hands it.

    It lies in folders of its own and names this deployment: the sweep removes it as it removes whatever nobody owns.
    """
    folder = uuid4()
    where = {
        "bucket": storage.bucket,
        "region": settings.region,
        "endpoint": settings.endpoint,
        "force_path_style": bool(settings.endpoint),
        "access_key": keys.get("access_key", ""),
        "secret": keys.get("secret", ""),
        "assume_role_arn": settings.assume_role_arn,
        "assume_role_external_id": settings.assume_role_external_id,
        "metadata": {DEPLOYMENT_METADATA: storage.deployment},
    }
    file: dict[str, object] = {
        "file_type": "MP4",
        "filepath": f"{PREFIX}{folder}/1/recording.mp4",
        "disable_manifest": True,
        "s3": where,
    }
    hls: dict[str, object] = {
        "filename_prefix": f"{SEGMENTS_PREFIX}{folder}/1/segment",
        "playlist_name": f"{SEGMENTS_PREFIX}{folder}/1/playlist.m3u8",
        "segment_duration": SAFETY_SECONDS,
        "disable_manifest": True,
        "s3": where,
    }
    return {"file_outputs": [file], "segment_outputs": [hls]}


def recorded(
    storage: StorageSettings, aws: AwsSettings, outputs: Mapping[str, list[dict[str, object]]]
) -> Iterator[Finding]:
    """Check that a link to the file that a worker has uploaded works, and remove all that it has."""
    file = str(outputs["file_outputs"][0]["filepath"])
    segment = str(outputs["segment_outputs"][0]["filename_prefix"])
    yield from _link(storage, aws, file)
    for folder in (file, segment):
        for key in _listed(storage, aws, f"{folder.rpartition('/')[0]}/"):
            # A refusal is what the check of an object's removal finds.
            _refusal(aws, storage, key, "DELETE")


def _listed(storage: StorageSettings, aws: AwsSettings, folder: str) -> list[str]:
    """Return the keys below a folder of one recording of some seconds."""
    query = query_of({"list-type": "2", "prefix": folder})
    with closing(Client()) as client:
        status, text = s3(client, aws, "GET", f"{_bucket_url(storage, aws)}?{query}")
    if status != HTTPStatus.OK:
        return []
    return [each.text or "" for each in fromstring(text).iterfind("{*}Contents/{*}Key")]  # noqa: S314 - S3's answer


def object_url(storage: StorageSettings, aws: AwsSettings, key: str) -> str:
    """Return an object's address without a signature, as links have it."""
    return f"{_bucket_url(storage, aws)}{quote(key)}"


def _bucket_url(storage: StorageSettings, aws: AwsSettings) -> str:
    if aws.s3_endpoint_url:
        return f"{aws.s3_endpoint_url.rstrip('/')}/{storage.bucket}/"
    return f"https://{storage.bucket}.{host('s3', aws.region)}/"


def _refusal(aws: AwsSettings, storage: StorageSettings, key: str, method: str, body: bytes = b"") -> str:
    """Return why S3 refuses a request, or nothing."""
    try:
        with closing(Client()) as client:
            status, text = s3(client, aws, method, object_url(storage, aws, key), body=body)
    except AwsError as error:
        return cause(error)
    if status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}:
        return ""
    code = _CODE.search(text)
    return code[1].decode() if code else f"HTTP {status}"
