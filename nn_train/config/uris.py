"""What a path or URI in a setting must not hold.

Credentials, which would end in every file that repeats it; and a home folder that nobody has.
"""

from __future__ import annotations

import os
import re

from nn_train.errors import RequestError

SECRET_OPTION = re.compile(r"secret|password|token|signature|key|^sig$", re.IGNORECASE)
USER = re.compile(r"://[^/\s@:]+:[^/\s@]+@")
HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(:\d*)?")  # name or address, perhaps with a port


def refuse_credentials(field: str, place: str) -> None:
    """Raise RequestError for a URI with a key, password or token in it. The message does not repeat it."""
    if holds_credentials(place):
        raise RequestError(
            f"{field}: the URI holds credentials, which would be written into the files of the run; leave them out "
            "and give them in the environment, for S3 as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def without_passwords(text: str) -> str:
    """A message in which URLs hold no name and password."""
    return USER.sub("://…@", text)


def refuse_no_path(field: str, place: str) -> None:
    """Raise RequestError for a local path whose ``~`` stands for nothing."""
    if place.startswith("~") and os.path.expanduser(place) == place:
        raise RequestError(f"{field}: {place!r}: there is no home folder of that name; write the path without '~'")


def holds_credentials(place: str) -> bool:
    """Whether a URI names a password before its host, for S3 also a key alone, or a secret among its options.

    Secret keys may hold ``/``, which then ends the host too early: what is left there is no host with a port.
    """
    scheme, found, rest = place.partition("://")
    if not found:
        return False
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, _, host = authority.rpartition("@")
    options = [option.partition("=")[0] for option in rest.partition("?")[2].split("&")]
    return (
        ":" in user
        or (bool(user) and scheme.lower() == "s3")
        or HOST.fullmatch(host) is None
        or any(SECRET_OPTION.search(option) for option in options)
    )
