"""Addresses of workers: how they are written, and that no two workers get the same port."""

from __future__ import annotations

import socket
import threading

import pytest

from nn_train.config import ScalingConfig
from nn_train.config.ports import parse_port_range
from nn_train.engine import addresses
from nn_train.engine.addresses import await_server, free_addresses, hold_address, release_addresses
from nn_train.errors import RequestError


@pytest.fixture(autouse=True)
def nothing_held():
    yield
    release_addresses()


@pytest.fixture
def two_ports():
    """``FIRST-LAST`` of two neighbouring ports that are free."""
    for first in range(21000, 22000):
        try:
            addresses.listener(False, first).close()
            addresses.listener(False, first + 1).close()
        except OSError:
            continue
        return f"{first}-{first + 1}"
    raise AssertionError("no two ports are free")


@pytest.mark.parametrize(
    ("host", "before"),
    [("10.1.2.3", "10.1.2.3:"), ("fd00::7", "[fd00::7]:")],
)
def test_an_address_is_written_as_tensorflow_reads_it(host, before):
    if ":" in host and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6: enable it in the kernel")
    (address,) = free_addresses(host, 1)
    assert address.startswith(before)
    assert 0 < int(address.removeprefix(before)) <= 65535


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_worker_gets_a_port_of_the_range_to_itself(two_ports, host):
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6: enable it in the kernel")
    ports = [int(hold_address(host, two_ports).rpartition(":")[2]) for _ in range(2)]
    assert sorted(ports) == list(parse_port_range("", two_ports))
    with pytest.raises(RequestError, match=rf"none of the 2 ports {two_ports} is free on {host}.*wider range"):
        hold_address(host, two_ports)
    release_addresses()
    assert hold_address(host, two_ports)


def test_a_port_on_which_another_process_listens_is_passed_over(two_ports):
    first, last = parse_port_range("", two_ports)
    with socket.create_server(("127.0.0.1", first)):
        for _ in range(10):
            assert hold_address("127.0.0.1", two_ports) == f"127.0.0.1:{last}"
            release_addresses()


def test_a_port_whose_connections_were_just_closed_is_free(two_ports):
    """Workers that are started again would otherwise wait a minute for the ports of those before them."""
    only = two_ports.partition("-")[0]
    with socket.create_server(("127.0.0.1", int(only))) as server:
        client = socket.create_connection(server.getsockname())
        served, _ = server.accept()
        served.close()  # first: the port is now in TIME_WAIT
        client.close()
    with pytest.raises(OSError, match="in use"), socket.socket() as plain:
        plain.bind(("127.0.0.1", int(only)))
    assert hold_address("127.0.0.1", f"{only}-{only}") == f"127.0.0.1:{only}"


@pytest.mark.parametrize("text", ["20000", "20100-20000", "1023-2000", "65000-65536", "a-b", "٢٠٠٠-٣٠٠٠"])
def test_what_is_no_range_of_ports_is_refused(text):
    with pytest.raises(RequestError, match=r"scaling.port_range: .*FIRST-LAST"):
        ScalingConfig(port_range=text)


@pytest.mark.parametrize("text", ["1024-65535", "20000-20000"])
def test_ranges_of_ports(text):
    assert ScalingConfig(port_range=text).port_range == text


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_server_is_waited_for_until_it_speaks(host):
    answers, asked = [b"", b"", b"x"], []

    def serve():
        for answer in answers:
            connection, _ = server.accept()
            asked.append(answer)
            with connection:
                connection.sendall(answer)

    with socket.create_server(
        (host.strip("[]"), 0), family=socket.AF_INET6 if "[" in host else socket.AF_INET
    ) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        await_server(f"{host}:{server.getsockname()[1]}")
        thread.join()
    assert asked == answers


def test_a_server_that_never_speaks_is_left_to_tensorflow():
    (address,) = free_addresses("127.0.0.1", 1)
    await_server(address, limit=0.05)  # refused
    held = hold_address("127.0.0.1")
    await_server(held, limit=0.05)  # silent
