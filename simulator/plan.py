"""The steps of a history: drawn from a seed, and plain data, so that parts of it can be left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Final

from recorder.domain.schedule import Policy
from simulator.kinds import CHOICES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USERS: Final = ("alice", "bob", "carol")
ROOMS: Final = ("demo", "o'brien / ☃")
WORKERS: Final = ("prefix", "presigned")
SWEEP_SECONDS: Final = 60.0
_STORIES: Final = 0.6
_STORY_SECONDS: Final = 60.0
_CUT_OFF: Final = 0.4
"""Of the workers that are lost in a story, those that live on."""

_QUICK: Final = Policy(
    starting_timeout=timedelta(minutes=2),
    stopping_timeout=timedelta(minutes=5),
    upload_grace=timedelta(minutes=10),
    unseen_grace=timedelta(minutes=10),
    pause_timeout=timedelta(minutes=6),
    resume_timeout=timedelta(minutes=3),
    assembling_timeout=timedelta(minutes=2),
    poster=False,
)
CLOCK_SKEWS: Final = (0.0, 0.0, 0.0, -900.0, 3600.0, -1_790_000_000.0)
"""The last shows the year 1970."""
POLICIES: Final = (
    _QUICK,
    _QUICK._replace(retention=timedelta(minutes=4), max_duration=timedelta(minutes=2)),
    Policy(),
    _QUICK._replace(safety_segments=False),
)
_POLICY_WEIGHTS: Final = (8, 4, 1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """Something that happens, `at` seconds after the beginning."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation(_Step):
    """A function is invoked: its calls take `pace` times as long as usual, and it is killed at a point of its own."""

    pace: float = 1.0
    kill_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Invocation):
    """A user asks for a recording, and where no answer or a 503 comes, again, with the same idempotency key."""

    user: str
    room: str
    track: bool = False
    key: str | None = None
    retries: int = 0
    max_duration: int | None = None
    choice: int = 0
    """Of the kinds and outputs in `simulator.kinds`."""
    opus: bool = False
    """LiveKit can write no segments beside such a file."""
    worker_lost: str = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Invocation):
    """A user stops one of the recordings that they know."""

    user: str
    which: int
    wait: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause(Invocation):
    """A user pauses one of the recordings that they know."""

    user: str
    which: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(Invocation):
    """A user resumes one of the recordings that they know."""

    user: str
    which: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Get(Invocation):
    """A user looks at one of the recordings that they know."""

    user: str
    which: int
    wait: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete(Invocation):
    """A user deletes one of the recordings that they know."""

    user: str
    which: int


@dataclass(frozen=True, slots=True, kw_only=True)
class List(Invocation):
    """A user turns all pages of the list, with pauses."""

    user: str
    room: str | None
    limit: int
    oldest_first: bool
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pry(Invocation):
    """A user tries somebody else's recording."""

    user: str
    which: int
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep(Invocation):
    """The schedule fires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint(Invocation):
    """A function that goes on with one of all recordings is invoked, once more or for no reason: `begin` or `join`."""

    what: str
    which: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAway(_Step):
    """LiveKit's server dies, and comes back after so many seconds; not all participants come back with it."""

    seconds: float
    all_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InRoom(_Step):
    """A room opens, closes, is left by everybody, or is closed and opened with nobody in it for a while (`refill`)."""

    room: str
    action: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike(_Step):
    """Something befalls one of the running egress, or LiveKit's memory."""

    what: str
    which: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble(_Step):
    """A fault, by its name, has a chance for so many seconds."""

    fault: str
    seconds: float
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(_Step):
    """Somebody else in the same LiveKit project starts an egress."""

    room: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Litter(_Step):
    """Somebody puts an object beside the file of a recording, or an empty one in its place."""

    name: str
    size: int
    which: int


