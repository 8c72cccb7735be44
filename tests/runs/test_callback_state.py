"""What callbacks know survives in a checkpoint; what the user's code sets does not come from there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from nn_train.config import Config
from nn_train.errors import RequestError

pytestmark = pytest.mark.tf


def chief(model, callbacks):
    import keras

    from nn_train.runs.callbacks import ChiefCallbacks, GivenCallbacks

    made = ChiefCallbacks(Config(), GivenCallbacks(), SimpleNamespace(model=model, replicas=None))
    made.callbacks = keras.callbacks.CallbackList(callbacks, model=model)
    return made


def written(memories):
    """The same after a checkpoint was written and read."""
    from nn_train.runs.checkpoints import pack, unpack

    return list(unpack(pack([], [{"epoch": 1}], memories=memories)).memories)


def make_callbacks():
    import keras
    from user_callbacks import Counts

    early = keras.callbacks.EarlyStopping(monitor="loss", patience=2, min_delta=0.01, restore_best_weights=True)
    return [early, keras.callbacks.ReduceLROnPlateau(monitor="loss", patience=2), Counts()]


def make_model():
    import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def end_epochs(callbacks, losses, first=0):
    for epoch, loss in enumerate(losses, start=first):
        callbacks.on_epoch_end(epoch, {"loss": loss})


def test_every_plain_value_comes_back():
    model, losses = make_model(), [1.0, float("nan"), 0.5, 0.7, 0.8]
    whole, first, second = (chief(model, make_callbacks()) for _ in range(3))
    whole.on_train_begin(resumed=False)
    end_epochs(whole, losses)
    assert model.stop_training
    first.on_train_begin(resumed=False)
    end_epochs(first, losses[:3])
    assert not model.stop_training
    assert second.recall(written(first.memories())) == []
    second.on_train_begin(resumed=False)
    end_epochs(second, losses[3:], first=3)
    assert model.stop_training
    ours, theirs = second.callbacks.callbacks, whole.callbacks.callbacks
    for name in ("wait", "best", "best_epoch", "stopped_epoch", "min_delta"):
        assert getattr(ours[0], name) == getattr(theirs[0], name), name
    np.testing.assert_array_equal(ours[0].best_weights[0], theirs[0].best_weights[0])
    assert (ours[1].wait, ours[1].best) == (theirs[1].wait, theirs[1].best)
    assert repr(ours[2].seen) == repr(theirs[2].seen)
    assert [array.shape for array in ours[2].arrays] == [(2, epoch) for epoch in range(5)]


def test_the_wish_to_stop_comes_back():
    model = make_model()
    first, second = chief(model, make_callbacks()), chief(model, make_callbacks())
    first.on_train_begin(resumed=False)
    model.stop_training = True
    memories = written(first.memories())
    second.recall(memories)
    second.on_train_begin(resumed=False)
    assert model.stop_training


def test_what_the_users_code_sets_is_not_overruled():
    from user_callbacks import Counts

    first, second = chief(make_model(), [Counts(start=1)]), chief(make_model(), [Counts(start=2)])
    first.on_train_begin(resumed=False)
    end_epochs(first, [1.0])
    second.recall(written(first.memories()))
    second.on_train_begin(resumed=False)
    assert second.callbacks.callbacks[0].start == 2
    assert list(second.callbacks.callbacks[0].seen) == [0]


def test_a_callback_that_says_its_state_is_asked():
    from user_callbacks import SaysItsState

    first, second = chief(make_model(), [SaysItsState()]), chief(make_model(), [SaysItsState()])
    first.on_train_begin(resumed=False)
    end_epochs(first, [1.0, 2.0])
    second.recall(written(first.memories()))
    second.on_train_begin(resumed=False)
    end_epochs(second, [3.0], first=2)
    ours = second.callbacks.callbacks[0]
    assert (ours.losses.values(), ours.not_kept) == ([1.0, 2.0, 3.0], 1)


def test_a_state_that_cannot_be_kept_is_refused_at_the_beginning():
    from user_callbacks import SaysItsState

    callback = SaysItsState()
    callback.get_state = lambda: {"model": object()}
    with pytest.raises(RequestError, match=r"get_state\(\) of SaysItsState must return numbers, texts, arrays"):
        chief(make_model(), [callback]).on_train_begin(resumed=False)


def test_other_callbacks_begin_anew_and_say_so():
    from user_callbacks import Counts

    first, second = chief(make_model(), make_callbacks()), chief(make_model(), [Counts()])
    first.on_train_begin(resumed=False)
    assert second.recall(written(first.memories())) == [
        "train.callbacks are others than those of the checkpoint; they begin anew"
    ]
    second.on_train_begin(resumed=False)
    assert second.callbacks.callbacks[0].seen == {}


@pytest.mark.parametrize(("resumed", "rate"), [(False, 0.5), (True, 0.001)])
def test_what_callbacks_change_when_training_begins_does_not_undo_a_checkpoint(resumed, rate):
    from user_callbacks import SetsTheRate

    model = make_model()
    model.optimizer.build(model.trainable_variables)
    chief(model, [SetsTheRate()]).on_train_begin(resumed=resumed)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate)


def test_a_metric_that_keras_cannot_judge_does_not_matter_before_it_is_asked():
    import keras

    chief(make_model(), [keras.callbacks.ModelCheckpoint("x.keras", monitor="gain")]).on_train_begin(resumed=False)


def test_large_attributes_are_not_copied():
    import keras

    class Holds(keras.callbacks.Callback):
        examples = None

    holder = Holds()
    holder.examples = np.zeros(2**22)
    callbacks = chief(make_model(), [holder])
    callbacks.on_train_begin(resumed=False)
    assert "examples" not in callbacks.memories()[1]
    assert sum(map(len, callbacks.fresh[1].values())) < 10_000
