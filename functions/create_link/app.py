"""POST /api/video/recordings/{id}/links: share a recording by a link that needs no account."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import new_link_json
from recorder.contract.requests import LinkRequest, parse


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the link, which is shown this once: its token is stored as a hash only."""
    request.query()
    wish = parse(LinkRequest, request.body.strip() or b"{}")
    link, token = current().sharing.create(
        request.recording_id,
        user_id=request.user_id,
        seconds=wish.expires_in,
        may_download=wish.may_download,
    )
    # Browsers keep what follows the # to themselves: no log on the way has the token.
    url = f"{request.public_url}/console/shared#{token}"
    return answer(HTTPStatus.CREATED, new_link_json(link, url))