type UserCall = Start | Stop | Pause | Resume | Get | Delete | List | Pry
type Step = UserCall | Sweep | Hint | InRoom | ServerAway | Strike | Trouble | Foreign | Litter


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """All that happens, in order of time; `seed` also decides what is left to chance while it happens."""

    seed: int
    policy: Policy
    webhooks: str
    """The routes that LiveKit reports to: own, global, both or none."""
    clock_skew: float = 0.0
    """How many seconds the workers' clocks are ahead."""
    calm_sweeps: int = 3
    """How many sweeps pass quietly before the rooms close."""
    steps: tuple[Step, ...]
    page_size: int | None = None
    """How many egress LiveKit lists at once; None: all of them."""
    worker: str = ""
    """How LiveKit's workers store: with a prefix, with presigned locations, or plainly."""

    def has(self, fault: str) -> bool:
        """Whether a fault is on at times."""
        return any(isinstance(step, Trouble) and step.fault == fault for step in self.steps)

    @property
    def rooms_deceive(self) -> bool:
        """Whether a room may hide a recorder, or show one of which the product knows nothing."""
        strangers = any(isinstance(step, Foreign) for step in self.steps)
        return strangers or self.has("recorders_hidden") or self.has("start_doubled")

    @property
    def forgets(self) -> bool:
        """Whether LiveKit forgets an egress that may run."""
        struck = any(isinstance(step, Strike) and step.what.startswith("lose") for step in self.steps)
        return struck or self.has("record_lost")

    @property
    def times_are_exact(self) -> bool:
        """Whether the product can know to the second when each take began."""
        return self.clock_skew == 0.0 and not self.forgets and not self.has("start_doubled")

    @property
    def calm(self) -> bool:
        """Whether nothing goes wrong but that things meet."""
        return not any(
            isinstance(step, Trouble) or (isinstance(step, Invocation) and (step.kill_at or step.pace > 1.0))
            for step in self.steps
        )

    @property
    def ends_at(self) -> float:
        """When the last step has happened."""
        return max((step.at for step in self.steps), default=0.0)


# Faults with how likely each call or egress is struck while one is on, at most.
_TROUBLES: Final = {
    "database_refuses": 1.0,
    "database_silent": 0.6,
    "database_retried": 0.8,
    "database_conflicts": 0.8,
    "row_unreadable": 0.5,
    "storage_refuses": 1.0,
    "storage_silent": 0.8,
    "bus_refuses": 1.0,
    "bus_silent": 0.8,
    "bus_takes_some": 0.8,
    "livekit_unreachable": 1.0,
    "livekit_hangs_up": 0.8,
    "livekit_hangs_up_late": 0.8,
    "start_doubled": 1.0,
    "webhook_slow": 0.8,
    "hint_lost": 1.0,
    "hint_late": 1.0,
    "hint_doubled": 1.0,
    "joining_refused": 1.0,
    "bucket_away": 1.0,
    "killed": 0.15,
    "start.request_lost": 0.8,
    "start.answer_lost": 1.0,
    "start.slow": 0.8,
    "start.internal": 0.8,
    "stop.request_lost": 0.8,
    "stop.answer_lost": 1.0,
    "stop.slow": 0.8,
    "stop.internal": 0.8,
    "list.request_lost": 1.0,
    "list.answer_lost": 0.8,
    "list.slow": 0.5,
    "list.internal": 1.0,
    "rooms.request_lost": 1.0,
    "rooms.internal": 1.0,
    "no_worker": 0.8,
    "full_worker": 1.0,
    "options_refused": 0.8,
    "never_active": 1.0,
    "limit_reached": 1.0,
    "host_dies": 1.0,
    "host_suspended": 1.0,
    "handler_dies": 1.0,
    "handler_frozen": 1.0,
    "worker_ends_it": 1.0,
    "record_lost": 1.0,
    "recorders_hidden": 1.0,
    "update_coalesced": 1.0,
    "upload_fails": 1.0,
    "upload_late": 1.0,
    "duration_short": 1.0,
    "backup_storage": 1.0,
    "failed_after_complete": 1.0,
    "webhook_lost": 1.0,
    "webhook_late": 0.8,
    "webhook_doubled": 0.8,
    "webhook_reordered": 0.8,
    "webhook_status_unknown": 0.5,
}


def generate(seed: int) -> History:
    """Draw a history."""
    draw = _Draw(Random(seed))
    return draw.history(seed)


