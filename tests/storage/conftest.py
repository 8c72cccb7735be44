"""A real S3 service on loopback, with a bucket and credentials that come from the environment alone."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from pyarrow import fs

# The service answers in the process of the tests, which can stand still for longer than pyarrow's 3 s: while Python
# frees the models of tests before.
UNHURRIED = {"request_timeout": 60, "connect_timeout": 60}


class Service:
    """The WSGI application of S3, which notes its requests.

    Attributes:
        refused: every path that contains this text is answered 503.
        left: how many times at most.
    """

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self.application = DomainDispatcherApplication(create_backend_app)
        self.refused: str | None = None
        self.left = math.inf
        self.requests: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self.refused is not None and self.refused in environ["PATH_INFO"] and self.left > 0:
            self.left -= 1
            start_response("503 Slow Down", [("Content-Length", "0")])
            return []
        return self.application(environ, start_response)


@dataclass(frozen=True)
class Bucket:
    """The bucket ``bucket`` at ``endpoint`` (host:port)."""

    endpoint: str
    service: Service
    key: str = "AKIAKEYOFTHETESTS"
    secret: str = "SecretOfTheTests/WithASlash"

    @property
    def filesystem(self) -> fs.S3FileSystem:
        options = {"endpoint_override": self.endpoint, "scheme": "http", "region": "us-east-1", **UNHURRIED}
        return fs.S3FileSystem(access_key=self.key, secret_key=self.secret, allow_bucket_creation=True, **options)

    def put(self, name: str, content: bytes) -> str:
        with self.filesystem.open_output_stream(f"bucket/{name}") as stream:
            stream.write(content)
        return f"s3://bucket/{name}"

    def objects(self, folder: str = "") -> dict[str, bytes]:
        """Every object below a folder, by its key relative to the bucket."""
        found = self.filesystem.get_file_info(fs.FileSelector(f"bucket/{folder}".rstrip("/"), recursive=True))
        files = [info.path for info in found if info.type == fs.FileType.File]
        return {path.removeprefix("bucket/"): self.filesystem.open_input_stream(path).read() for path in files}


@pytest.fixture(scope="module")
def s3() -> Iterator[Bucket]:
    """The service, as a person points a job at it: by ``AWS_ENDPOINT_URL``."""
    pytest.importorskip("moto.moto_server.werkzeug_app", reason="needs the extra dev: moto[s3] and flask-cors")
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a line for every request
    service = Service()
    server = make_server("127.0.0.1", 0, service, threaded=True)
    Thread(target=server.serve_forever, daemon=True).start()
    bucket = Bucket(f"127.0.0.1:{server.server_port}", service)
    bucket.filesystem.create_dir("bucket")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", bucket.key)
        patch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{bucket.endpoint}")
        yield bucket
    server.shutdown()
    server.server_close()


@pytest.fixture
def answers(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[int], int]], list[str]]]:
    """``answers(status)``: S3 is now a service that answers its n-th request, from 1, with ``status(n)``.

    Returns the requests that came, as they come.
    """
    servers: list[ThreadingHTTPServer] = []

    def start(status: Callable[[int], int]) -> list[str]:
        seen: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                seen.append(f"{self.command} {self.path}")
                self.send_response(status(len(seen)))
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815 - the names are http.server's

            def log_message(self, *words: object) -> None:
                """Quiet."""

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers[-1].server_port}")
        return seen

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
