"""Predictions of new examples: what is read, how it is made ready, what is written, and what is refused."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from nn_train.config import config_from_dict, config_to_dict
from nn_train.errors import RequestError, TrainingError
from nn_train.jobs.command import predict as main
from nn_train.prediction.new_examples import NOT_SAID, Predicted, as_trained, check_output, csv_bytes, read_new, write
from nn_train.prediction.predict_run import Part, joined, place_in_search, predict_part
from nn_train.storage.folder import ResultsFolder

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 12, 12)).astype(np.uint8)


def saved(folder, **arrays):
    np.savez(folder / "new.npz", **arrays)
    return str(folder / "new.npz")


def test_examples_are_x_or_the_only_array_and_ids_are_numbers_unless_they_are_given(tmp_path):
    named = read_new(saved(tmp_path, x=IMAGES, id=np.array(list("abcdefg")), other=np.zeros(3)))
    assert named.ids.tolist() == list("abcdefg")
    only = read_new(saved(tmp_path, pictures=IMAGES))
    assert only.ids.tolist() == list(range(7))
    np.save(tmp_path / "new.npy", IMAGES)
    for examples in (named, only, read_new(str(tmp_path / "new.npy"))):
        np.testing.assert_array_equal(examples.take(slice(2, 7)), IMAGES[2:])
    np.save(tmp_path / "new.npy", IMAGES.T)  # in Fortran's order: read whole
    np.testing.assert_array_equal(read_new(str(tmp_path / "new.npy")).x, IMAGES.T)


def test_of_an_npy_the_rows_of_a_block_are_read_and_named_where_they_are_none(tmp_path):
    x = np.zeros((7, 3))
    x[4, 1] = np.inf
    np.save(tmp_path / "new.npy", x)
    examples = read_new(str(tmp_path / "new.npy"))
    assert examples.take(slice(0, 4)).shape == (4, 3)
    with pytest.raises(RequestError, match=r"^--data: .*new.npy: row 4 holds NaN or infinity, first at index \(1,\)"):
        examples.take(slice(3, 7))
    np.save(tmp_path / "other.npy", np.zeros((7, 3)))
    assert examples.digest() != read_new(str(tmp_path / "other.npy")).digest()


def test_a_function_gives_examples_and_perhaps_ids(tmp_path, monkeypatch):
    code = "import numpy as np\nx = np.ones((3, 2))\ndef plain(): return x\ndef named(): return x, ['a', 'b', 'c']\n"
    code += "def several(): return x, 2 * x\ndef by_name(): return {'left': x, 'right': x}\n"
    code += "def of_a_table(): return x, np.array(['a', 'b', 'c'], dtype=object)\n"
    (tmp_path / "new_things.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    assert read_new("new_things:plain").ids.tolist() == [0, 1, 2]
    assert read_new("new_things:named").ids.tolist() == ["a", "b", "c"]
    assert read_new("new_things:of_a_table").ids.tolist() == ["a", "b", "c"]
    assert isinstance(read_new("new_things:of_a_table", inputs=2).x, tuple)
    assert isinstance(read_new("new_things:several").x, tuple)
    examples = read_new("new_things:by_name")
    (part,) = examples.blocks(5)
    block = examples.take(part)
    assert (part, block["left"].shape) == (slice(0, 3), (3, 2))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": IMAGES, "b": IMAGES}, "holds a, b; expected x"),
        ({"x": IMAGES, "id": np.arange(6)}, r"id has shape \(6,\)"),
        ({"x": np.full((2, 3), np.nan)}, "x holds NaN or infinity"),
        ({"x": np.zeros((0, 3))}, "with N > 0"),
        ({"x": np.array([{}], dtype=object)}, "is no .npz or .npy file"),
    ],
)
def test_what_are_no_examples_is_refused(tmp_path, arrays, said):
    with pytest.raises(RequestError, match=f"^--data: .*{said}"):
        read_new(saved(tmp_path, **arrays))


@pytest.mark.parametrize(
    ("x", "of_run", "shape", "divisor"),
    [
        (IMAGES, 255.0, (7, 12, 12, 1), 255.0),
        (IMAGES, NOT_SAID, (7, 12, 12, 1), 255.0),
        (IMAGES, None, (7, 12, 12), None),
        (IMAGES / 255, None, (7, 12, 12), None),
    ],
)
def test_they_are_made_ready_as_those_of_the_training(x, of_run, shape, divisor):
    ready, divided_by = as_trained(x, of_run, "new.npz")
    assert (ready.shape, divided_by) == (shape, divisor)
    assert ready.dtype in (np.uint8, np.float32)
    with pytest.raises(RequestError, match="trained on bytes, which are divided by 255, and these are float64; give"):
        as_trained(IMAGES / 255, 255.0, "new.npz")


PREDICTED = Predicted(
    ids=np.array(["a", "b"]), values=np.array([[0.25, 0.75], [0.5, 0.5]], np.float32), class_names=["no", "yes"]
)


def test_a_table_has_a_row_for_each_example(tmp_path):
    import pyarrow.parquet as pq

    rows = list(csv.DictReader(io.StringIO(csv_bytes(PREDICTED).decode())))
    assert rows[0] == {"id": "a", "label": "yes", "p_no": "0.25", "p_yes": "0.75"}
    assert rows[1]["label"] == "no"
    write(tmp_path / "p.parquet", PREDICTED)
    table = pq.read_table(tmp_path / "p.parquet").to_pydict()
    assert table == {"id": ["a", "b"], "label": ["yes", "no"], "p_no": [0.25, 0.5], "p_yes": [0.75, 0.5]}
    write(tmp_path / "p.npz", PREDICTED)
    with np.load(tmp_path / "p.npz") as file:
        assert file["label"].tolist() == [1, 0]
        assert file["class_names"].tolist() == ["no", "yes"]
        np.testing.assert_array_equal(file["probabilities"], PREDICTED.values)
    outputs = Predicted(ids=np.arange(2), values=np.array([[1.5], [2.0]], np.float32), class_names=None)
    assert csv_bytes(outputs) == b"id,output_0\n0,1.5\n1,2\n"
    assert list(outputs.arrays()) == ["id", "outputs"]


@pytest.mark.parametrize(("name", "said"), [("p.txt", r"allowed: .csv, .parquet, .npz"), ("no/p.csv", "not a folder")])
def test_a_file_that_cannot_be_written_is_refused_first(tmp_path, name, said):
    with pytest.raises(RequestError, match=said):
        check_output(str(tmp_path / name))


def predicted_with(model, tmp_path, source, size, **about):
    model.save(tmp_path / "model.keras")
    given = (tmp_path / "model.keras").read_bytes(), config_to_dict(config_from_dict({})), {"data": about}, source
    return joined([predict_part(*given, rank, size) for rank in range(size)], about)


@pytest.mark.tf
@pytest.mark.parametrize("ending", ["softmax", "linear", "sigmoid"])
def test_probabilities_are_those_of_the_model_for_any_number_of_workers(tmp_path, ending):
    import keras

    last = keras.layers.Dense(1 if ending == "sigmoid" else 3, activation=ending)
    model = keras.Sequential([keras.Input((12, 12, 1)), keras.layers.Flatten(), last])
    images = np.tile(IMAGES, (200, 1, 1))
    source = saved(tmp_path, x=images)
    names = ["no", "yes"] if ending == "sigmoid" else ["ash", "birch", "cedar"]
    about = {"num_classes": len(names), "class_names": names, "divisor": 255.0}
    alone, together = (predicted_with(model, tmp_path, source, size, **about) for size in (1, 4))
    np.save(tmp_path / "new.npy", images)
    by_rows = predicted_with(model, tmp_path, str(tmp_path / "new.npy"), 2, **about)
    assert csv_bytes(alone) == csv_bytes(together) == csv_bytes(by_rows)
    np.testing.assert_array_equal(alone.values, together.values)
    outputs = model.predict(np.tile(IMAGES, (200, 1, 1))[..., None] / np.float32(255), verbose=0)
    if ending == "linear":
        outputs = keras.ops.convert_to_numpy(keras.ops.softmax(outputs))
    expected = np.concatenate([1 - outputs, outputs], axis=1) if ending == "sigmoid" else outputs
    np.testing.assert_allclose(alone.values, expected, atol=1e-5)
    assert alone.class_names == names


def test_workers_that_read_other_examples_are_found():
    one = Part(np.arange(2), np.arange(2), np.zeros((2, 3), np.float32), "logits", 2, "a")
    with pytest.raises(TrainingError, match="have read different examples"):
        joined([one, Part(np.empty(0, int), np.empty(0, int), np.zeros((0, 0), np.float32), "logits", 2, "b")], {})


def test_the_best_run_of_a_search_is_the_first(tmp_path):
    names = ["10_t00001", "1_t00007", "2_t00003"]
    places = [ResultsFolder(str(tmp_path / name)) for name in names]
    assert min(places, key=place_in_search) is places[1]


@pytest.mark.tf
def test_a_model_without_classes_gives_its_outputs(tmp_path, monkeypatch):
    import keras

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x = np.random.default_rng(1).normal(size=(9, 3))
    found = predicted_with(model, tmp_path, saved(tmp_path, x=x), 2, num_classes=None)
    assert found.class_names is None
    np.testing.assert_allclose(found.values, model.predict(x.astype(np.float32), verbose=0), atol=1e-6)
    with pytest.raises(RequestError, match="the model does not take these examples: "):
        predicted_with(model, tmp_path, saved(tmp_path, x=np.zeros((9, 4))), 1, num_classes=None)
    (tmp_path / "odd.py").write_text("import numpy as np\nx = np.ones((3, 3))\ndef two(): return x, np.ones(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RequestError, match=r"^--data: odd:two: gives 2 arrays, and the model takes one; ids"):
        predicted_with(model, tmp_path, "odd:two", 1, num_classes=None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "new.npz", "--output", "p.csv"], "required: --run"),
        (
            ["--run", "run", "--data", "new.npz", "--output", "s3://bucket/p.csv"],
            "--output: s3://bucket/p.csv is a URI",
        ),
        (["--run", "run", "--data", "new.npz", "--output", "p.txt"], "is written as its name ends"),
        (
            ["--run", "run", "--data", "new.npz", "--output", "p.csv"],
            "run: has no model.keras; name the folder of a finished run",
        ),
    ],
)
def test_a_wrong_request_is_refused_in_one_line_before_ray_starts(tmp_path, monkeypatch, capfd, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nn_train.ray_cluster.session.ray_session", lambda verbose: pytest.fail("Ray is started"))
    assert main(words) == 2
    error = capfd.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
