"""The session in which the engine calls a SavedModel."""

import core.tf  # noqa: F401 - Keras 2, before TensorFlow

import shutil

import numpy as np
import pytest
import tensorflow as tf

from core.errors import ModelError
from serving.saved_model import SavedModel


class Model(tf.Module):
    """A model with a signature that reads a table filled from a file, one with a loop, and one with an empty input."""

    def __init__(self, vocabulary: str):
        super().__init__()
        self.scale = tf.Variable([2.0, 3.0])
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                vocabulary,
                *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
            ),
            default_value=-1,
        )
        self.doubled = tf.function(lambda x: x * 2.0)

    @tf.function
    def place(self, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"place": self.table.lookup(word), "word": tf.strings.upper(word)}

    @tf.function
    def scaled(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.map_fn(lambda row: self.doubled(row) * self.scale, x)}

    @tf.function
    def empty(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"rows": tf.shape(x)[0]}

    def signatures(self):
        return {
            "place": self.place.get_concrete_function(word=tf.TensorSpec([None], tf.string, name="word")),
            "scaled": self.scaled.get_concrete_function(x=tf.TensorSpec([None, 2], tf.float32, name="x")),
            "empty": self.empty.get_concrete_function(x=tf.TensorSpec([None, 0], tf.float32, name="x")),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    vocabulary = folder / "vocabulary.txt"
    vocabulary.write_text("zéro\none\n", encoding="utf-8")
    model = Model(str(vocabulary))
    tf.saved_model.save(model, str(folder / "model"), signatures=model.signatures())
    vocabulary.unlink()
    return folder / "model"


@pytest.mark.parametrize("optimized", [True, False])
def test_variables_tables_and_functions_are_there(folder, optimized):
    model = SavedModel(folder, optimized=optimized)
    assert set(model.signatures) == {"place", "scaled", "empty"}
    assert model.outputs == {"place": {"place", "word"}, "scaled": {"y"}, "empty": {"rows"}}
    for words in (["one", "two", "zéro"], np.array(["one", "two", "zéro"]), np.array(["one", "two", "zéro"], object)):
        found = model.signatures["place"](word=words)
        assert found["place"].tolist() == [1, -1, 0]
        assert found["word"].tolist() == [b"ONE", b"TWO", "ZéRO".encode()]
    for rows in (0, 1, 3):
        x = np.arange(rows * 2, dtype=np.float64).reshape(rows, 2)
        np.testing.assert_allclose(model.signatures["scaled"](x=x)["y"], x * [4, 6])


def test_the_wanted_signatures_alone_are_loaded(folder):
    model = SavedModel(folder, ("scaled", "none of the model's"))
    assert set(model.signatures) == set(model.outputs) == {"scaled"}


def test_the_variables_of_the_wanted_signatures_alone_are_in_memory(folder):
    """`place` uses no variable, `scaled` the only one."""
    for wanted, expected in (("place",), []), (("place", "scaled"), ["scale"]):
        model = SavedModel(folder, wanted)
        assert [key.partition("/")[0] for key in model.variables] == expected
    assert model.signatures["scaled"](x=[[1, 1]])["y"].tolist() == [[4, 6]]


def test_a_signature_that_was_called_once_answers_as_before(folder):
    model = SavedModel(folder)
    for name in model.signatures:  # among them one whose input has no columns
        model.warm(name)
    assert model.signatures["place"](word=["one"])["place"].tolist() == [1]


def test_inputs_of_another_name_and_missing_ones_are_refused(folder):
    signature = SavedModel(folder, ("scaled",)).signatures["scaled"]
    for inputs in ({}, {"z": [[1, 2]]}, {"x": [[1, 2]], "z": 1}):
        with pytest.raises(TypeError, match="'x'"):
            signature(**inputs)


def test_a_model_whose_variables_are_missing_is_named(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    shutil.rmtree(tmp_path / "model" / "variables")
    with pytest.raises(ModelError, match=str(tmp_path)):
        SavedModel(tmp_path / "model")


def test_a_closed_model_answers_no_more(folder):
    model = SavedModel(folder)
    model.close()
    with pytest.raises(RuntimeError):
        model.signatures["place"](word=["one"])


@pytest.mark.parametrize("content", [None, b"no protocol buffer", b""])
def test_a_folder_without_a_saved_model_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ModelError, match=str(tmp_path)):
        SavedModel(tmp_path)
