"""Requests of CloudFormation to a custom resource's function, and the answer that it waits for."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

ANSWER_SECONDS: Final = 10.0
"""Time that a function keeps for its answer: without one, CloudFormation waits until its own time is over."""
REASON_LENGTH: Final = 1000
"""CloudFormation takes 4 KiB for the whole answer."""


class CustomResourceRequest(TypedDict):
    """A request, but for the properties of the resource, which are each function's own."""

    RequestType: str
    ResponseURL: str
    StackId: str
    RequestId: str
    LogicalResourceId: str
    PhysicalResourceId: NotRequired[str]


def answer(request: CustomResourceRequest, status: str, reason: str, data: Mapping[str, str]) -> None:
    """Tell CloudFormation how it went: `SUCCESS` or `FAILED`, and the attributes that the template may ask for.

    The resource keeps its id, as CloudFormation deletes one whose id has changed. Raises OSError where the answer does
    not get through.
    """
    told = {
        "Status": status,
        "Reason": reason[:REASON_LENGTH],
        "PhysicalResourceId": request.get("PhysicalResourceId", request["LogicalResourceId"]),
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
        "Data": data,
    }
    put = urllib.request.Request(  # noqa: S310 - the address is CloudFormation's
        request["ResponseURL"],
        data=json.dumps(told).encode(),
        # The address is signed for an empty content type, and urllib would choose one.
        headers={"Content-Type": ""},
        method="PUT",
    )
    with urllib.request.urlopen(put, timeout=ANSWER_SECONDS / 2):  # noqa: S310 - as above
        pass
