"""One node of ``cluster.local`` and its processes; ends when one of them ends.

``ray start`` cannot do this: it replaces 127.0.0.1 by an address that other machines reach.
"""

from __future__ import annotations

import json
import os
import sys
import time

from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.utils import write_ray_address

from cluster.local_nodes import HOST

OBJECT_STORE = 256 * 2**20  # bytes; Ray would take 30 % of the memory for each node


def run(head: bool, gcs_port: int, dashboard_port: int, cpus: int, folder: str) -> int:
    """Keep the node; returns 1 when one of its processes ended.

    Args:
        head: whether it is the head, otherwise it joins it.
        gcs_port, dashboard_port: of the head, on loopback.
        cpus: that it offers.
        folder: for Ray's sessions and logs.
    """
    params = RayParams(
        node_ip_address=HOST,
        num_cpus=cpus,
        num_gpus=0,
        object_store_memory=OBJECT_STORE,
        min_worker_port=0,  # any free ones: the nodes would otherwise take the same
        max_worker_port=0,
        dashboard_agent_listen_port=0,
        temp_dir=folder,
        # The nodes share a session's folder. In one for all, a node that fetches the working directory of a job
        # replaces the one that the job's process runs from.
        runtime_env_dir_name=f"runtime_resources_{os.getpid()}",
        include_dashboard=head,
        dashboard_host=HOST,
        dashboard_port=dashboard_port,
        include_log_monitor=head,  # one sends the logs of all, which lie in one folder
        no_monitor=True,  # of the autoscaler
        **({"gcs_server_port": gcs_port} if head else {"gcs_address": f"{HOST}:{gcs_port}"}),
    )
    node = Node(params, head=head, shutdown_at_exit=True, spawn_reaper=False)
    if head:
        write_ray_address(node.gcs_address, folder)  # where the job server looks for it
    while not (dead := node.dead_processes()):
        time.sleep(0.5)
    print("ended:", ", ".join(kind for kind, _ in dead), flush=True)
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    return 1


if __name__ == "__main__":
    sys.exit(run(**json.loads(sys.argv[1])))
