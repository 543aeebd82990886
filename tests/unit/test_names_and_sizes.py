"""The names of the outputs of the transform graph, their numbers of indices, and names that features may not have."""

import pytest
from facts import facts

from core import names
from transform import names as transformed
from transform.features import Features


def features(user=None, item=None, **more):
    return Features.model_validate({"user": user or {}, "item": item or {}, **more})


def test_a_number_with_buckets_has_two_outputs():
    found = features({"age": {"kind": "numeric", "buckets": 4}, "income": "numeric", "gender": "categorical"})
    assert transformed.outputs(found.user) == ["age", "age_bucket", "income", "gender"]
    assert transformed.outputs({}) == []


def test_sizes_are_missing_and_vocabulary_and_buckets():
    given = features(
        {"age": {"kind": "numeric", "buckets": 4}, "gender": {"kind": "categorical", "oov_buckets": 2}},
        {"genres": "multi_valued", "year": "numeric"},
        id_oov_buckets=5,
    )
    vocabularies = {"user_id_vocabulary": 100, "item_id_vocabulary": 10, "gender_vocabulary": 3, "genres_vocabulary": 7}
    assert transformed.index_sizes(given, vocabularies) == {
        names.USER_ID: 1 + 100 + 5,
        names.ITEM_ID: 1 + 10 + 5,
        "age_bucket": 1 + 4,
        "gender": 1 + 3 + 2,
        "genres": 1 + 7 + 1,
    }


def test_names_that_can_be_served_pass():
    transformed.check(features({"age": "numeric", "Age2": "numeric", "a_b": "categorical"}, {"x": "multi_valued"}))
    transformed.check(features())


@pytest.mark.parametrize(
    ("user", "item", "message"),
    [
        ({"age": "numeric"}, {"age": "numeric"}, "['age'] … both"),
        ({"history": "categorical"}, {}, "'history' … reserved"),
        ({}, {"item_id": "categorical"}, "'item_id' … reserved"),
        ({}, {"k": "categorical"}, "'k' … reserved"),
        ({}, {"product category": "categorical"}, "letter … found 'product category'"),
        ({"1st": "categorical"}, {}, "found '1st'"),
        ({"_share": "categorical"}, {}, "found '_share'"),
        ({"größe": "categorical"}, {}, "found 'größe'"),
        ({"class": "categorical"}, {}, "found 'class'"),
        ({"self": "categorical"}, {}, "found 'self'"),
        ({"": "categorical"}, {}, "found ''"),
        (
            {"age": {"kind": "numeric", "buckets": 2}},
            {"age_bucket": "categorical"},
            "['age_bucket'] … features",
        ),
    ],
)
def test_a_name_that_cannot_be_served_is_refused(user, item, message):
    with pytest.raises(ValueError, match=facts(message)) as caught:
        transformed.check(features(user, item))
    assert "Rename" in str(caught.value)


def test_a_bucket_s_name_is_free_where_there_are_no_buckets():
    transformed.check(features({"age": "numeric"}, {"age_bucket": "categorical"}))
