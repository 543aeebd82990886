"""`twostep submit` before anything is sent: arguments, specifications, values of parameters, and cron expressions."""

import json

import pytest
import yaml
from facts import lacking

from core.errors import UsageError
from pipeline import cli
from pipeline.runners.compiled.specification_file import check, parse_parameters, read, write
from pipeline.submit import cron
from pipeline.submit.job import Job

PARAMETERS = {
    "model": {"parameterType": "STRING"},
    "epochs": {"parameterType": "NUMBER_INTEGER", "defaultValue": 3},
    "rate": {"parameterType": "NUMBER_DOUBLE", "isOptional": True},
    "quick": {"parameterType": "BOOLEAN", "defaultValue": False},
    "sizes": {"parameterType": "LIST", "defaultValue": []},
    "options": {"parameterType": "STRUCT", "defaultValue": {}},
}
SPECIFICATION = {
    "pipelineInfo": {"name": "shop"},
    "root": {"dag": {"tasks": {}}, "inputDefinitions": {"parameters": PARAMETERS}},
    "components": {},
    "deploymentSpec": {},
    "schemaVersion": "2.1.0",
}
KUBEFLOW = {"kubeflow": {"host": "http://127.0.0.1:9"}}


@pytest.fixture
def files(tmp_path):
    """Write a specification and a configuration, and return their names."""
    specification, config = tmp_path / "shop.json", tmp_path / "config.yaml"
    specification.write_text(json.dumps(SPECIFICATION))
    config.write_text(yaml.safe_dump({"name": "shop", "data": {"root": "."}, "submit": KUBEFLOW}))
    return str(specification), str(config)


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("model=a=b", "a=b"),
        ("model=3", "3"),
        ("model=", ""),
        ("epochs=-7", -7),
        ("rate=1e-3", 0.001),
        ("rate=2", 2),
        ("quick=true", True),
        ("sizes=[]", []),
        ('options={"a": null}', {"a": None}),
    ],
)
def test_a_value_has_the_declared_type(assignment, value):
    name = assignment.partition("=")[0]
    found = parse_parameters(SPECIFICATION, ["model=x", assignment] if name != "model" else [assignment])[name]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["model"], "--parameter … NAME=VALUE … model"),
        (["modell=x"], "modell … model, epochs, rate"),
        (["model=x", "model=y"], "model … twice"),
        ([], "model … --parameter model=VALUE"),
        (["epochs=1.5"], "epochs … an integer … 1.5"),
        (["epochs=true"], "epochs … an integer … true"),
        (["epochs="], "epochs … an integer"),
        (["rate=NaN"], "rate … a number … NaN"),
        (["quick=yes"], "quick … true or false … yes"),
        (["quick=1"], "quick … true or false … 1"),
        (["sizes={}"], "sizes … a JSON list"),
        (["options=[1]"], "options … a JSON object"),
    ],
)
def test_a_wrong_value_names_the_parameter(assignments, message):
    with pytest.raises(UsageError) as caught:
        parse_parameters(SPECIFICATION, assignments)
    assert lacking(str(caught.value), message) == []


def test_a_file_that_is_no_specification_is_left_to_the_reader_of_configurations(tmp_path):
    for name, text in (("a", "name: x\n"), ("b", "- 1\n"), ("c", "a: [\n"), ("d", "")):
        (tmp_path / name).write_text(text)
        assert read(tmp_path / name) is None
    assert read(tmp_path / "missing") is None
    assert read(tmp_path) is None


def test_a_specification_of_a_platform_is_the_second_document(tmp_path):
    file, platform = tmp_path / "two.yaml", {"platforms": {"kubernetes": {}}}
    for given in (None, platform):
        file.write_text(write(SPECIFICATION, given))
        assert read(file) == (SPECIFICATION, given)
    for more in ([SPECIFICATION], [platform, platform], [1]):
        file.write_text(yaml.safe_dump_all([SPECIFICATION, *more]))
        with pytest.raises(UsageError, match="one more document at most"):
            read(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schemaVersion": "2.0.0"}, "schemaVersion … 2.1. … 2.0.0"),
        ({"pipelineInfo": {}}, "pipelineInfo.name … None"),
        ({"pipelineInfo": {"name": 'a"b'}}, 'pipelineInfo.name … a"b'),
    ],
)
def test_a_specification_is_checked(change, message):
    check(SPECIFICATION, "x.yaml")
    with pytest.raises(UsageError) as caught:
        check(SPECIFICATION | change, "x.yaml")
    assert lacking(str(caught.value), f"x.yaml … {message}") == []


