"""Files and folders of this machine that are whole or not there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

PART = re.compile(r"\.[0-9a-f]{8}\.part$")  # of a file that is being written


@contextlib.contextmanager
def whole_file(target: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to that becomes ``target`` at the end: a reader, and a crash, sees the old content or the new,
    never a part. The folder must be there. Where the block raises an error nothing is left."""
    written = f"{os.fspath(target)}.{uuid.uuid4().hex[:8]}.part"
    try:
        with open(written, "wb") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(written, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(written)  # it takes room on a disk that has none
        raise


def write_whole(target: str | os.PathLike[str], content: bytes) -> None:
    """Let ``target`` have this content, or leave it as it was."""
    with whole_file(target) as handle:
        handle.write(content)


def user_cache() -> Path:
    """Where this user's programs keep what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nn_train"


@contextlib.contextmanager
def whole_folder(target: Path, waits: Callable[[], None] = lambda: None) -> Iterator[Path | None]:
    """An empty folder to fill that becomes ``target`` at the end; None where that is there already, for good.

    Of several processes one fills it, and the others call ``waits`` and wait for that one's end or death. Where the
    block raises an error nothing is left; what a killed process left is deleted by the next."""
    if target.is_dir():
        yield None
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    written = Path(f"{target}.part")
    with open(f"{target}.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waits()
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel takes it from a process that dies
        if target.is_dir():
            yield None
            return
        shutil.rmtree(written, ignore_errors=True)
        written.mkdir()
        try:
            yield written
            os.replace(written, target)
        except BaseException:
            shutil.rmtree(written, ignore_errors=True)  # it takes room on a disk that has none
            raise
