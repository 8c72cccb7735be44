"""What the metadata services of the clouds say of a machine's end, as they word it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cluster.spot_notice import PROVIDERS, Metadata

PREEMPT = {"EventId": "1", "EventType": "Preempt", "ResourceType": "VirtualMachine", "Resources": ["worker_3"]}
NAME = ("/metadata/instance/compute/name?api-version=2021-02-01&format=text", "Metadata")
EVENTS = ("/metadata/scheduledevents?api-version=2020-07-01", "Metadata")
TOKEN = ("/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds")
ACTION = ("/latest/meta-data/spot/instance-action", "X-aws-ec2-metadata-token")
PREEMPTED = ("/computeMetadata/v1/instance/preempted", "Metadata-Flavor")


def events(*listed):
    return json.dumps({"DocumentIncarnation": 1, "Events": list(listed)})


@pytest.fixture
def metadata():
    """A service on loopback; ``answers``: what it says by path and the header that it wants."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            said = [text for (path, header), text in answers.items() if path == self.path and header in self.headers]
            self.send_response(200 if said else 404)
            self.end_headers()
            self.wfile.write("".join(said).encode())

        def do_PUT(self):
            self.do_GET()

        def log_message(self, *words):
            pass

    answers = {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Metadata(f"http://127.0.0.1:{server.server_port}"), answers
        server.shutdown()


@pytest.mark.parametrize(
    ("provider", "said", "ends"),
    [
        ("aws", {TOKEN: "abc", ACTION: '{"action": "terminate", "time": "2030-01-01T00:00:00Z"}'}, True),
        ("gcp", {PREEMPTED: "TRUE"}, True),
        ("azure", {NAME: "worker_3", EVENTS: events(PREEMPT)}, True),
        ("azure", {NAME: "worker_4", EVENTS: events(PREEMPT)}, False),
        ("azure", {NAME: "worker_3", EVENTS: "<html>busy</html>"}, False),
        *[(provider, {}, False) for provider in PROVIDERS],
    ],
)
def test_the_end_of_this_machine_is_understood(metadata, provider, said, ends):
    service, answers = metadata
    answers.update(said)
    _, ask, _ = PROVIDERS[provider]
    assert ask(service) is ends
