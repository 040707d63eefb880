"""Run the LiveKit stand-in: `python -m livekit_standin --port 7880`.

It speaks LiveKit's API for rooms and egress, records test pictures in the room `demo`, stores them in the S3 of each
request and sends webhooks, all as a real server and worker do.
"""

import argparse
import os
from pathlib import Path

import uvicorn

from livekit_standin import control
from livekit_standin.server import Options, build
from livekit_standin.timing import Timing

_TIMINGS = {"real": Timing(), "fast": Timing().scaled(0.1)}


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m livekit_standin",
        description=__doc__,
        epilog=control.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7880)
    parser.add_argument("--state-dir", type=Path, default=Path(".local/livekit"))
    parser.add_argument("--api-key", default=os.environ.get("LIVEKIT_API_KEY", "devkey"))
    parser.add_argument(
        "--api-secret",
        default=os.environ.get("LIVEKIT_API_SECRET", "a-local-secret-that-protects-nothing-at-all"),
    )
    parser.add_argument(
        "--webhook-url",
        action="append",
        default=os.environ.get("LIVEKIT_WEBHOOK_URLS", "").split(),
        help="where every event goes, besides the URLs in the requests; may be repeated",
    )
    parser.add_argument(
        "--timing", choices=_TIMINGS, default="real", help="fast takes a tenth of the real delays"
    )
    arguments = parser.parse_args()
    options = Options(
        api_key=arguments.api_key,
        api_secret=arguments.api_secret,
        state_dir=arguments.state_dir,
        webhook_urls=tuple(arguments.webhook_url),
        timing=_TIMINGS[arguments.timing],
    )
    uvicorn.run(
        build(options),
        host=arguments.host,
        port=arguments.port,
        access_log=False,
        log_level="warning",
        # Longer than the functions use an idle connection: what is sent on one that is being closed is lost.
        timeout_keep_alive=3600,
        # Callers whose answer is lost wait for ever.
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
