"""The HTTP contract in memory, with real media: for the states of the page that a whole stack takes long to reach.

Statuses go on with the time, as they do in the product: a start is active and a stop has its file after a moment. Each
request and each answer is held against docs/openapi.json, and what it does not allow is kept in `breaches`.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import starmap
from typing import TYPE_CHECKING, Final

import jwt
from starlette.applications import Starlette
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from local.services.issuer import AUDIENCE
from tests.page.media import POSTERS, SEGMENT_SECONDS, SEGMENTS_OF_A_TAKE
from tests.support import contract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pydantic import JsonValue
    from starlette.requests import Request

    type Endpoint = Callable[[Request], Awaitable[Response]]

MOMENT: Final = 0.6
"""Seconds until what was asked for has happened."""
GONE: Final = 499
"""The status that nobody is told, as a proxy has it for those who have gone."""
LIVE: Final = ("starting", "active", "paused", "resuming", "stopping")


def iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Take:
    number: int
    began: float
    ended: float | None = None
    end: str | None = None
    lost: float | None = None

    def seconds(self, now: float) -> float:
        return (self.ended or now) - self.began


@dataclass
class Link:
    link_id: str
    token: str
    expires_at: float
    may_download: bool


@dataclass
class Recording:
    """A recording of a user, and what it waits for."""

    user: str
    room: str
    created: float
    status: str = "starting"
    waits_until: float = 0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    takes: list[Take] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    pause_requested: float | None = None
    stopped: float | None = None
    more: dict[str, JsonValue] = field(default_factory=dict)
    updates: int = 0
    in_parts: bool = False
    playable: bool = True

    @property
    def live(self) -> bool:
        return self.status in LIVE

    def seconds(self, now: float) -> float:
        return sum(take.seconds(now) for take in self.takes)

    def begin_take(self, now: float) -> None:
        self.takes.append(Take(len(self.takes) + 1, now))
        self.status = "active"

    def end_take(self, now: float, end: str) -> None:
        if self.takes and self.takes[-1].ended is None:
            self.takes[-1].ended, self.takes[-1].end = now, end

    def proceed(self, now: float) -> None:
        """Let happen what was asked for long enough ago."""
        if now < self.waits_until:
            return
        if self.status in {"starting", "resuming"}:
            self.begin_take(self.waits_until)
        elif self.pause_requested:
            self.end_take(self.waits_until, "paused")
            self.status, self.pause_requested = "paused", None
        elif self.status == "stopping":
            self.status, self.stopped = "completed", self.waits_until
        else:
            return
        self.updates += 1


class ContractApi:
    """An API of its own for each test; `page` answers what is below /console."""

    def __init__(self, issuer_keys: str, media: Path, bucket: Callable[[], str], page: Endpoint) -> None:
        self._keys = jwt.PyJWKSet.from_json(issuer_keys).keys
        self._media = media
        self._bucket = bucket
        self._page = page
        self.recordings: dict[str, Recording] = {}
        self.refusals: dict[str, tuple[int, dict[str, JsonValue]]] = {}
        """Answers instead of the usual ones, by `METHOD path`."""
        self.link_seconds = 3600.0
        """How long links into the bucket are good."""
        self.signed_after = 0.0
        """Links that were signed before are refused, as if they had run out."""
        self.requests: list[str] = []
        self.starts: list[dict[str, JsonValue]] = []
        """The bodies that were sent to start recordings."""
        self.breaches: list[str] = []
        self.undeletable: set[str] = set()
        self.list_page = 50
        self.deletes = threading.Event()
        """A deletion is answered once this is set."""
        self.deletes.set()
        self._ended = False

    def add(self, user: str, room: str, *, ago: float, seconds: float = 0, **more: JsonValue) -> Recording:
        """Add a recording that began `ago` seconds ago; with `seconds` it was completed with so many."""
        began = time.time() - ago
        recording = Recording(user, room, began, more=more)
        recording.begin_take(began)
        if seconds:
            recording.end_take(began + seconds, "stopped")
            recording.status, recording.stopped = "completed", began + seconds
        self.recordings[recording.id] = recording
        return recording

    def forget_issuer(self) -> None:
        """Refuse every token from now on, as when the issuer has ended the session."""
        self._ended = True

    def share(self, recording: Recording, *, may_download: bool = False, seconds: float = 3600) -> str:
        """Return the fragment-carrying path of a new share link."""
        link = Link(str(uuid.uuid4()), secrets.token_urlsafe(32), time.time() + seconds, may_download)
        recording.links.append(link)
        return f"/console/shared#{link.token}"

    def app(self) -> Starlette:
        base = "/api/video/recordings"
        routes = {
            f"GET {base}": self._users(self._list),
            f"POST {base}": self._users(self._start),
            f"POST {base}/delete": self._users(self._delete_all),
            f"GET {base}/{{id}}": self._users(self._get),
            f"PATCH {base}/{{id}}": self._users(self._patch),
            f"DELETE {base}/{{id}}": self._users(self._delete),
            f"POST {base}/{{id}}/links": self._users(self._link),
            f"DELETE {base}/{{id}}/links/{{linkId}}": self._users(self._revoke),
            "POST /api/video/shared": self._shared,
            "GET /api/video/play/{id}/live.m3u8": self._playlist,
        }
        pages = [Route("/console", self._page), Route("/console/{path:path}", self._page)]
        return Starlette(routes=[*starmap(self._route, routes.items()), *pages])

    def _route(self, route: str, endpoint: Endpoint) -> Route:
        method, _, path = route.partition(" ")

        async def held(request: Request) -> Response:
            asked = await request.body()
            answer = await endpoint(request)
            try:
                if asked:
                    contract.check_request(route, asked.decode())
                if answer.status_code != GONE:
                    contract.check(route, answer.status_code, answer.headers, bytes(answer.body).decode())
            except AssertionError as breach:
                self.breaches.append(str(breach))
            return answer

        return Route(path, held, methods=[method])

    def bucket(self) -> Starlette:
        return Starlette(routes=[Route("/bucket/{name}", self._object)])

    def _users(self, answer: Callable[[Request, str], Awaitable[Response]]) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            self.requests.append(f"{request.method} {request.url.path}?{request.url.query}")
            assert "wait" not in request.headers.get("prefer", "")
            try:
                token = request.headers.get("authorization", "").removeprefix("Bearer ")
                user = str(jwt.decode(token, self._keys[0], algorithms=["RS256"], audience=AUDIENCE)["sub"])
            except jwt.PyJWTError:
                user = ""
            if not user or self._ended:
                return JSONResponse({"message": "Unauthorized"}, 401)
            if refusal := self.refusals.get(f"{request.method} {request.url.path}"):
                status, body = refusal
                headers = {"retry-after": "2"} if status == 503 else {}
                return JSONResponse(body, status, headers)
            now = time.time()
            for recording in self.recordings.values():
                recording.proceed(now)
            return await answer(request, user)

        return endpoint

    async def _list(self, request: Request, user: str) -> Response:
        asked = request.query_params
        found = [each for each in self.recordings.values() if each.user == user]
        for name, value in (("roomName", "room"), ("status", "status")):
            if name in asked:
                found = [each for each in found if getattr(each, value) == asked[name]]
        for name in ("source", "reference"):
            if name in asked:
                found = [each for each in found if self._recording(each)[name] == asked[name]]
        found = [each for each in found if asked.get("from", "") <= iso(each.created)]
        if "to" in asked:
            found = [each for each in found if iso(each.created) < asked["to"]]
        found.sort(key=lambda each: each.created, reverse=True)
        begin = int(asked.get("cursor", "0"))
        end = begin + min(int(asked.get("limit", "50")), self.list_page)
        following = str(end) if end < len(found) else None
        page: list[JsonValue] = [self._recording(each) for each in found[begin:end]]
        return JSONResponse({"recordings": page, "nextCursor": following})

    async def _start(self, request: Request, user: str) -> Response:
        body = await request.json()
        self.starts.append(body)
        room = str(body.get("roomName", ""))
        if room == "nobody":
            return problem(404, "room_not_found", "LiveKit does not know the room")
        other = next((each for each in self.recordings.values() if each.live and each.room == room), None)
        if other:
            return problem(
                409, "recording_in_progress", "this room is already being recorded", recordingId=other.id
            )
        if body.get("framerate") == 60:
            detail: JsonValue = [{"field": "framerate", "message": "the worker records at most 30"}]
            return problem(400, "invalid_request", "framerate: the worker records at most 30", details=detail)
        known = {
            "title",
            "reference",
            "source",
            "layout",
            "resolution",
            "participantIdentity",
            "pageUrl",
            "media",
        }
        more = {name: value for name, value in body.items() if name in known}
        recording = Recording(user, room, time.time(), waits_until=time.time() + MOMENT, more=more)
        self.recordings[recording.id] = recording
        return JSONResponse({"recordingId": recording.id, "egressId": "EG_1", "status": "starting"}, 201)

    async def _get(self, request: Request, user: str) -> Response:
        recording = self._own(request, user)
        return JSONResponse(self._detail(recording)) if recording else not_found()

    async def _patch(self, request: Request, user: str) -> Response:
        recording = self._own(request, user)
        if recording is None:
            return not_found()
        body = await request.json() if await request.body() else {}
        if "title" in body:
            recording.more["title"] = body["title"]
        now = time.time()
        action = body.get("action", "" if body else "stop")
        if action == "pause":
            if recording.status != "active":
                return problem(
                    409, "not_possible_now", f"it is {recording.status}, and only an active one pauses"
                )
            recording.pause_requested, recording.waits_until = now, now + MOMENT
        elif action == "resume":
            recording.status, recording.waits_until = "resuming", now + MOMENT
        elif action == "stop" and recording.live:
            recording.end_take(now, "stopped")
            recording.status, recording.waits_until = "stopping", now + MOMENT
        recording.updates += 1
        facts = self._recording(recording)
        answer = {name: facts[name] for name in ("egressId", "status", "fileUrl", "duration")}
        return JSONResponse({"recordingId": recording.id, **answer})

    async def _delete(self, request: Request, user: str) -> Response:
        await asyncio.to_thread(self.deletes.wait)
        if await request.is_disconnected():
            return Response(status_code=GONE)
        recording = self._own(request, user)
        if recording is None:
            return not_found()
        del self.recordings[recording.id]
        return JSONResponse({"success": True})

    async def _delete_all(self, request: Request, _: str) -> Response:
        ids = (await request.json())["ids"]
        deleted = [each for each in ids if each in self.recordings and each not in self.undeletable]
        kept = {"code": "storage_unavailable", "error": "the files could not be removed"}
        gone = {"code": "recording_not_found", "error": "recording not found"}
        failed = [
            {"id": each, **(kept if each in self.recordings else gone)} for each in ids if each not in deleted
        ]
        for each in deleted:
            del self.recordings[each]
        return JSONResponse({"deleted": deleted, "failed": failed})

    async def _link(self, request: Request, user: str) -> Response:
        recording = self._own(request, user)
        if recording is None:
            return not_found()
        body = await request.json()
        link = Link(
            str(uuid.uuid4()), secrets.token_urlsafe(32), time.time() + body["expiresIn"], body["mayDownload"]
        )
        recording.links.append(link)
        url = f"{request.base_url}console/shared#{link.token}"
        return JSONResponse({"linkId": link.link_id, "url": url, "expiresAt": iso(link.expires_at)}, 201)

    async def _revoke(self, request: Request, user: str) -> Response:
        recording = self._own(request, user)
        if recording is None:
            return not_found()
        recording.links = [each for each in recording.links if each.link_id != request.path_params["linkId"]]
        return JSONResponse({"success": True})

    async def _shared(self, request: Request) -> Response:
        token = (await request.json())["token"]
        found = [
            (each, link) for each in self.recordings.values() for link in each.links if link.token == token
        ]
        if not found or found[0][1].expires_at < time.time():
            return problem(404, "link_not_found", "this link does not work")
        recording, link = found[0]
        recording.proceed(time.time())
        detail, facts = self._detail(recording), self._recording(recording)
        answer = {
            **{name: facts[name] for name in ("title", "roomName", "startedAt", "duration", "status")},
            "playbackUrl": detail["playbackUrl"],
            "posterUrl": detail["posterUrl"],
            "expiresAt": iso(link.expires_at),
        }
        if link.may_download:
            answer["downloadUrl"] = detail["downloadUrl"]
        return JSONResponse(answer)

    async def _playlist(self, request: Request) -> Response:
        recording = self.recordings.get(request.path_params["id"])
        if recording is None:
            return not_found()
        now = time.time()
        recording.proceed(now)
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:3",
            f"#EXT-X-TARGETDURATION:{SEGMENT_SECONDS}",
            "#EXT-X-MEDIA-SEQUENCE:0",
        ]
        for take in recording.takes:
            if take.number > 1:
                lines.append("#EXT-X-DISCONTINUITY")
            for index in range(int(take.seconds(now) // SEGMENT_SECONDS)):
                name = f"take-{(take.number - 1) % 2 + 1}-{index % SEGMENTS_OF_A_TAKE:03d}.ts"
                if index and index % SEGMENTS_OF_A_TAKE == 0:
                    lines.append("#EXT-X-DISCONTINUITY")
                lines += [f"#EXTINF:{SEGMENT_SECONDS:.3f},", self._signed(name)]
        if not recording.live:
            lines.append("#EXT-X-ENDLIST")
        return Response("\n".join(lines), media_type="application/vnd.apple.mpegurl")

    async def _object(self, request: Request) -> Response:
        signed, until = float(request.query_params["signed"]), float(request.query_params["until"])
        headers = {"access-control-allow-origin": "*"}
        if time.time() > until or signed < self.signed_after:
            return Response("<Error><Code>AccessDenied</Code></Error>", 403, headers)
        if request.query_params.get("download"):
            headers["content-disposition"] = 'attachment; filename="recording.mp4"'
        return FileResponse(self._media / request.path_params["name"], headers=headers)

    def _own(self, request: Request, user: str) -> Recording | None:
        recording = self.recordings.get(request.path_params["id"])
        return recording if recording and recording.user == user else None

    def _signed(self, name: str, more: str = "") -> str:
        now = time.time()
        return f"{self._bucket()}/bucket/{name}?signed={now}&until={now + self.link_seconds}{more}"

    def _detail(self, recording: Recording) -> dict[str, JsonValue]:
        now = time.time()
        done = recording.status == "completed" and not recording.in_parts
        playing = recording.live and recording.playable and recording.seconds(now) >= 2 * SEGMENT_SECONDS
        takes: list[JsonValue] = [
            {
                "take": take.number,
                "egressId": f"EG_{take.number}",
                "startedAt": iso(take.began),
                "stoppedAt": iso(take.ended) if take.ended else None,
                "end": take.end,
                "duration": take.seconds(now) if take.ended else None,
                **({"lostSeconds": take.lost} if take.lost is not None else {}),
            }
            for take in recording.takes
        ]
        parts: list[JsonValue] = [
            {
                "kind": "file",
                "take": take.number,
                "url": self._signed(f"take-{take.number}.mp4", "&download=1"),
                "size": 1_200_000,
                "mimeType": "video/mp4",
                "fileName": f"take-{take.number}.mp4",
                "duration": take.seconds(now),
            }
            for take in recording.takes
            if recording.in_parts
        ]
        links: list[JsonValue] = [
            {"linkId": link.link_id, "expiresAt": iso(link.expires_at), "mayDownload": link.may_download}
            for link in recording.links
        ]
        live = f"/api/video/play/{recording.id}/live.m3u8?token=secret"
        return {
            "recording": {**self._recording(recording)},
            "downloadUrl": self._signed("file.mp4", "&download=1") if done else None,
            "downloadUrlExpiresAt": iso(now + self.link_seconds) if done else None,
            "playbackUrl": self._signed("file.mp4") if done else live if playing else None,
            "posterUrl": self._poster(recording) if done or playing else None,
            "files": parts,
            "takes": takes,
            "links": links,
        }

    def _poster(self, recording: Recording) -> str:
        return self._signed(f"poster-{len(recording.room) % POSTERS}.jpg")

    def _recording(self, recording: Recording) -> dict[str, JsonValue]:
        now = time.time()
        final = not recording.live
        done = recording.status == "completed"
        facts: dict[str, JsonValue] = {
            "id": recording.id,
            "roomName": recording.room,
            "roomSid": "RM_1",
            "egressId": "EG_1",
            "status": recording.status,
            "layout": "grid",
            "codec": "h264",
            "resolution": "1080p",
            "startedAt": iso(recording.takes[0].began if recording.takes else recording.created),
            "stoppedAt": iso(recording.stopped) if recording.stopped else None,
            "fileUrl": None,
            "storageKey": f"recordings/{recording.id}/file.mp4" if done else None,
            "fileSize": (self._media / "file.mp4").stat().st_size if done else None,
            "duration": recording.seconds(now) if final else None,
            "userId": recording.user,
            "createdAt": iso(recording.created),
            "updatedAt": iso(recording.created + recording.updates / 1000),
            "source": "room_composite",
            "trackSid": None,
            "audioCodec": "aac",
            "audioBitrate": None,
            "videoBitrate": None,
            "failureCode": None,
            "failureReason": None,
            "endReason": "stopped" if final else None,
            "maxDuration": None,
            "expiresAt": None,
            "fileName": None,
            "mimeType": "video/mp4" if done else None,
            "media": "audio_video",
            "framerate": 30,
            "orientation": "landscape",
            "title": None,
            "reference": None,
            "metadata": {},
            "participantIdentity": None,
            "screenShare": False,
            "audioTrackSid": None,
            "videoTrackSid": None,
            "pageUrl": None,
            "onWorkerLost": "continue",
            "takeCount": len(recording.takes),
            "pauseRequestedAt": iso(recording.pause_requested) if recording.pause_requested else None,
            "streams": [],
            "thumbnailCount": None,
        }
        return {**facts, **recording.more}


def problem(status: int, code: str, error: str, **more: JsonValue) -> Response:
    body: dict[str, JsonValue] = {
        "error": error,
        "code": code,
        "requestId": f"req-{secrets.token_hex(4)}",
        **more,
    }
    return JSONResponse(body, status)


def not_found() -> Response:
    return problem(404, "recording_not_found", "recording not found")
