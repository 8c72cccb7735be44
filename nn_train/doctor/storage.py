"""Whether every node writes to ``run.storage_path``, and sees what the others write there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from nn_train.doctor.findings import Finding, judged
from nn_train.doctor.nodes import Node, ask
from nn_train.errors import StorageError
from nn_train.ray_cluster.shared_storage import SHARE_IT, nearest_existing, refuse_temporary
from nn_train.storage.folder import ResultsFolder

ADVICE = (
    f"{SHARE_IT}; a shared folder must be mounted on every machine and writable for the account that Ray runs as, for "
    "a URI every machine needs the credentials in the environment of its raylet"
)


def check_storage(nodes: Sequence[Node], storage_path: str) -> Finding:
    """Everybody writes a file and looks for the driver's; the driver looks for theirs. All are removed again."""
    folder = ResultsFolder(storage_path)
    place = folder.location
    if folder.is_local:
        refuse_temporary("run.storage_path", folder.root)
        place = nearest_existing(folder.root)  # nothing is created
        folder = ResultsFolder(place)
    mark = f".nn-train-{uuid.uuid4().hex}"
    try:
        folder.write(f"{mark}-driver", b"")
    except StorageError as error:
        return judged("storage", [str(error)], "", ADVICE)
    try:
        answers = ask(nodes, write_and_look, place, mark)
        complaints = answers.complaints()
        for label, (node, sees) in answers.values.items():
            if not (sees and folder.exists(f"{mark}-{node}")):
                complaints.append(f"{label}: has a folder of its own there")
    finally:
        ask(nodes, remove, place, mark)
        folder.delete(f"{mark}-driver")
    return judged("storage", complaints, f"{storage_path}: every node writes there, and all see it", ADVICE)


def write_and_look(place: str, mark: str) -> tuple[str, bool]:
    """The node's own name, under which it wrote, and whether it sees the driver's file."""
    import os

    import ray

    from nn_train.storage.folder import ResultsFolder

    folder = ResultsFolder(place)
    if folder.is_local and not os.path.isdir(folder.root):
        raise FileNotFoundError(f"there is no folder {place}")  # writing would make it
    node = ray.get_runtime_context().get_node_id()
    folder.write(f"{mark}-{node}", b"")
    return node, folder.exists(f"{mark}-driver")


def remove(place: str, mark: str) -> None:
    """Remove what this node wrote; only it sees it where the folder is not shared."""
    import ray

    from nn_train.storage.folder import ResultsFolder

    ResultsFolder(place).delete(f"{mark}-{ray.get_runtime_context().get_node_id()}")
