"""The errors that a user meets. Jobs turn them into one message and an exit code."""

from __future__ import annotations

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_REQUEST = 2
EXIT_INTERRUPTED = 130


class RequestError(ValueError):
    """The request is wrong or can never be met (exit code 2).

    The message says what was given, what is allowed and what to do; it is shown without a traceback.
    """


class OtherWorkerError(RequestError):
    """A request that another worker cannot meet, whose own message says more."""


class TrainingError(RuntimeError):
    """Training began and failed (exit code 1). The message says why and how to go on."""


class StorageError(TrainingError):
    """A folder, bucket or service cannot be read or written, after the retries of whoever talks to it."""


def first_line(error: Exception) -> str:
    """What happened, without the lines for programmers that pyarrow adds."""
    return str(getattr(error, "strerror", None) or error).split("\n")[0]
