"""What workers need of a job besides its config: the functions it was given, and where its modules are found."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Sequence

from ray import cloudpickle

from nn_train.config import Config
from nn_train.config.given import HERE, KEPT, kept
from nn_train.config.options import is_entry_point
from nn_train.errors import RequestError, first_line

NOTHING = b""


def pack(names: Sequence[str | None], folders: Sequence[str] = ()) -> bytes:
    """A parcel for workers.

    Args:
        names: of functions, as configs have them; those that are kept in this process are sent.
        folders: from which modules are looked up.

    Raises:
        RequestError: one uses something that cannot be sent.
    """
    given = {}
    for name in names:
        if name is None or not is_entry_point(name) or not name.startswith(f"{HERE}:"):
            continue
        try:
            given[name] = cloudpickle.dumps(kept(name))
        except Exception as error:  # of whatever object it holds
            raise RequestError(
                f"{name}: cannot be sent to the workers: {first_line(error)}; let it make what it uses, or import it"
            ) from error
    return pickle.dumps((list(folders), given)) if given or folders else NOTHING


def names_in(config: Config) -> list[str | None]:
    """What a config names functions by."""
    return [config.model.name, config.data.source, config.train.callbacks]


def unpack(parcel: bytes) -> None:
    """Keep in this process what was sent. The functions may import TensorFlow: it is set up before."""
    if parcel == NOTHING:
        return
    folders, given = pickle.loads(parcel)
    sys.path += [folder for folder in folders if folder not in sys.path and os.path.isdir(folder)]
    KEPT.update({name: pickle.loads(content) for name, content in given.items()})