class _Draw:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._span = random.choice((10.0, 60.0, 150.0, 400.0))
        # Things happen at the same moments, so that they meet.
        self._moments = sorted(random.uniform(0.0, self._span) for _ in range(random.randint(2, 6)))
        self._killing = random.choice((0.0, 0.0, 0.1, 0.4))
        self._lag = random.choice((0.0, 0.0, 0.05, 0.2))

    def history(self, seed: int) -> History:
        random = self._random
        steps: list[Step] = [InRoom(at=0.0, room=room, action="open") for room in ROOMS]
        steps += [self._trouble() for _ in range(random.choice((0, 1, 2, 3, 5, 8)))]
        steps += self._sweeps()
        steps += [self._some() for _ in range(random.randint(2, 14))]
        steps += self._takes() if random.random() < _STORIES and self._span >= _STORY_SECONDS else []
        steps += [self._start(USERS[0])]
        [policy] = random.choices(POLICIES, _POLICY_WEIGHTS)
        return History(
            seed=seed,
            policy=policy,
            webhooks=random.choice(("own", "own", "own", "own", "global", "both", "none")),
            clock_skew=random.choice(CLOCK_SKEWS),
            calm_sweeps=random.choice((3, 3, 3, 15)),
            page_size=random.choice((None, None, 1, 2)),
            worker=random.choice(("", "", *WORKERS)),
            steps=tuple(sorted([*steps, *self._litter()], key=lambda step: step.at)),
        )

    def _takes(self) -> list[Step]:
        """A recording of several takes, more often than chance alone has one."""
        random = self._random
        began = random.uniform(0.0, self._span / 5)
        user = random.choice(USERS[:2])
        times = sorted(random.uniform(began + 7.0, self._span) for _ in range(random.randint(2, 7)))
        steps: list[Step] = [replace(self._start(user), at=began, room=ROOMS[0], track=False, kill_at=None)]
        ends = (self._pause, self._pause, self._strike, self._strike, self._in_room, self._stop)
        for time in times:
            chosen = replace(random.choice(ends)(user), at=time)
            if isinstance(chosen, InRoom):
                chosen = replace(chosen, action="refill")
            if isinstance(chosen, Strike) and random.random() < _CUT_OFF:
                chosen = replace(chosen, what="suspend_host")
            steps.append(chosen)
            if isinstance(chosen, Pause):
                steps.append(
                    replace(self._resume(user), at=time + random.choice((0.0, 0.3, 3.0, 30.0, 120.0)))
                )
        return steps

    def _litter(self) -> list[Litter]:
        things = (
            ("", 0),
            ("poster.jpg", 9),
            ("EG_1.json", 9),
            ("recording.mp4", 0),
            ("1/hls/recording.mp4", 9),
        )
        chosen = [self._random.choice(things) for _ in range(self._random.choice((0, 0, 1, 3)))]
        return [Litter(at=self._at(), name=name, size=size, which=self._which()) for name, size in chosen]

    def _some(self) -> Step:
        kinds: dict[Callable[[str], Step], int] = {
            self._start: 30,
            self._stop: 18,
            self._pause: 12,
            self._resume: 14,
            self._hint: 4,
            self._server_away: 1,
            self._get: 12,
            self._delete: 12,
            self._list: 6,
            self._pry: 3,
            self._in_room: 4,
            self._strike: 6,
            self._foreign: 4,
        }
        [kind] = self._random.choices(list(kinds), list(kinds.values()))
        return kind(self._random.choice(USERS[:2] if self._random.random() < 0.9 else USERS))

    def _at(self) -> float:
        random = self._random
        return random.choice(self._moments) + random.choice((0.0, 0.01, 0.5, 5.0)) * random.random()

    def _pace(self) -> float:
        if self._random.random() >= self._lag:
            return 1.0
        return self._random.choice((30.0, 300.0, 2000.0, 6000.0))

    def _kill_at(self, points: int) -> int | None:
        return self._random.randint(1, points) if self._random.random() < self._killing else None

    def _start(self, user: str) -> Start:
        random = self._random
        key = random.choice((None, None, "key", f"key-{random.randint(1, 99)}"))
        return Start(
            at=self._at(),
            pace=self._pace(),
            kill_at=self._kill_at(7),
            user=user,
            room=random.choice(ROOMS) if random.random() < 0.97 else "nowhere",
            track=random.random() < 0.25,
            key=key,
            retries=random.randint(1, 3) if key else 0,
            max_duration=random.choice((None, None, None, 30)),
            choice=random.choice((0, random.randrange(len(CHOICES)))),
            opus=random.random() < 0.15,
            worker_lost=random.choice(("continue", "continue", "end")),
        )

    def _pause(self, user: str) -> Pause:
        return Pause(
            at=self._at(), pace=self._pace(), kill_at=self._kill_at(7), user=user, which=self._which()
        )

    def _resume(self, user: str) -> Resume:
        return Resume(
            at=self._at(), pace=self._pace(), kill_at=self._kill_at(8), user=user, which=self._which()
        )

    def _hint(self, _: str) -> Hint:
        what = self._random.choice(("begin", "join", "join"))
        return Hint(
            at=self._at(), pace=self._pace(), kill_at=self._kill_at(12), what=what, which=self._which()
        )

    def _server_away(self, _: str) -> ServerAway:
        random = self._random
        return ServerAway(
            at=self._at(), seconds=random.choice((5.0, 30.0, 70.0)), all_back=random.random() < 0.6
        )

    def _stop(self, user: str) -> Stop:
        wait = self._random.choice((0, 0, 0, 5, 20))
        return Stop(
            at=self._at(),
            pace=self._pace(),
            kill_at=self._kill_at(8),
            user=user,
            which=self._which(),
            wait=wait,
        )

    def _get(self, user: str) -> Get:
        wait = self._random.choice((0, 0, 0, 20))
        return Get(
            at=self._at(),
            pace=self._pace(),
            kill_at=self._kill_at(8),
            user=user,
            which=self._which(),
            wait=wait,
        )

    def _delete(self, user: str) -> Delete:
        return Delete(
            at=self._at(), pace=self._pace(), kill_at=self._kill_at(10), user=user, which=self._which()
        )

    def _list(self, user: str) -> List:
        random = self._random
        return List(
            at=self._at(),
            pace=self._pace(),
            user=user,
            room=random.choice((None, None, ROOMS[0])),
            limit=random.randint(1, 3),
            oldest_first=random.random() < 0.4,
            pause=random.choice((0.0, 0.1, 5.0)),
        )

    def _pry(self, user: str) -> Pry:
        action = self._random.choice(("get", "stop", "delete"))
        return Pry(at=self._at(), user=user, which=self._which(), action=action)

    def _in_room(self, _: str) -> InRoom:
        action = self._random.choice(("close", "leave", "open", "refill"))
        return InRoom(at=self._at(), room=self._random.choice(ROOMS), action=action)

    def _strike(self, _: str) -> Strike:
        what = self._random.choice(
            (
                "kill_host",
                "suspend_host",
                "kill_handler",
                "freeze_handler",
                "shut_down_host",
                "end_by_itself",
                "lose_record",
                "lose_records",
            )
        )
        return Strike(at=self._at(), what=what, which=self._which())

    def _foreign(self, _: str) -> Foreign:
        kind = self._random.choice(("deployment", "bucket", "automatic"))
        return Foreign(at=self._at(), room=self._random.choice(ROOMS), kind=kind)

    def _trouble(self) -> Trouble:
        random = self._random
        fault, most = random.choice(list(_TROUBLES.items()))
        return Trouble(
            at=self._at() if random.random() < 0.6 else 0.0,
            fault=fault,
            seconds=random.choice((2.0, 20.0, 90.0, self._span)),
            probability=min(most, random.choice((0.1, 0.5, 1.0))),
        )

    def _sweeps(self) -> list[Sweep]:
        random = self._random
        first = random.uniform(0.0, SWEEP_SECONDS)
        times = [
            first + SWEEP_SECONDS * number for number in range(int((self._span - first) // SWEEP_SECONDS) + 1)
        ]
        # The schedule fires twice at times, and people sweep by hand.
        times += [time + random.random() * 0.01 for time in times if random.random() < 0.2]
        times += [self._at() for _ in range(random.choice((0, 0, 0, 2)))]
        return [Sweep(at=time, pace=self._pace(), kill_at=self._kill_at(30)) for time in times]

    def _which(self) -> int:
        return self._random.randrange(12)


def only(history: History, kept: Sequence[int]) -> History:
    """Leave out all steps but those with these numbers."""
    return replace(history, steps=tuple(history.steps[number] for number in kept))
