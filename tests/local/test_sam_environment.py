"""`local/sam-env.json`, with which `sam local invoke` runs a function in Docker against the local stack."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from local.__main__ import PORTS
from local.account import STACK_NAME
from local.aws import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from local.environments import ROOT
from local.postgres import DATABASE, USER
from local.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_it_names_the_stack_at_its_usual_ports() -> None:
    text = (ROOT / "local/sam-env.json").read_text()
    aws = f"http://{LOOPBACK}:{PORTS.aws}"
    assert cast("Mapping[str, str]", json.loads(text)) == {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": aws,
        "DATABASE_HOST": LOOPBACK,
        "DATABASE_PORT": str(PORTS.postgres),
        "DATABASE_NAME": DATABASE,
        "DATABASE_USER": USER,
        "DATABASE_AUTHENTICATION": "password",
        "DATABASE_SECRET_ARN": "database",
        "DATABASE_TLS": "disable",
        "LIVEKIT_URL": f"http://{LOOPBACK}:{PORTS.livekit}",
        "LIVEKIT_SECRET_ARN": "livekit",
        "EGRESS_S3_ENDPOINT": aws,
        "EGRESS_S3_REGION": REGION,
        "EGRESS_S3_SECRET_ARN": "egress",
        "RECORDINGS_BUCKET": BUCKET,
        "DEPLOYMENT": STACK_NAME,
    }
