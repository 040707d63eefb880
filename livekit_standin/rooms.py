"""Rooms, who is in them, and RoomService."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from google.protobuf.message import Message
from livekit.protocol import models, room

from livekit_standin.environment import Environment
from livekit_standin.timing import SECOND
from livekit_standin.twirp import PARTICIPANT_NOT_FOUND, ROOM_NOT_FOUND, TwirpError, invalid_argument, new_id

IDENTITIES = ("ada", "grace")
_CAMERA_CODECS = ("video/VP8", "video/H264")
_CODECS = (
    *("audio/PCMU", "audio/PCMA", "audio/opus", "audio/red"),
    *("video/VP8", "video/H264", "video/VP9", "video/AV1", "video/H265", "video/rtx"),
)
_NAME_LIMIT = 256
_EMPTY_TIMEOUT_S = 300
_DEPARTURE_TIMEOUT_S = 20


@dataclass(slots=True, eq=False)
class Room:
    """A room with its participants by identity, and the recorders that are in it by egress id."""

    info: models.Room
    permanent: bool = False
    closed: bool = False
    asleep: bool = False
    """Nobody has been in it since the server came back."""
    participants: dict[str, models.ParticipantInfo] = field(default_factory=dict)
    recorders: dict[str, models.ParticipantInfo] = field(default_factory=dict)
    ghosts: dict[str, models.ParticipantInfo] = field(default_factory=dict)
    """Participants that left while the server was down: listed for ever, and never reported."""

    @property
    def name(self) -> str:
        """The room's name."""
        return self.info.name

    def track(self, sid: str) -> tuple[models.ParticipantInfo, models.TrackInfo] | None:
        """Find a published track and its publisher."""
        for participant in self.participants.values():
            for track in participant.tracks:
                if track.sid == sid:
                    return participant, track
        return None


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """Something that LiveKit tells by webhook: `name` as in the webhook."""

    name: str
    room: Room
    participant: models.ParticipantInfo | None = None
    track: models.TrackInfo | None = None


@dataclass(slots=True)
class RoomHooks:
    """A listener to the events of rooms."""

    closed: Callable[[Room], None] = lambda _: None
    left: Callable[[Room, str], None] = lambda _room, _identity: None
    unpublished: Callable[[Room], None] = lambda _: None
    joined: Callable[[Room], None] = lambda _: None
    """Also when somebody publishes more."""
    recorder_removed: Callable[[str], None] = lambda _: None
    event: Callable[[RoomEvent], None] = lambda _: None
    """The subject of a webhook."""


