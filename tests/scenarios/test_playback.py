"""Live playback: who watches a recording while it records, goes back in it, and sees it end."""

from __future__ import annotations

import gzip
import hmac
import io
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen
from uuid import uuid4

import av
import pytest

from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Answer, Deployment, User

ENTRY: Final = re.compile(
    r"(?P<seam>#EXT-X-DISCONTINUITY\n)?#EXT-X-PROGRAM-DATE-TIME:(?P<began>\S+)\n"
    r"#EXTINF:(?P<seconds>[\d.]+),\n(?P<url>https?://\S+)\n"
)


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    made = deploy(SAFETY_SEGMENTS="on")
    # LiveKit reports the takes that the product begins by itself to this address.
    made.configure(API_URL=f"https://{made.domain}")
    made.livekit.world.join("demo", "pat")
    yield made
    # An egress that goes on recording would be rendered for minutes.
    for row in made.rows("select id from recordings where deleted_at is null"):
        made.as_user("alice").stop(str(row["id"]))
    invariants.check(made)


@pytest.fixture
def alice(deployment: Deployment) -> User:
    user = deployment.as_user("alice")
    # Real segments are rendered: small ones.
    user.defaults["resolution"] = "480p"
    return user


@dataclass(frozen=True)
class Entry:
    number: int
    seam: int
    seconds: float
    began_at: datetime
    url: str

    @property
    def key(self) -> str:
        """The object's key behind the bucket's name."""
        return urlsplit(self.url).path.split("/", 2)[2]