def test_a_digest_depends_on_all_that_a_schedule_does_and_not_on_the_order_of_keys():
    job = Job("shop", SPECIFICATION, {"model": "a"})
    again = Job("shop", dict(reversed(SPECIFICATION.items())), {"model": "a"})
    assert job.schedule_digest("0 1 * * *", "{}") == again.schedule_digest("0 1 * * *", "{}")
    others = {
        job.schedule_digest("0 2 * * *", "{}"),
        job.schedule_digest("0 1 * * *", '{"host": ""}'),
        Job("shop", SPECIFICATION, {"model": "b"}).schedule_digest("0 1 * * *", "{}"),
        Job("shop", SPECIFICATION | {"sdkVersion": "x"}, {"model": "a"}).schedule_digest("0 1 * * *", "{}"),
        Job("shop", SPECIFICATION, {"model": "a"}, {"platforms": {}}).schedule_digest("0 1 * * *", "{}"),
    }
    assert len(others | {job.schedule_digest("0 1 * * *", "{}")}) == 6
    assert job.specification_digest != Job("shop", SPECIFICATION, {}, {"platforms": {}}).specification_digest


@pytest.mark.parametrize("expression", ["30 3 * * sun", "*/15 0-6 1,15 * mon-fri", "  0 0   * * 0 "])
def test_cron_expressions(expression):
    assert cron.check(expression) == " ".join(expression.split())


@pytest.mark.parametrize("expression", ["", "0 30 3 * * sun", "@daily", "61 * * * *", "* * * * nonsense", "a b c d e"])
def test_wrong_cron_expressions(expression):
    with pytest.raises(UsageError, match="five fields"):
        cron.check(expression)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "vertex"], "submit.vertex … config explain submit.vertex"),
        (["--to", "kubeflow", "--timezone", "Europe/Rome"], "--timezone … --schedule"),
        (
            ["--to", "kubeflow", "--schedule", "0 1 * * *", "--timezone", "Europe/Rome"],
            "--timezone … CRON_SCHEDULE_TIMEZONE",
        ),
        (["--to", "vertex", "--schedule", "0 1 * * *", "--timezone", "Mars"], "--timezone … Europe/Rome … Mars"),
        (["--to", "kubeflow", "--schedule", "daily"], "--schedule … '30 3 * * sun' … daily"),
        (["--to", "kubeflow", "--pause", "--parameter", "model=x"], "--parameter … --pause"),
        (["--to", "vertex", "--delete", "--timezone", "UTC"], "--timezone … --delete"),
        (["--to", "kubeflow", "--parameter", "epochs=x"], "epochs … an integer"),
    ],
)
def test_wrong_use_is_found_before_a_request(files, capsys, arguments, message):
    specification, config = files
    needed = [] if "--parameter" in arguments or {"--pause", "--delete"} & {*arguments} else ["--parameter", "model=x"]
    assert cli.main(["submit", specification, "--config", config, *arguments, *needed]) == 2
    assert lacking(capsys.readouterr().err, message) == []


def test_a_specification_needs_the_configuration_and_a_configuration_no_other(files, capsys):
    specification, config = files
    assert cli.main(["submit", specification, "--to", "kubeflow"]) == 2
    assert lacking(capsys.readouterr().err, f"{specification} … --config CONFIG … `submit`") == []
    assert cli.main(["submit", config, "--to", "kubeflow", "--config", config]) == 2
    assert lacking(capsys.readouterr().err, f"--config: {config}") == []
    assert cli.main(["submit", "nothing.yaml", "--to", "kubeflow"]) == 2
    assert "nothing.yaml: no such file" in capsys.readouterr().err
