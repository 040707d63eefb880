"""AWS is called, and its links lead, where botocore would go."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import boto3
import pytest

from recorder.aws import calls as aws
from recorder.aws.storage import S3Storage
from tests.unit.test_names_outside import SETTINGS

REGIONS = ["eu-central-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1"]


@pytest.fixture(autouse=True)
def no_local_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests may have told this process."""
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")


@pytest.mark.parametrize("region", REGIONS)
def test_secrets_are_read_where_botocore_reads_them(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def post(url: str, *_: object, **__: object) -> tuple[int, bytes]:
        asked.append(url)
        return 200, b'{"SecretString": "{}"}'

    monkeypatch.setattr(aws, "post", post)
    aws.secret(replace(SETTINGS, region=region), "arn")

    assert asked == [f"{boto3.client('secretsmanager', region).meta.endpoint_url}/"]


@pytest.mark.parametrize("region", REGIONS)
def test_links_lead_where_botocore_leads(region: str) -> None:
    storage = S3Storage("bucket", replace(SETTINGS, region=region), pytest.fail)
    url, _ = storage.download_url("key", file_name="a.mp4", mime_type=None, seconds=60)
    s3 = urlsplit(boto3.client("s3", region).meta.endpoint_url)

    assert urlsplit(url).netloc == f"bucket.{s3.netloc}"