class Playlist:
    """A live playlist as a player understands it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ended = text.endswith("#EXT-X-ENDLIST\n")
        self.target = int(self._value("TARGETDURATION"))
        self.first = int(self._value("MEDIA-SEQUENCE"))
        self.first_seam = int(self._value("DISCONTINUITY-SEQUENCE"))
        seam, self.entries = self.first_seam, list[Entry]()
        for number, found in enumerate(ENTRY.finditer(text), self.first):
            seam += found["seam"] is not None
            began_at = datetime.fromisoformat(found["began"])
            self.entries.append(Entry(number, seam, float(found["seconds"]), began_at, found["url"]))
        # Nothing stands beside what was understood.
        assert text.count("#EXTINF") == len(self.entries)
        assert text.count("\nhttp") == len(self.entries)

    def _value(self, tag: str) -> str:
        [value] = re.findall(rf"^#EXT-X-{tag}:(\d+)$", self.text, re.MULTILINE)
        return cast("str", value)

    @property
    def seconds(self) -> float:
        return sum(each.seconds for each in self.entries)


@dataclass
class Player:
    """Polls, and holds each playlist to those before."""

    deployment: Deployment
    url: str
    seen: dict[int, Entry] = field(default_factory=dict)
    last: Playlist | None = None

    def poll(self) -> Playlist:
        answer = self.deployment.play(self.url)
        assert answer.status == 200, answer.text
        playlist, last = Playlist(answer.text), self.last
        for each in playlist.entries:
            known = self.seen.setdefault(each.number, each)
            assert (known.key, known.seam) == (each.key, each.seam)
            assert int(each.seconds + 0.5) <= playlist.target
        assert len({each.key for each in self.seen.values()}) == len(self.seen)
        if last is not None:
            assert playlist.first >= last.first
            assert playlist.first_seam >= last.first_seam
            assert not last.ended or playlist.ended
            assert not last.ended or playlist.entries[-1].number == last.entries[-1].number
        self.last = playlist
        return playlist

    def watch(self, seconds: float, every: float = 2.0) -> Playlist:
        """Poll for so long."""
        for _ in range(int(seconds / every)):
            self.deployment.advance(every)
            self.poll()
        return self.poll()


def watching(deployment: Deployment, alice: User, recording_id: str) -> Player:
    return Player(deployment, alice.get(recording_id)["playbackUrl"])


def test_t95_a_player_sees_each_segment_once_through_pause_death_and_end(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record(seconds=20)
    player = watching(deployment, alice, recording_id)
    first = player.poll()
    assert [each.number for each in first.entries] == list(range(len(first.entries)))
    assert not first.ended

    alice.pause(recording_id)
    paused = player.watch(20)
    assert alice.get(recording_id).recording["status"] == "paused"
    assert not paused.ended
    alice.resume(recording_id)
    resumed = player.watch(20)
    assert resumed.entries[-1].seam == 1

    [running] = deployment.livekit.world.unended()
    deployment.livekit.world.kill_handler(running)
    rescued = player.watch(40)
    assert rescued.entries[-1].seam == 2
    assert not rescued.ended

    # It is one file at once, and the segments stay for a while: the player comes to the end.
    alice.stop(recording_id)
    ended = player.watch(10)
    assert ended.ended
    assert alice.get(recording_id).recording["status"] == "completed"
    assert [*player.seen] == list(range(ended.entries[-1].number + 1))
    takes = cast("list[dict[str, object]]", alice.get(recording_id).json["takes"])
    assert [take["end"] for take in takes] == ["paused", "worker_lost", "stopped"]
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert ".mp4?" in answer["playbackUrl"]
    assert deployment.play(player.url).status == 404


def test_t95_what_is_played_is_what_was_recorded(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=30)
    playlist = watching(deployment, alice, recording_id).poll()
    assert playlist.seconds > 20
    assert [each.began_at for each in playlist.entries] == sorted(each.began_at for each in playlist.entries)
    times: list[float] = []
    for each in playlist.entries:
        with urlopen(each.url) as answer:
            assert answer.status == 200
            body = answer.read()
        with av.open(io.BytesIO(body), "r") as file:
            [video] = file.streams.video
            packets = [packet for packet in file.demux(video) if packet.pts is not None]
        assert packets[0].is_keyframe
        times += [float(packet.pts * packet.time_base) for packet in packets if packet.pts is not None]
    assert max(times) - min(times) == pytest.approx(playlist.seconds, abs=0.3)


def test_t95_one_can_go_back_as_far_as_the_setting_says(deployment: Deployment, alice: User) -> None:
    deployment.configure(DVR_SECONDS="30")
    recording_id = alice.record(seconds=60)
    player = watching(deployment, alice, recording_id)
    assert 28 <= player.poll().seconds <= 30
    alice.pause(recording_id)
    deployment.advance(5)
    alice.resume(recording_id)
    within = player.watch(20)
    assert (within.first_seam, within.entries[0].seam, within.entries[-1].seam) == (0, 0, 1)
    beyond = player.watch(40)
    assert (beyond.first_seam, beyond.entries[0].seam) == (1, 1)
    assert "#EXT-X-DISCONTINUITY\n" not in beyond.text
    assert 28 <= beyond.seconds <= 30


def test_t95_links_to_segments_stay_the_same_for_a_while(deployment: Deployment, alice: User) -> None:
    player = watching(deployment, alice, alice.record(seconds=20))
    first, second = player.poll(), player.watch(4)
    assert {each.url for each in first.entries} <= {each.url for each in second.entries}
    [seconds] = parse_qs(urlsplit(first.entries[0].url).query)["X-Amz-Expires"]
    assert seconds == "3600"


def test_nothing_plays_before_a_segment_should_be_there(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.advance(3)
    assert alice.get(recording_id).json["playbackUrl"] is None
    deployment.advance(12)
    assert watching(deployment, alice, recording_id).poll().entries


def test_recording_without_segments_has_no_live_playlist(deployment: Deployment, alice: User) -> None:
    deployment.configure(SAFETY_SEGMENTS="off")
    recording_id = alice.record(seconds=20)
    assert alice.get(recording_id).json["playbackUrl"] is None


def refused(answer: Answer) -> tuple[int, dict[str, object]]:
    body = answer.json
    del body["requestId"]
    return answer.status, body


def test_t89_delete_while_it_is_watched_leaves_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    player = Player(deployment, alice.get(recording_id)["playbackUrl"])
    deployment.advance(20)
    assert player.poll().entries
    assert alice.delete(recording_id).status == 200
    assert deployment.play(player.url).status in {404, 410}
    deployment.advance(30)
    deployment.sweeps(3)
    assert deployment.play(player.url).status == 404
    deployment.advance(2 * 3600)
    deployment.sweeps(2)
    assert deployment.objects() == []


def test_t95_a_token_opens_one_recording_for_a_while(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    deployment.livekit.world.open_room("other", permanent=True)
    deployment.livekit.world.join("other", "kim")
    other_id = alice.record("other", seconds=20)
    url, other = alice.get(recording_id)["playbackUrl"], alice.get(other_id)["playbackUrl"]
    address, _, token = url.partition("?token=")
    end, link, proof = token.split(".")
    later = f"{int(end, 16) + 1:x}"
    nothing = (404, {"error": "recording not found", "code": "recording_not_found"})
    for wrong in (
        f"{address}?token={other.partition('?token=')[2]}",
        f"{address}?token={later}.{link}.{proof}",
        f"{address}?token={end}.{uuid4().hex}.{proof}",
        f"{address}?token={token[:-1]}{'0' if token[-1] != '0' else '1'}",
        f"{address}?token={token.upper()}",
        # A time beyond the last one that there is.
        f"{address}?token=ffffffffff..{proof}",
        f"{address}?token=",
        f"{address}?token=%C3%A9",
        address,
        url.replace(recording_id, str(uuid4())),
        url.replace(recording_id, "canary"),
    ):
        assert refused(deployment.play(wrong)) == nothing, wrong
    assert deployment.play(url).status == 200

    # It lasts for twelve hours at least, and for thirteen at most.
    now = deployment.livekit.clock.now()
    left = datetime.fromtimestamp(int(end, 16), UTC) - now
    assert 12 <= left.total_seconds() / 3600 <= 13
    row = deployment.row(recording_id)
    assert row is not None
    for seconds, status in ((60, 200), (0, 404), (-60, 404)):
        said = f"{int(now.timestamp()) + seconds:x}."
        key, message = bytes.fromhex(str(row["playback_key"])), f"{recording_id}.{said}".encode()
        signed = hmac.digest(key, message, "sha256").hex()
        assert deployment.play(f"{address}?token={said}.{signed}").status == status

    alice.delete(recording_id)
    assert refused(deployment.play(url)) == nothing


def test_t95_a_shared_links_playlist_ends_with_the_link(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    kept, revoked, short = (alice.share(recording_id, expiresIn=seconds).json for seconds in (3600, 3600, 60))
    urls = [deployment.open_link(str(link["url"]))["playbackUrl"] for link in (kept, revoked, short)]
    assert len({*urls, alice.get(recording_id)["playbackUrl"]}) == 4
    assert [deployment.play(url).status for url in urls] == [200, 200, 200]

    alice.revoke(recording_id, str(revoked["linkId"]))
    gone = deployment.play(urls[1])
    assert refused(gone) == (404, {"error": "recording not found", "code": "recording_not_found"})
    deployment.advance(61)
    assert [deployment.play(url).status for url in urls] == [200, 404, 404]
    # Its owner's goes on.
    assert deployment.play(alice.get(recording_id)["playbackUrl"]).status == 200


def test_t95_an_expired_recording_plays_no_more(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    url = alice.get(recording_id)["playbackUrl"]
    alice.stop(recording_id)
    deployment.advance(10)
    # Of one take the segments are kept for some days: a player that still watches sees the end.
    assert Playlist(deployment.play(url).text).ended
    deployment.execute("update recordings set expires_at = now() - interval '1 day'")
    assert deployment.play(url).status == 404


def test_recordings_of_the_release_before_have_no_live_playlist(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    url = alice.get(recording_id)["playbackUrl"]
    deployment.execute("update recordings set playback_key = null")
    assert alice.get(recording_id).json["playbackUrl"] is None
    assert deployment.play(url).status == 404


def test_playlist_is_for_players_alone(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    url = alice.get(recording_id)["playbackUrl"]
    assert url.startswith(f"https://{deployment.domain}/api/video/play/{recording_id}/live.m3u8?token=")
    zipped, plain = deployment.play(url), deployment.play(url, headers={"accept-encoding": "identity"})
    assert zipped.text == plain.text
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    for answer in (zipped, plain):
        assert answer.headers["Content-Type"] == "application/vnd.apple.mpegurl"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Vary"] == "accept-encoding"
    assert len(gzip.compress(plain.text.encode())) < len(plain.text) / 3


def test_storage_that_does_not_answer_is_told_as_such(deployment: Deployment, alice: User) -> None:
    url = alice.get(alice.record(seconds=20))["playbackUrl"]
    deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    answer = deployment.play(url)
    assert (answer.status, answer["code"]) == (503, "storage_unavailable")
    deployment.configure(AWS_ENDPOINT_URL_S3="")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_t95_random_histories_of_takes(deployment: Deployment, alice: User, seed: int) -> None:
    """Numbers never go back, in every history of a recording; a failure names its seed by the test's parameter."""
    random = Random(seed)
    deployment.configure(DVR_SECONDS=str(random.choice([30, 60, 1800])))
    recording_id = alice.record(seconds=20)
    player = watching(deployment, alice, recording_id)
    for _ in range(12):
        running = [*deployment.livekit.world.unended()]
        match random.choice(["watch", "pause", "resume", "kill", "sweep"]):
            case "pause":
                alice.pause(recording_id)
            case "resume":
                alice.resume(recording_id)
            case "kill" if running:
                deployment.livekit.world.kill_handler(running[-1])
            case "sweep":
                deployment.sweep()
            case _:
                pass
        player.watch(random.choice([2, 6, 20]))
    deployment.hints.lost = True
    alice.stop(recording_id)
    assert player.watch(6).ended
    deployment.hints.lost = False
