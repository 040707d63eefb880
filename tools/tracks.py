"""Print the ids of the tracks of the first participant in a room of `make run`: `python -m tools.tracks ROOM`."""

import asyncio
import sys
from pathlib import Path

from livekit import api

from local.endpoints import Endpoints


async def main(room: str) -> None:
    """Print the video tracks first."""
    endpoints = Endpoints.read(Path(".local/endpoints.json"))
    async with api.LiveKitAPI(
        endpoints.livekit_url, endpoints.livekit_api_key, endpoints.livekit_api_secret
    ) as livekit:
        answer = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    tracks = sorted(answer.participants[0].tracks, key=lambda track: not track.mime_type.startswith("video"))
    print(*(track.sid for track in tracks))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
