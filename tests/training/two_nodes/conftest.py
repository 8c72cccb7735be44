"""What the tests of this folder share."""

from __future__ import annotations

import pytest
from failing_runs import run, what_must_not_differ
from ray_nodes import cluster_of


@pytest.fixture(scope="package")
def nodes():
    """A worker on each of two nodes, and a head that has room for none."""
    with cluster_of(head_cpus=0, nodes=2) as cluster:
        yield cluster


@pytest.fixture(scope="package")
def whole(nodes, tmp_path_factory):
    """What is left by a run that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, "unharmed")
    return what_must_not_differ(folder, "unharmed")
