"""POST /api/video/shared: what a link shows to whoever has its token."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, public_endpoint
from recorder.contract.answers import shared_json
from recorder.errors import InvalidRequestError
from recorder.untrusted import json_value


@public_endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the recording and links that end with this one; one and the same 404 where it opens nothing."""
    request.query()
    shared = current().sharing.open(_token(request.body), request.public_url)
    return answer(HTTPStatus.OK, {**shared_json(shared)})


def _token(body: bytes) -> str:
    # One text needs no pydantic, which a viewer's first look would wait for.
    try:
        given = json_value(body)
    except ValueError:
        raise InvalidRequestError(("body", "is not JSON")) from None
    if not isinstance(given, dict):
        raise InvalidRequestError(("body", "must be an object"))
    for field in given:
        if field != "token":
            raise InvalidRequestError((str(field), "is not a field of this request"))
    token = given.get("token")
    if not isinstance(token, str):
        raise InvalidRequestError(("token", "must be a text"))
    return token
