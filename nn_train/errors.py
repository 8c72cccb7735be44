"""The errors that a user meets. Jobs turn them into one message and an exit code."""

from __future__ import annotations

import re

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


def without_operation(message: str) -> str:
    """The first sentence of an error of TensorFlow's, without its name for the operation and the layer Keras names."""
    lines = [line.strip() for line in re.sub(r"\x1b\[\dm", "", message).splitlines()]
    said = [line for line in lines if line and not line.startswith("Exception encountered when calling")]
    return said[0].split("}} ", 1)[-1].split(" [Op:")[0].strip() if said else ""
