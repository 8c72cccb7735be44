"""The model that a run has saved, as it was when it was trained. No Ray here."""

from __future__ import annotations

import inspect
import tempfile
from pathlib import Path
from typing import Any

from nn_train.config.entry_points import import_module_of, kept
from nn_train.config.options import is_entry_point
from nn_train.errors import RequestError
from nn_train.prediction.own_modules import changed_since, why_missing
from nn_train.ray_cluster.parcels import used_by


def load_model(content: bytes, name: str, result: dict[str, Any]) -> Any:
    """The Keras model of a run; nothing is unpickled. The user's module is asked only for what Keras does not know.

    Args:
        content: of ``model.keras``.
        name: what ``model.name`` says.
        result: of the run.

    Raises:
        RequestError: it cannot be opened, or computes something else than when it was trained.
    """
    model, expected = opened(content, name, result), (result.get("code") or {}).get("outputs")
    others = changed_since(result)
    if expected is not None and others:
        from nn_train.engine.sample_outputs import are_alike, sample_outputs

        if not are_alike(expected, sample_outputs(model)):
            raise RequestError(
                f"model.name: {', '.join(others)} changed since the run was trained, and with it what model.keras "
                "computes. Put back what it was (result.json says of which code it is), or train again under another "
                "--name"
            )
    return model


def opened(content: bytes, name: str, result: dict[str, Any]) -> Any:
    """The model, with the user's code of now where it has such."""
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
