"""The functions' handlers, as the Lambda runtime loads and calls them."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: Final = Path(__file__).parents[2] / "functions"
TIMEOUTS: Final = {
    "reconcile_recordings": 75.0,
    "migrate_database": 900.0,
    "check_deployment": 300.0,
    "assemble_recording": 900.0,
    "begin_take": 45.0,
}
"""Seconds that a function may run, where they are not the 29 of the endpoints; as in template.yaml."""
ENDPOINT_TIMEOUT: Final = 29.0
EPOCH_SECOND: Final = 1_000_000_000

type Handler = Callable[[object, object], object]


class LambdaContext:
    """The context that the Lambda runtime hands to a handler."""

    function_version = "$LATEST"
    memory_limit_in_mb = 512

    def __init__(self, function: str, clock: Callable[[], int], seconds: float | None = None) -> None:
        self.function_name = function
        self.invoked_function_arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
        self.aws_request_id = str(uuid4())
        self._clock = clock
        self._began = clock()
        self._timeout = seconds or TIMEOUTS.get(function, ENDPOINT_TIMEOUT)

    def get_remaining_time_in_millis(self) -> int:
        return int((self._timeout - (self._clock() - self._began) / EPOCH_SECOND) * 1000)


@cache
def handler(function: str) -> Handler:
    """Load `functions/<function>/app.py` as the Lambda runtime does."""
    return load(FUNCTIONS / function / "app.py")


def load(path: Path) -> Handler:
    """Load the handler of an `app.py` anew."""
    spec = importlib.util.spec_from_file_location(f"functions_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    # The runtime has the function's own folder on its path.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return cast("Handler", module.lambda_handler)


def function_of(event_name: str) -> str:
    """Return which function a file in `events/` is for."""
    return next(each.name for each in FUNCTIONS.iterdir() if event_name.startswith(f"{each.name}_"))
