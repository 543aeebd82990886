"""The runtime parameters of a compiled pipeline, set in the parameters of nodes."""

import json

from pipeline.runners.compiled.parameters import applied, needed

SETTINGS = json.dumps({"seed": 42, "releases": "s3://bucket/releases", "nested": [{"seed": 42}, {"seed": None}]})


def test_a_node_needs_the_runtime_parameters_that_its_settings_name():
    assert needed({"settings": SETTINGS, "code_digest": "0123"}) == {"seed", "releases"}
    assert needed({"custom_config": json.dumps({"settings": SETTINGS})}) == {"seed", "releases"}
    assert needed({"settings": json.dumps({"seed": None}), "text": "{seed", "count": 3.0}) == set()
    pushed = {"filesystem": {"base_directory": "s3://bucket/serving/retrieval"}}
    assert needed({"push_destination": json.dumps(pushed)}) == {"serving"}


def test_they_are_set_also_in_json_inside_json_and_not_where_a_setting_is_null():
    given = {
        "custom_config": json.dumps({"settings": SETTINGS}),
        "run-seed": 7.0,
        "run-releases": "gs://other/releases",
    }
    own, run = applied(given)
    assert run == {"seed": 7, "releases": "gs://other/releases"}
    assert list(own) == ["custom_config"]
    assert json.loads(json.loads(own["custom_config"])["settings"]) == {
        "seed": 7, "releases": "gs://other/releases", "nested": [{"seed": 7}, {"seed": None}],
    }  # fmt: skip


def test_a_seed_is_an_integer_since_kubeflow_gives_numbers_as_floating_point():
    own, _ = applied({"settings": '{"seed": 42}', "run-seed": 7.0})
    assert own == {"settings": '{"seed": 7}'}


def test_the_folder_of_a_pushed_model_keeps_the_step():
    pushed = {"filesystem": {"base_directory": "s3://bucket/serving/retrieval"}}
    own, _ = applied({"push_destination": json.dumps(pushed), "run-serving": "/srv/models"})
    assert json.loads(own["push_destination"])["filesystem"]["base_directory"] == "/srv/models/retrieval"


def test_text_that_is_no_json_and_settings_without_change_stay_as_they_are():
    given = {"pattern": "{SPAN}/*.csv", "settings": '{ "seed":  42 }', "list": "[]"}
    assert applied({**given, "run-seed": 42})[0] == given
