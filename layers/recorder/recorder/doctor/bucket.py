"""The bucket: written with the rights that egress will have, read by a link, emptied, and open to browsers' players."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from uuid import uuid4

from recorder.aws.calls import host, presigned_get, s3
from recorder.doctor.finding import failed, ok, unknown
from recorder.doctor.network import UnreachableError, ask, cause
from recorder.errors import AwsError
from recorder.livekit.info import DEPLOYMENT_METADATA
from recorder.outbound import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recorder.doctor.finding import Finding
    from recorder.settings import AwsSettings, StorageSettings, UploadSettings

BODY: Final = b"written by the doctor, and removed again"
_LINK_SECONDS: Final = 60
_CODE: Final = re.compile(rb"<Code>(\w+)</Code>")
_ORIGIN: Final = "https://example.com"


def upload(
    storage: StorageSettings, aws: AwsSettings, settings: UploadSettings, keys: Mapping[str, str]
) -> Iterator[Finding]:
    """Check one object's life: `keys` are those that egress gets, or empty where it has others."""
    key = f"recordings/{uuid4()}/doctor.txt"
    if keys:
        theirs = replace(
            aws,
            access_key=keys["access_key"],
            secret_key=keys["secret"],
            session_token="",
            region=settings.region or aws.region,
            s3_endpoint_url=settings.endpoint or aws.s3_endpoint_url,
        )
        if refusal := _refusal(theirs, storage, key, "PUT", BODY):
            yield failed(
                "upload",
                f"with egress' keys {storage.bucket} refuses an object: {refusal}",
                "the user of EgressS3SecretArn needs the policy in the output EgressUploadPolicyArn",
            )
            return
        yield ok("upload", f"egress' keys write into {storage.bucket}")
        yield from _link(storage, aws, key)
    else:
        yield unknown(
            "upload",
            "egress writes with rights that only its workers have",
            'have one record and upload: make doctor RECORD=1, or invoke CheckDeployment with {"record": true}',
        )
    if refusal := _refusal(aws, storage, key, "DELETE"):
        yield failed(
            "removal",
            f"{storage.bucket} refuses to remove an object: {refusal}",
            f"the bucket's policy, or Object Lock; remove {key} yourself" if keys else "the bucket's policy",
        )
    else:
        yield ok("removal", f"objects in {storage.bucket} can be removed")


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


def output(storage: StorageSettings, settings: UploadSettings, keys: Mapping[str, str]) -> dict[str, object]:
    """Return where a worker is to put a recording, with the rights that every start hands it.

    It lies in a folder of its own and names this deployment: the sweep removes it as it removes whatever nobody owns.
    """
    return {
        "file_type": "MP4",
        "filepath": f"recordings/{uuid4()}/recording.mp4",
        "disable_manifest": True,
        "s3": {
            "bucket": storage.bucket,
            "region": settings.region,
            "endpoint": settings.endpoint,
            "force_path_style": bool(settings.endpoint),
            "access_key": keys.get("access_key", ""),
            "secret": keys.get("secret", ""),
            "assume_role_arn": settings.assume_role_arn,
            "assume_role_external_id": settings.assume_role_external_id,
            "metadata": {DEPLOYMENT_METADATA: storage.deployment},
        },
    }


def recorded(storage: StorageSettings, aws: AwsSettings, key: str) -> Iterator[Finding]:
    """Check that a link to what a worker has uploaded works, and remove it."""
    yield from _link(storage, aws, key)
    # A refusal is what the check of an object's removal finds.
    _refusal(aws, storage, key, "DELETE")


def object_url(storage: StorageSettings, aws: AwsSettings, key: str) -> str:
    """Return an object's address without a signature, as links have it."""
    if aws.s3_endpoint_url:
        return f"{aws.s3_endpoint_url.rstrip('/')}/{storage.bucket}/{quote(key)}"
    return f"https://{storage.bucket}.{host('s3', aws.region)}/{quote(key)}"


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
