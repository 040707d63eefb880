"""AWS is called, and its links lead, where botocore would go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.loaders import Loader

from recorder.aws.calls import host
from recorder.aws.storage import S3Storage
from recorder.settings import AwsSettings
from tests.unit.test_names_outside import SETTINGS

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICES: Final = {
    "secretsmanager": "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "events": "AWS_ENDPOINT_URL_EVENTBRIDGE",
}
REGIONS: Final = sorted(
    region
    for partition in Loader().load_data("partitions")["partitions"]
    for region in partition["regions"]
    if not region.endswith("-global")
)


@pytest.fixture(autouse=True)
def no_local_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests may have told this process."""
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", *SERVICES.values()):
        monkeypatch.delenv(name, raising=False)


def test_all_partitions_are_tried() -> None:
    assert {"eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-iso-east-1"} <= {*REGIONS}
    assert {"us-isob-east-1", "us-isof-south-1", "eu-isoe-west-1"} <= {*REGIONS}


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("region", REGIONS)
def test_a_service_is_called_where_botocore_calls_it(service: str, region: str) -> None:
    client = boto3.client(service, region)  # type: ignore[call-overload]
    assert f"https://{host(service, region)}" == client.meta.endpoint_url


@pytest.mark.parametrize("region", REGIONS)
def test_links_lead_where_botocore_leads(region: str) -> None:
    storage = S3Storage("bucket", SETTINGS._replace(region=region))
    url, _ = storage.link("key", file_name="a.mp4", mime_type=None, seconds=60)
    s3 = urlsplit(boto3.client("s3", region).meta.endpoint_url)

    # botocore knows the region where S3 began by an older name too.
    assert urlsplit(url).netloc == f"bucket.{s3.netloc.replace('s3.amazonaws', 's3.us-east-1.amazonaws')}"


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_ENDPOINT_URL": "http://all:1/"},
        {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://one:2"},
        {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_EVENTBRIDGE": "http://one:2"},
        {"AWS_ENDPOINT_URL_S3": "http://one:2"},
    ],
    ids="+".join,
)
def test_endpoints_are_those_that_botocore_is_told(
    environ: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    keys = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a"}
    settings = AwsSettings.from_environment({**keys, **environ})
    ours = {
        "secretsmanager": settings.secrets_endpoint_url,
        "events": settings.events_endpoint_url,
        "s3": settings.s3_endpoint_url,
    }
    for service, url in ours.items():
        client = boto3.client(service, "us-east-1")  # type: ignore[call-overload]
        own = client.meta.endpoint_url.rstrip("/")
        assert url == ("" if "amazonaws.com" in own else own)
