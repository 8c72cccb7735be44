"""An error in the user's own code is shown with the lines of their files."""

from __future__ import annotations

import pytest

from nn_train.config.tracebacks import own_traceback

THEIR_CODE = """
import json
import keras
import tensorflow as tf

def parse(text):
    return json.loads(text)

def raising():
    {}["a mistake of the user"]

def in_plain_python():
    return parse("{")

def in_generator():
    def examples():
        yield 1
        raising()
    return list(tf.data.Dataset.from_generator(examples, output_signature=tf.TensorSpec((), tf.int32)).batch(2))

class Short(keras.layers.Layer):
    def call(self, x):
        return tf.gather([1.0, 2.0], tf.cast(x, tf.int32))

def in_layer():
    model = keras.Sequential([keras.Input((3,)), Short()])
    return tf.function(model)(tf.fill((2, 3), 7.0))

def in_map():
    def prepare(x):
        return tf.reshape(x, tf.stack([tf.cast(x, tf.int32), 7]))
    return list(tf.data.Dataset.range(3, 5).map(prepare))
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "their_model.py").write_text(THEIR_CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import their_model

        yield their_model


MISTAKE = "KeyError: 'a mistake of the user'"


@pytest.mark.tf
@pytest.mark.parametrize(
    ("function", "line", "message"),
    [
        ("in_plain_python", "in parse\n    return json.loads(text)", "json.decoder.JSONDecodeError: Expecting "),
        ("in_generator", 'in raising\n    {}["a mistake of the user"]', MISTAKE),
        ("in_layer", "in call\n", "indices[0,0] = 7 is not in [0, 2)"),
        (
            "in_map",
            "in prepare  *\n        return tf.reshape(",
            "ValueError: Dimension size must be evenly divisible by 7",
        ),
    ],
)
def test_it_shows_the_users_lines_and_what_happened(theirs, function, line, message):
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each kind is its own
        getattr(theirs, function)()
    shown = own_traceback(caught.value)
    assert shown.startswith("Traceback (of this job's own code):\n")
    assert shown.count(message) == 1
    assert shown.count(line) == 1
    assert not any(noise in shown for noise in ("{{func", "\033", "\n\n"))
    files = [line for line in shown.splitlines() if line.startswith("  File")]
    of_libraries = [line for line in files if "their_model.py" not in line and __file__ not in line]
    assert len(of_libraries) == 1  # where it was raised


def test_frames_of_this_project_are_left_out(tmp_path, monkeypatch):
    (tmp_path / "their_builder.py").write_text("import json\ndef build():\n    return json.loads('{')\n")
    monkeypatch.syspath_prepend(tmp_path)
    from nn_train.config.entry_points import call_entry_point

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any message
        call_entry_point("model.name", "their_builder:build")
    shown = own_traceback(caught.value)
    assert "their_builder.py" in shown
    assert "JSONDecodeError" in shown
    assert "entry_points.py" not in shown


def test_names_and_passwords_in_urls_are_not_repeated():
    error = OSError(
        "API request to http://ann:SECRET@mlflow:5000/api/2.0/runs failed: abfss://box@account.host/a is well"
    )
    shown = own_traceback(error)
    assert "http://…@mlflow:5000/api/2.0/runs failed: abfss://box@account.host/a is well" in shown
    assert "SECRET" not in shown
    assert "ann" not in shown
