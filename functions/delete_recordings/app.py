"""POST /api/video/recordings/delete: remove several recordings at once."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, code_of, endpoint
from recorder.contract.answers import deleted_many_json
from recorder.contract.requests import DeleteRequest, parse


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer for each whether it is gone: all are invisible at once, and the sweep removes what is left of them."""
    request.query()
    wanted = parse(DeleteRequest, request.body)
    outcomes = current().recordings.delete_all(wanted.ids, user_id=request.user_id)
    return answer(HTTPStatus.OK, deleted_many_json(outcomes, code_of))
