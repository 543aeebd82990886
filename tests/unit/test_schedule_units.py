"""The printed units of systemd, cron and Kubernetes, and the command."""

import configparser

import pytest
import yaml
from configurations import BASE
from facts import lacking

from pipeline import cli
from pipeline.schedule import units


def test_a_service_and_a_timer():
    text = units.systemd("shop", ["/opt/my python", "-m", "x", "a%$b.yaml"], "/srv/code", 90)
    service, timer = text.split("# ---- twostep-shop.timer ----")
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str
    parsed.read_string(service)
    assert parsed["Service"]["ExecStart"] == '"/opt/my python" "-m" "x" "a%%$$b.yaml"'
    assert (parsed["Service"]["Type"], parsed["Service"]["KillMode"]) == ("oneshot", "mixed")
    assert "OnUnitInactiveSec=90s" in timer
    assert "WantedBy=timers.target" in timer


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, "* * * * *"),
        (119, "* * * * *"),
        (300, "*/5 * * * *"),
        (480, "*/6 * * * *"),
        (3600, "0 * * * *"),
        (9e4, "0 * * * *"),
    ],
)
def test_a_crontab_starts_at_least_as_often_as_configured(seconds, expected):
    assert units.every(seconds) == expected


def test_a_line_of_a_crontab():
    assert units.cron(["py", "a b%c.yaml"], "/srv/co de", 300) == "*/5 * * * * cd '/srv/co de' && py 'a b\\%c.yaml'\n"


def test_a_cron_job_of_kubernetes():
    job = yaml.safe_load(units.kubernetes("shop", "shop.yaml", "registry/twostep:1", 600, "HOOK"))
    assert (job["kind"], job["apiVersion"], job["metadata"]["name"]) == ("CronJob", "batch/v1", "twostep-shop")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["schedule"] == "*/10 * * * *"
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    assert container["command"] == ["twostep", "schedule", "/data/shop.yaml", "--once"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert set(container["resources"]) == {"requests", "limits"}
    assert {each["name"] for each in container["env"]} == {"HOME", "HOOK"}
    assert container["image"] == "registry/twostep:1"


# ---- the command ----


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "shop.yaml"
    path.write_text(yaml.safe_dump(BASE | {"schedule": {"cron": {"expression": "0 3 * * *"}}, "run_folder": "runs"}))
    return path


def test_a_unit_is_printed_and_nothing_is_written(file, capsys):
    for unit, fact in (("systemd", f'"{file}" "--once"'), ("cron", f"{file} --once")):
        assert cli.main(["schedule", str(file), "--print", unit]) == 0
        assert fact in capsys.readouterr().out
    assert not (file.parent / "runs").exists()


def test_the_state_before_the_first_run(file, capsys):
    assert cli.main(["schedule", "status", str(file)]) == 0
    assert lacking(capsys.readouterr().out, "x: not running … cron 0 3 * * * (UTC)") == []
    assert not (file.parent / "runs").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["FILE", "--print", "kubernetes"], "--image IMAGE"),
        (["FILE", "--image", "x"], "--image"),
        (["FILE", "--json"], "--json"),
        (["status", "FILE", "--once"], "--once"),
        (["FILE", "--once", "--print", "cron"], "--once"),
        (["stats", "FILE"], "status"),
        (["FILE", "--resume", "--once"], "not stopped"),
    ],
)
def test_wrong_use_is_2(file, words, message, capsys):
    assert cli.main(["schedule", *(str(file) if word == "FILE" else word for word in words)]) == 2
    assert message in capsys.readouterr().err


def test_without_a_schedule_there_is_nothing_to_start(tmp_path, capsys):
    file = tmp_path / "shop.yaml"
    file.write_text(yaml.safe_dump(BASE))
    for words in ([str(file)], ["status", str(file)], [str(file), "--print", "cron"]):
        assert cli.main(["schedule", *words]) == 2
        assert lacking(capsys.readouterr().err, f"{file}: schedule: … new_span: true … config explain schedule") == []


def test_the_secret_has_to_be_in_the_environment(file, capsys, monkeypatch):
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    values = yaml.safe_load(file.read_text())
    values["schedule"]["webhook"] = {"url": "https://a.example", "secret_variable": "HOOK_SECRET"}
    file.write_text(yaml.safe_dump(values))
    assert cli.main(["schedule", str(file), "--once"]) == 2
    assert "HOOK_SECRET" in capsys.readouterr().err
