"""The kinds of features: their inputs and outputs, and their configuration, also for a kind outside the product."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest
from facts import lacking
from pydantic import ValidationError

from core.arrow import event_types
from pipeline import cli
from transform import names
from transform.arrow_types import feature_types, user_types
from transform.columns import VectorColumn
from transform.features import Feature, Features, Indices, Numbers, own_modules, raw_columns, timestamp_columns

OWN = """
from pydantic import Field
from transform.columns import StringColumn
from transform.features import Feature, Numbers

class Length(Feature):
    most: int = Field(10, ge=1, description="The longest that counts.")

    @property
    def raw(self):
        return StringColumn()

    def outputs(self, name):
        return [Numbers(name)]

class NoFeature:
    pass
"""


BAD = """
from transform.columns import StringColumn
from transform.features import Feature, Indices

class Base(Feature):
    @property
    def raw(self):
        return StringColumn()

    def outputs(self, name):
        return [Indices(name, 3)]

class Bad(Base):
    {body}
"""


def features(user=None, item=None, **more):
    return Features.model_validate({"user": user or {}, "item": item or {}, **more})


@pytest.fixture
def own(tmp_path: Path, monkeypatch):
    """Write a module with a feature kind to a folder on the Python path."""
    (tmp_path / "own_kinds.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own_kinds", None)


def test_a_column_s_type_is_that_of_its_kind_and_a_cross_has_no_column():
    item = {
        "brand": "categorical",
        "genres": "multi_valued",
        "price": {"kind": "numeric", "buckets": 4},
        "title": "text",
        "picture": {"kind": "embedding", "size": 3},
        "released": "timestamp",
        "niche": {"kind": "cross", "columns": ["brand", "genres"]},
    }
    found = features(item=item).item
    texts, numbers = pa.list_(pa.string()), pa.list_(pa.float32())
    types = {"brand": pa.string(), "genres": texts, "price": pa.float32(), "title": pa.string(), "picture": numbers}
    assert feature_types(found) == types | {"released": pa.float32()}
    assert timestamp_columns(found) == ["released"]
    assert raw_columns(found)["picture"] == VectorColumn(3)
    assert not raw_columns(found)["title"].comparable


def test_what_the_kinds_make():
    item = {
        "title": {"kind": "text", "max_words": 5},
        "picture": {"kind": "embedding", "size": 3},
        "niche": {"kind": "cross", "columns": ["title", "picture"], "buckets": 7},
    }
    found = features(item=item)
    assert names.outputs(found.item) == ["title", "title_weight", "picture", "niche"]
    assert found.item["title"].outputs("t") == [
        Indices("t", vocabulary="t_vocabulary", several=True, weights="t_weight")
    ]
    assert found.item["picture"].outputs("p") == [Numbers("p", 3)]
    assert names.vocabularies(found) == ["user_id_vocabulary", "item_id_vocabulary", "title_vocabulary"]
    sizes = dict.fromkeys(names.vocabularies(found), 10)
    assert names.index_sizes(found, sizes) == {"user_id": 27, "item_id": 27, "title": 11, "niche": 8}


def test_features_are_written_as_they_are_read(own):
    item = {
        "title": "text",
        "length": {"kind": "own_kinds:Length", "most": 3},
        "price": {"kind": "numeric", "log": True},
    }
    found = features(item=item)
    assert Features.model_validate_json(found.model_dump_json()) == found
    assert found.model_dump()["item"]["length"] == {"kind": "own_kinds:Length", "most": 3}


def test_a_kind_may_be_a_class_of_the_user_s_own(own):
    found = features(item={"length": "own_kinds:Length", "brand": "categorical"})
    assert isinstance(found.item["length"], Feature)
    assert names.outputs(found.item) == ["length", "brand"]
    assert own_modules(found) == ["own_kinds"]
    assert own_modules(features(item={"brand": "categorical"})) == []


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("own_kinds:Width", "own_kinds:Width … `module:Class`"),
        ("no_such_module:Kind", "'no_such_module' … ModuleNotFoundError"),
        ("own_kinds:NoFeature", "own_kinds:NoFeature … transform.features.Feature"),
        ({"kind": "own_kinds:Length", "most": 0}, "most: … 1 … found 0"),
        ({"kind": "own_kinds:Length", "least": 0}, "least: … key"),
        ("picture", "picture … tags"),
        ({"kind": "embedding"}, "size … required"),
        ({"kind": "cross", "columns": ["a"]}, "columns … at least 2"),
        ({"kind": "text", "max_words": 0}, "max_words … 1"),
    ],
)
def test_what_is_no_kind_is_refused(own, feature, message):
    with pytest.raises(ValidationError) as caught:
        features(item={"x": feature})
    assert lacking(str(caught.value), message) == []


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("raise RuntimeError('no licence')", ("'bad_kinds'", "RuntimeError: no licence")),
        ("import sys; sys.exit(0)", ("'bad_kinds'", "SystemExit: 0")),
        ("raise BaseException('gone')", ("'bad_kinds'", "BaseException: gone")),
        ("def broken(:", ("'bad_kinds'", "SyntaxError")),
        ("Bad = 1 / 0", ("'bad_kinds'", "ZeroDivisionError")),
        (
            BAD.format(body="def model_post_init(self, context): raise SystemExit(0)"),
            ("SystemExit: 0"),
        ),
        (
            BAD.format(body="def model_post_init(self, context): raise KeyError('k')"),
            ("KeyError: 'k'"),
        ),
        (BAD.format(body="def outputs(self, name): raise SystemExit(0)"), ("SystemExit: 0")),
        (BAD.format(body="def outputs(self, name): return 'x'"), ("`outputs`", "found 'x'")),
        (BAD.format(body="raw = property(lambda self: 3)"), ("`raw`", "found 3")),
        (BAD.format(body="pass").replace("Bad(Base)", "Bad(Feature)"), ("NotImplementedError")),
    ],
)
def test_a_module_of_the_user_s_own_that_fails_is_named_with_its_key(tmp_path, monkeypatch, capsys, source, parts):
    (tmp_path / "bad_kinds.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "bad_kinds", raising=False)
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ndata: {root: .}\nfeatures: {item: {colour: {kind: 'bad_kinds:Bad'}}}\n")
    assert cli.main(["config", "check", str(file)]) == 2
    message = capsys.readouterr().err
    assert all(part in message for part in ("features.item.colour: ", "bad_kinds:Bad", *parts)), message


def test_what_a_module_prints_when_imported_is_no_output(tmp_path, monkeypatch, capsys):
    (tmp_path / "loud_kinds.py").write_text("print('hello')\n" + OWN)
    monkeypatch.syspath_prepend(tmp_path)
    features(item={"length": "loud_kinds:Length"})
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


# ---- crosses ----

CROSSED = {"brand": "categorical", "genres": "multi_valued", "price": {"kind": "numeric", "buckets": 4}}


def cross(*columns):
    return {"kind": "cross", "columns": list(columns)}


def test_what_has_categories_can_be_crossed():
    names.check(features(item=CROSSED | {"each": cross("brand", "genres", "price")}))


@pytest.mark.parametrize(
    ("columns", "wrong"),
    [
        (("brand", "mass"), "crosses ['mass']"),  # a numeric feature without buckets
        (("brand", "title"), "crosses ['title']"),
        (("brand", "picture"), "crosses ['picture']"),
        (("brand", "x"), "crosses ['x']"),  # the cross itself
        (("brand", "gender"), "crosses ['gender']"),  # a feature of the other table
        (("brand", "nowhere"), "crosses ['nowhere']"),
        (("brand", "brand"), "different … columns"),
    ],
)
def test_what_has_none_cannot(columns, wrong):
    more = {"mass": "numeric", "title": "text", "picture": {"kind": "embedding", "size": 2}, "x": cross(*columns)}
    with pytest.raises(ValueError) as caught:
        names.check(features({"gender": "categorical"}, CROSSED | more))
    assert lacking(str(caught.value), wrong) == []


def test_the_weights_of_words_may_not_take_another_feature_s_name():
    with pytest.raises(ValueError, match="title_weight"):
        names.check(features(item={"title": "text", "title_weight": "numeric"}))


def test_a_query_carries_who_what_when_and_the_user_s_features():
    found = user_types(features({"age": "numeric", "tags": "multi_valued"}).user)
    assert found == event_types(has_rating=False) | {"age": pa.float32(), "tags": pa.list_(pa.string())}
