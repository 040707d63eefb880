"""GET /api/video/play/{id}/live.m3u8: the live playlist of a recording, for whoever has a token of it."""

from recorder.bootstrap import current, expect_database

expect_database()

from recorder.api.endpoint import Answer, Request, public_endpoint, text_answer


@public_endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the playlist as it is now; one and the same 404 where the token does not open it."""
    token = request.query("token").get("token", "")
    playlist = current().live_playlists.playlist_of(request.recording_id, token)
    return text_answer(playlist, "application/vnd.apple.mpegurl", request)
