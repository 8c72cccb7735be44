"""What fails for the moment is tried again: a full disk, a service that answers 503."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import TypeVar

# For how long what fails is tried again, in seconds: with the 6 s that pyarrow 26 may take for a try at S3 it is less
# than the other workers wait for the one that writes (run.hang_timeout, 60). The pause doubles up to LONGEST_PAUSE.
PATIENCE, FIRST_PAUSE, LONGEST_PAUSE = 45.0, 1.0, 8.0
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT}
PASSING |= {errno.EAGAIN, errno.EBUSY}
PASSING_TEXT = re.compile(
    r"HTTP status (429|5\d\d)|AWS Error (SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|THROTTLING|REQUEST_TIMEOUT"
    r"|NETWORK_CONNECTION)"
)
Result = TypeVar("Result")


def patiently(action: Callable[[], Result], passing: Callable[[OSError], bool] | None = None) -> Result:
    """What ``action`` gives, tried again while it fails in a way that may pass. Raises its last OSError,
    which then has ``tried_for``, the seconds.

    ``passing`` tells which errors these are; by default ``may_pass``.
    """
    began, pause = time.monotonic(), FIRST_PAUSE
    while True:
        try:
            return action()
        except OSError as error:
            if not (passing or may_pass)(error):
                raise
            if time.monotonic() + pause > began + PATIENCE:
                error.tried_for = time.monotonic() - began  # type: ignore[attr-defined]
                raise
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def may_pass(error: OSError) -> bool:
    """Whether a disk that is full, or a service that does not answer, may be well again in a moment."""
    return error.errno in PASSING or PASSING_TEXT.search(str(error)) is not None
