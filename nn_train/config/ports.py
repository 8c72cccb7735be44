"""A range of ports as a firewall names it: ``20000-20100``."""

from __future__ import annotations

import re

from nn_train.errors import RequestError

LOWEST, HIGHEST = 1024, 65535  # below, only root may listen


def parse_port_range(field: str, text: str) -> range:
    """The ports that ``FIRST-LAST`` names, both included. Raises RequestError naming ``field``."""
    match = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    ports = range(int(match[1]), int(match[2]) + 1) if match else range(0)
    if not ports or ports[0] < LOWEST or ports[-1] > HIGHEST:
        raise RequestError(
            f"{field}: {text!r} is no range of ports; allowed: FIRST-LAST with {LOWEST} <= FIRST <= LAST <= {HIGHEST}, "
            "such as 20000-20100"
        )
    return ports
