"""Variables that a run has trained: a later run of the same process must not begin with them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from nn_train.errors import RequestError

if TYPE_CHECKING:
    import keras

_trained: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()  # by their id


def refuse_trained(model: keras.Model) -> None:
    """Raise RequestError where the user's function gave a model, or a layer, that an earlier run here has trained."""
    own = [layer.name for layer in model.layers if any(_trained.get(id(one)) is one for one in layer.variables)]
    if own:
        raise RequestError(
            f"model.name: the function gave {', '.join(own)} again, which an earlier run of this process has trained; "
            "make layers within the function, not beside it"
        )
    _trained.update({id(variable): variable for variable in model.variables})