class Rooms:
    """All rooms."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._rooms: dict[str, Room] = {}
        self._down = False
        self._restarts = 0
        self.hooks = RoomHooks()

    def find(self, name: str) -> Room | None:
        """Find an open room by name."""
        return self._rooms.get(name)

    def open(
        self,
        name: str,
        *,
        identities: tuple[str, ...] = IDENTITIES,
        permanent: bool = False,
        empty_timeout: int = _EMPTY_TIMEOUT_S,
    ) -> Room:
        """Make a room with a participant for each identity: camera (VP8, H264 in turn) and microphone (Opus).

        A permanent room never closes by emptiness; `empty_timeout` (seconds) closes one that nobody ever joined.
        """
        if self._down:
            raise RuntimeError("no room opens while the server is down")
        now = self._environment.now()
        made = Room(
            models.Room(
                sid=new_id("RM_", self._environment.random),
                name=name,
                empty_timeout=empty_timeout,
                departure_timeout=_DEPARTURE_TIMEOUT_S,
                creation_time=now // SECOND,
                creation_time_ms=now // 1_000_000,
                turn_password=new_id("", self._environment.random) + new_id("", self._environment.random),
                enabled_codecs=[models.Codec(mime=mime) for mime in _CODECS],
            ),
            permanent,
        )
        self._rooms[name] = made
        self._tell(RoomEvent("room_started", made))
        for index, identity in enumerate(identities):
            self.join(made, identity, _CAMERA_CODECS[index % 2])
        if not identities:
            self._environment.schedule.after(empty_timeout * SECOND, self._closing(made))
        return made

    def server_stopped(self) -> None:
        """Let the server die: nothing is told any more, rooms stay as they are."""
        self._down = True
        self._restarts += 1

    def server_started(self, gone: Collection[str]) -> None:
        """Let the server come back, and everybody but `gone` with new SIDs of their own and of their tracks."""
        self._down = False
        for known in self._rooms.values():
            known.asleep = True
            for identity in gone:
                if identity in known.participants:
                    known.ghosts[identity] = known.participants.pop(identity)
            returning = list(known.participants.values())
            known.participants.clear()
            for participant in returning:
                participant.sid = new_id("PA_", self._environment.random)
                for track in participant.tracks:
                    track.sid = new_id(track.sid[:5], self._environment.random)
                self._enter(known, participant)
            self._count(known)

    def back_again(self, room: Room, egress_id: str, *, aborted: bool) -> None:
        """Let a recorder come back after the server; `aborted`: it leaves at once since its source is gone."""
        if room.closed:
            return
        if not aborted:
            self.recorder_joins(room, egress_id)
            return
        room.recorders.pop(egress_id, None)
        self._count(room)
        recorder = self._recorder(egress_id)
        recorder.state = models.ParticipantInfo.DISCONNECTED
        recorder.disconnect_reason = models.CLIENT_INITIATED
        self._tell(RoomEvent("participant_connection_aborted", room, recorder))

    def join(self, room: Room, identity: str, camera: str = "video/VP8") -> None:
        """Let a participant join who publishes a camera (MIME type `camera`) and a microphone."""
        participant = self._participant(identity)
        participant.is_publisher = True
        participant.permission.can_subscribe = True
        participant.permission.can_publish = True
        participant.permission.can_publish_data = True
        participant.tracks.extend([self._camera(camera), self._microphone()])
        self._enter(room, participant)

    def _enter(self, room: Room, participant: models.ParticipantInfo) -> None:
        room.ghosts.pop(participant.identity, None)
        room.participants[participant.identity] = participant
        self._count(room)
        self._tell(RoomEvent("participant_joined", room, participant))
        self.hooks.joined(room)

    def leave(self, room: Room, identity: str) -> None:
        """Let a participant leave; after the last one, the room closes when its departure timeout is over."""
        participant = room.participants.pop(identity, None)
        if participant is None:
            return
        if self._down:
            room.ghosts[identity] = participant
            return
        self._count(room)
        self._departed(room, participant, models.CLIENT_INITIATED)
        self.hooks.left(room, identity)
        if not room.participants:
            self._environment.after(self._environment.timing.room_departure, self._closing(room))

    def publish(self, room: Room, identity: str, source: models.TrackSource) -> None:
        """Let a participant publish a track: a camera (VP8), a microphone or a screen (VP8)."""
        participant = room.participants.get(identity)
        if participant is None or self._down:
            return
        if source == models.MICROPHONE:
            track = self._microphone()
        else:
            track = self._camera("video/VP8")
            track.source, track.name = source, models.TrackSource.Name(source).lower()
        participant.tracks.append(track)
        self._tell(RoomEvent("track_published", room, participant, track))
        self.hooks.joined(room)

    def unpublish(self, room: Room, identity: str, source: models.TrackSource) -> None:
        """Let a participant publish the tracks of a source no more."""
        participant = room.participants.get(identity)
        if participant is None or self._down:
            return
        for track in [track for track in participant.tracks if track.source == source]:
            self._tell(RoomEvent("track_unpublished", room, participant, track))
            participant.tracks.remove(track)
        self.hooks.unpublished(room)

    def close(self, room: Room) -> None:
        """Close a room: everybody is out, its egresses lose their source."""
        if room.closed or self._down:
            return
        room.closed = True
        del self._rooms[room.name]
        for participant in (*room.participants.values(), *room.recorders.values()):
            self._departed(room, participant, models.ROOM_DELETED)
        for present in (room.participants, room.recorders, room.ghosts):
            present.clear()
        self._count(room)
        self._tell(RoomEvent("room_finished", room))
        self.hooks.closed(room)

    def recorder_joins(self, room: Room, egress_id: str) -> None:
        """Show an egress as a hidden participant."""
        if room.closed or self._down:
            return
        recorder = self._recorder(egress_id)
        room.recorders[egress_id] = recorder
        room.ghosts.pop(egress_id, None)
        self._count(room)
        self._tell(RoomEvent("participant_joined", room, recorder))

    def recorder_leaves(self, room: Room, egress_id: str, *, timed_out: bool = False) -> None:
        """Take an egress out of its room."""
        recorder = room.recorders.pop(egress_id, None)
        if recorder is None:
            return
        if self._down:
            room.ghosts[egress_id] = recorder
            return
        self._count(room)
        reason = models.CONNECTION_TIMEOUT if timed_out else models.CLIENT_INITIATED
        self._departed(room, recorder, reason)

    def describe_recorder(self, room: Room, egress_id: str, metadata: str) -> None:
        """Change the metadata of a recorder, where it is in its room."""
        recorder = room.recorders.get(egress_id)
        if recorder is not None:
            recorder.metadata = metadata
            recorder.version += 1

    def create_room(
        self, request: room.CreateRoomRequest, identities: tuple[str, ...]
    ) -> Message | TwirpError:
        """RoomService.CreateRoom: an existing room is answered as it is."""
        if len(request.name) > _NAME_LIMIT:
            return invalid_argument(f"room name length exceeds limits: max length {_NAME_LIMIT}")
        known = self.find(request.name)
        if known is not None:
            return _copy(known.info)
        made = self.open(
            request.name, identities=identities, empty_timeout=request.empty_timeout or _EMPTY_TIMEOUT_S
        )
        if request.departure_timeout:
            made.info.departure_timeout = request.departure_timeout
        made.info.max_participants = request.max_participants
        made.info.metadata = request.metadata
        answer = _copy(made.info)
        answer.num_participants = answer.num_publishers = 0
        return answer

    def list_rooms(self, request: room.ListRoomsRequest, *, hide_recorders: bool) -> room.ListRoomsResponse:
        """RoomService.ListRooms, of all rooms or of those named."""
        rooms = (
            [known for name in request.names if (known := self.find(name))]
            if request.names
            else list(self._rooms.values())
        )
        answer = room.ListRoomsResponse(rooms=[known.info for known in rooms])
        if hide_recorders:
            for info in answer.rooms:
                info.active_recording = False
        return answer

    def list_participants(
        self, request: room.ListParticipantsRequest, *, hide_recorders: bool
    ) -> room.ListParticipantsResponse:
        """RoomService.ListParticipants; nobody is in a room that does not exist."""
        known = self.find(request.room)
        if known is None:
            return room.ListParticipantsResponse()
        recorders = () if hide_recorders else known.recorders.values()
        ghosts = (
            ghost
            for ghost in known.ghosts.values()
            if not (hide_recorders and ghost.kind == models.ParticipantInfo.EGRESS)
        )
        return room.ListParticipantsResponse(participants=[*known.participants.values(), *recorders, *ghosts])

    def get_participant(
        self, request: room.RoomParticipantIdentity, *, hide_recorders: bool
    ) -> Message | TwirpError:
        """RoomService.GetParticipant."""
        known = self.find(request.room)
        if known is None:
            return PARTICIPANT_NOT_FOUND
        found = known.participants.get(request.identity)
        if found is None and not hide_recorders:
            found = known.recorders.get(request.identity)
        return PARTICIPANT_NOT_FOUND if found is None else _copy(found)

    def remove_participant(self, request: room.RoomParticipantIdentity) -> Message | TwirpError:
        """RoomService.RemoveParticipant; a removed recorder loses its source."""
        known = self.find(request.room)
        if known is None or request.identity not in {*known.participants, *known.recorders}:
            return PARTICIPANT_NOT_FOUND
        if request.identity in known.recorders:
            self.recorder_leaves(known, request.identity)
            self.hooks.recorder_removed(request.identity)
        else:
            self.leave(known, request.identity)
        return room.RemoveParticipantResponse()

    def delete_room(self, request: room.DeleteRoomRequest) -> Message | TwirpError:
        """RoomService.DeleteRoom."""
        known = self.find(request.room)
        if known is None:
            return ROOM_NOT_FOUND
        self.close(known)
        return room.DeleteRoomResponse()

    def _closing(self, room: Room) -> Callable[[], None]:
        # A timer does not outlive the server.
        restarts = self._restarts

        def act() -> None:
            if not room.participants and not room.permanent and self._restarts == restarts:
                self.close(room)

        return act

    def _tell(self, event: RoomEvent) -> None:
        if self._down:
            return
        if event.room.asleep and event.name == "participant_joined":
            event.room.asleep = False
            self.hooks.event(RoomEvent("room_started", event.room))
        self.hooks.event(event)

    def _departed(
        self, room: Room, participant: models.ParticipantInfo, reason: models.DisconnectReason
    ) -> None:
        participant.state = models.ParticipantInfo.DISCONNECTED
        participant.disconnect_reason = reason
        for track in participant.tracks:
            self._tell(RoomEvent("track_unpublished", room, participant, track))
        del participant.tracks[:]
        self._tell(RoomEvent("participant_left", room, participant))

    def _count(self, room: Room) -> None:
        room.info.num_participants = len(room.participants)
        room.info.num_publishers = len(room.participants)
        room.info.active_recording = bool(room.recorders)

    def _participant(self, identity: str) -> models.ParticipantInfo:
        now = self._environment.now()
        return models.ParticipantInfo(
            sid=new_id("PA_", self._environment.random),
            identity=identity,
            state=models.ParticipantInfo.ACTIVE,
            joined_at=now // SECOND,
            joined_at_ms=now // 1_000_000,
            version=2,
        )

    def _recorder(self, egress_id: str) -> models.ParticipantInfo:
        recorder = self._participant(egress_id)
        recorder.kind = models.ParticipantInfo.EGRESS
        recorder.permission.can_subscribe = True
        recorder.permission.hidden = True
        recorder.permission.recorder = True
        return recorder

    def _camera(self, mime_type: str) -> models.TrackInfo:
        return models.TrackInfo(
            sid=new_id("TR_VC", self._environment.random),
            type=models.VIDEO,
            name="camera",
            source=models.CAMERA,
            mime_type=mime_type,
            width=1280,
            height=720,
        )

    def _microphone(self) -> models.TrackInfo:
        return models.TrackInfo(
            sid=new_id("TR_AM", self._environment.random),
            type=models.AUDIO,
            name="microphone",
            source=models.MICROPHONE,
            mime_type="audio/opus",
        )


def _copy[M: Message](message: M) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
