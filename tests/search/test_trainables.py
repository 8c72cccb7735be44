"""Ray Tune's registry within a search."""

from __future__ import annotations

from ray.tune import registry

from nn_train.search.trainables import remembered

NAME = (registry.TRAINABLE_CLASS, "of a test")


def test_a_trainable_is_read_once_within_a_search_and_anew_in_the_next():
    known = registry._global_registry
    for value in ("first", "second"):
        known._to_flush[NAME] = registry.pickle.dumps([value])
        with remembered():
            assert known.contains(*NAME)
            assert known.get(*NAME) == [value]
            assert known.get(*NAME) is known.get(*NAME)
    assert known.get(*NAME) is not known.get(*NAME)
    known.unregister(*NAME)
    assert not known.contains(*NAME)
