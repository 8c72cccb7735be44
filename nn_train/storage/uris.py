"""The file systems behind URIs: every one that pyarrow opens (``s3://``, ``gs://``, …)."""

from __future__ import annotations

from typing import Any

from pyarrow import fs

from nn_train.config.uris import refuse_credentials
from nn_train.errors import RequestError, StorageError, first_line


def open_uri(uri: str, field: str) -> tuple[Any, str]:
    """The pyarrow file system of a URI, and the path in it. ``field`` names the setting in messages.

    Credentials come from the environment; so does the address of a service that is not Amazon's own
    (``AWS_ENDPOINT_URL``), or from the URI's options (``?scheme=http&endpoint_override=host:9000``).

    Raises:
        RequestError: the URI holds credentials, or is none that pyarrow knows.
        StorageError: the service does not answer.
    """
    refuse_credentials(field, uri)
    try:
        return fs.FileSystem.from_uri(uri)
    except (ValueError, NotImplementedError) as error:
        raise RequestError(f"{field}: {uri} cannot be used: {first_line(error)}") from error
    except OSError as error:  # pyarrow asks Amazon for the region of a bucket
        raise StorageError(f"{field}: {uri} cannot be reached: {first_line(error)}") from error


def read_object(filesystem: Any, path: str) -> bytes:
    """The whole content of a file of pyarrow's."""
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())
