"""A layer that an earlier run has trained is not where the next one begins."""

from __future__ import annotations

import pytest

from nn_train.errors import RequestError
from nn_train.runs.worker import refuse_trained

pytestmark = pytest.mark.tf


def test_a_layer_that_is_given_again_is_refused_by_name():
    import keras

    kept = keras.layers.Dense(4, name="backbone")
    for name, shared in (("first", kept), ("second", keras.layers.Dense(4)), ("third", kept)):
        model = keras.Sequential([keras.Input((6,)), shared, keras.layers.Dense(3, name=name)])
        if name == "third":
            with pytest.raises(RequestError, match=r"^model\.name: the function gave backbone again, which an earlier"):
                refuse_trained(model)
        else:
            refuse_trained(model)
