"""How a worker stores what an egress makes: attempts, backup storage, prefix and presigned locations."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import log2

from livekit.protocol import egress

from livekit_standin import files
from livekit_standin.environment import Environment
from livekit_standin.recording import Content
from livekit_standin.records import Egress
from livekit_standin.timing import SECOND

_SOME_BACKUP = egress.S3Upload(endpoint="https://backup.invalid", bucket="backup", force_path_style=True)


@dataclass(frozen=True, slots=True)
class Object:
    """Something to be stored."""

    filename: str
    """As it would be called without the options of the worker."""
    content: Content
    content_type: str


@dataclass(frozen=True, slots=True)
class Upload:
    """One attempt to store an object; its driver reports `uploaded` or `upload_failed` with `id`."""

    id: int
    egress_id: str
    object: Object
    s3: egress.S3Upload | None
    """Where to, with its real credentials; None where the file stays on the worker."""
    key: str
    backup: bool
    """It goes to the worker's backup storage: the bucket of the request gets nothing."""
    attempt: int
    """1 for the first."""
    attempts: int
    """How often it is tried."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where an object lies."""

    location: str
    size: int


@dataclass(slots=True, eq=False)
class Store:
    """Where one output of an egress puts its objects; it goes over to the backup storage for good."""

    found: Egress
    s3: egress.S3Upload | None
    backup: egress.S3Upload | None
    failed: str = ""
    """Why it went over."""


@dataclass(slots=True)
class _Task:
    upload: Upload
    store: Store
    stored: Callable[[Stored], None]
    failed: Callable[[int, str], None]


class Uploads:
    """All uploads that are under way."""

    def __init__(self, environment: Environment, hand_over: Callable[[Upload], None]) -> None:
        self._environment = environment
        self._hand_over = hand_over
        self._tasks: dict[int, _Task] = {}
        self._serial = 0

    def expects(self, upload_id: int) -> bool:
        """Say whether an upload is still under way: its host lives and its egress has not failed meanwhile."""
        task = self._tasks.get(upload_id)
        if task is not None and not task.store.found.alive:
            del self._tasks[upload_id]
            return False
        return task is not None

    def open(self, found: Egress, s3: egress.S3Upload | None) -> Store:
        """Give the store of an output that goes to `s3`."""
        return Store(found, s3, found.worker.backup)

    def put(
        self,
        store: Store,
        made: Object,
        stored: Callable[[Stored], None],
        failed: Callable[[int, str], None],
    ) -> None:
        """Have an object stored, then call `stored`, or `failed` with a code and a text if it cannot be."""
        if self._environment.fires(self._environment.faults.backup_storage):
            store.backup = store.backup or _SOME_BACKUP
            store.failed = "as told"
        self._serial += 1
        task = _Task(
            Upload(
                id=self._serial,
                egress_id=store.found.id,
                object=made,
                s3=store.s3,
                key=files.key_of(made.filename, store.found.worker.storage_prefix),
                backup=False,
                attempt=1,
                attempts=store.found.worker.max_retries,
            ),
            store,
            stored,
            failed,
        )
        self._tasks[self._serial] = task
        if store.failed:
            self._go_over(task)
        else:
            self._hand_over(task.upload)

    def uploaded(self, upload_id: int, size: int) -> None:
        """Take note that an object is stored; too late where its host died meanwhile."""
        task = self._tasks.pop(upload_id, None)
        if task is not None:
            task.store.found.do(partial(self._store, task, size))

    def failed(self, upload_id: int, code: int, text: str, *, again: bool) -> None:
        """Take note that an attempt failed, and whether another one may have more luck."""
        if self.expects(upload_id):
            task = self._tasks[upload_id]
            task.store.found.do(partial(self._fail, task, code, text, again=again))

    def _retry(self, task: _Task) -> None:
        self._hand_over(task.upload)

    def _store(self, task: _Task, size: int) -> None:
        upload, found = task.upload, task.store.found
        if upload.backup:
            found.info.backup_storage_used = True
        if upload.s3 is None:
            location = upload.key
        elif found.worker.generate_presigned_url and not upload.backup:
            location = files.presigned(upload.s3, upload.key, found.worker_time(self._environment.now()))
        else:
            location = files.location(upload.s3, upload.key)
        task.stored(Stored(location, size))

    def _fail(self, task: _Task, code: int, text: str, *, again: bool) -> None:
        store, upload = task.store, task.upload
        if again and upload.attempt < upload.attempts:
            delay = self._delay(upload.attempt, store.found.worker.max_retry_delay)
            task.upload = replace(upload, attempt=upload.attempt + 1)
            self._environment.schedule.after(delay, partial(store.found.do, partial(self._retry, task)))
        elif store.backup is None:
            del self._tasks[upload.id]
            task.failed(code, text)
        elif upload.backup:
            del self._tasks[upload.id]
            task.failed(code, f"primary: {store.failed}\nbackup: {text}")
        else:
            store.failed = text
            self._go_over(task)

    def _go_over(self, task: _Task) -> None:
        key = files.key_of(task.upload.object.filename)
        task.upload = replace(task.upload, s3=task.store.backup, key=key, backup=True, attempt=1)
        self._hand_over(task.upload)

    def _delay(self, attempt: int, longest: int) -> int:
        # As the AWS SDK for Go waits.
        if attempt > log2(longest / SECOND):
            return longest
        return int(self._environment.random.random() * 2**attempt * SECOND)
