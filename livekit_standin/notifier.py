"""Writes and signs the webhooks about egresses and rooms, and queues them for whom it concerns."""

import hmac
from base64 import b64encode, urlsafe_b64encode
from hashlib import sha256

from livekit.protocol import egress, models, webhook

from livekit_standin.environment import Environment
from livekit_standin.jobs import Job
from livekit_standin.protojson import webhook_json
from livekit_standin.rooms import RoomEvent
from livekit_standin.timing import SECOND
from livekit_standin.twirp import new_id
from livekit_standin.webhooks import Webhook, WebhookQueues

UNKNOWN_STATUS = "EGRESS_PAUSED"
"""The status that the fault `webhook_status_unknown` tells."""

_TOKEN_LIFETIME_S = 300


class Notifier:
    """The source of all webhooks. `urls` get every event, those of a request only what is about its egress."""

    def __init__(
        self,
        environment: Environment,
        queues: WebhookQueues,
        urls: tuple[str, ...],
        *,
        api_key: str,
        api_secret: str,
    ) -> None:
        self._environment = environment
        self._queues = queues
        self._urls = urls
        self._api_key = api_key
        self._api_secret = api_secret.encode()

    def urls(self, job: Job) -> tuple[str, ...]:
        """Say who is told about a job; an unknown signing key silently means nobody."""
        own = [hook.url for hook in job.webhooks if hook.signing_key in {"", self._api_key}]
        return (*own, *self._urls)

    def about_egress(self, event: str, info: egress.EgressInfo, urls: tuple[str, ...]) -> None:
        """Tell about an egress."""
        if urls:
            self._send(webhook.WebhookEvent(event=event, egress_info=info), info.egress_id, urls)

    def about_room(self, event: RoomEvent) -> None:
        """Tell about a room."""
        if not self._urls:
            return
        about, participant, track = event.room.info, event.participant, event.track
        if track is not None and participant is not None:
            about = models.Room(sid=about.sid, name=about.name)
            participant = models.ParticipantInfo(sid=participant.sid, identity=participant.identity)
        told = webhook.WebhookEvent(event=event.name, room=about, participant=participant, track=track)
        self._send(told, "", self._urls)

    def _send(self, event: webhook.WebhookEvent, egress_id: str, urls: tuple[str, ...]) -> None:
        environment, faults = self._environment, self._environment.faults
        if environment.fires(faults.webhook_lost):
            return
        event.id = new_id("EV_", environment.random)
        event.created_at = environment.now() // SECOND
        text = webhook_json(event)
        if environment.fires(faults.webhook_status_unknown):
            status = egress.EgressStatus.Name(event.egress_info.status)
            text = text.replace(f'"status":"{status}"', f'"status":"{UNKNOWN_STATUS}"', 1)
        body = text.encode()
        authorization = self._sign(body, event.created_at)
        for url in urls:
            message = Webhook(url, event.id, event.event, egress_id, body, authorization)
            self._queue(egress_id or event.room.sid, message)

    def _queue(self, sender: str, message: Webhook) -> None:
        environment, faults = self._environment, self._environment.faults
        overtaken = environment.fires(faults.webhook_reordered)
        late = overtaken or environment.fires(faults.webhook_late)
        after = environment.draw(environment.timing.late_webhook) if late else 0
        self._queues.add(sender, message, after=after, overtaken=overtaken)
        if environment.fires(faults.webhook_doubled):
            self._queues.add(sender, message, after=after, overtaken=overtaken)

    def _sign(self, body: bytes, now: int) -> str:
        # By hand because PyJWT takes as long as all the rest of an event.
        digest = b64encode(sha256(body).digest()).decode()
        times = f'"exp":{now + _TOKEN_LIFETIME_S},"nbf":{now},"iat":{now}'
        claims = f'{{"iss":"{self._api_key}",{times},"sha256":"{digest}"}}'
        signed = _TOKEN_HEADER + b"." + _base64url(claims.encode())
        return (signed + b"." + _base64url(hmac.digest(self._api_secret, signed, "sha256"))).decode()


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


_TOKEN_HEADER = _base64url(b'{"alg":"HS256","typ":"JWT"}')
