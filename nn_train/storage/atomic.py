"""Files of this machine that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import re
import uuid

PART = re.compile(r"\.[0-9a-f]{8}\.part$")  # of a file that is being written


def write_whole(target: str | os.PathLike[str], content: bytes) -> None:
    """Write beside, then move: a reader, and a crash, sees the old content or the new, never a part. The folder must
    be there. Raises OSError, and leaves nothing then."""
    written = f"{os.fspath(target)}.{uuid.uuid4().hex[:8]}.part"
    try:
        with open(written, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(written, target)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(written)  # it takes room on a disk that has none
        raise
