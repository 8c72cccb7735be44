"""Files of this machine that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
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
