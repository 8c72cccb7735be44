"""The model that a run has saved. No Ray here."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

from nn_train.config.entry_points import import_module_of, kept
from nn_train.config.options import is_entry_point
from nn_train.errors import RequestError
from nn_train.prediction.own_modules import why_missing
from nn_train.ray_cluster.serialization import used_by


def load_model(content: bytes, name: str, result: dict[str, Any]) -> Any:
    """Open the Keras model of a run, with the user's code of now where it has such; nothing is unpickled.

    Args:
        content: of ``model.keras``.
        name: what ``model.name`` says.
        result: of the run.

    Raises:
        RequestError: it cannot be opened.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        try:
            return keras.models.load_model(path, compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError) as error:
            if not is_entry_point(name):
                raise RequestError(why_not(error)) from error
        missing = why_missing(name, result)
        if missing:
            raise RequestError(f"model.name: {missing}")
        try:
            return keras.models.load_model(path, custom_objects=own_names(name), compile=False, safe_mode=True)
        except (ValueError, TypeError, OSError) as error:
            raise RequestError(why_not(error)) from error


def why_not(error: Exception) -> str:
    return f"model.keras cannot be opened: {' '.join(str(error).split())[:300]}"


def own_names(name: str) -> dict[str, Any]:
    """The classes and functions that the function of a model can name, or that its module has, by these names and those
    that they are registered with; Keras' own are not among them."""
    import keras

    function = kept(name)
    found = used_by(function) if function is not None else dict(vars(import_module_of("model.name", name)))
    named = {key: one for key, one in found.items() if inspect.isclass(one) or inspect.isfunction(one)}
    own = {key: one for key, one in named.items() if one.__module__.partition(".")[0] not in ("keras", "tensorflow")}
    return own | {keras.saving.get_registered_name(one): one for one in own.values()}
