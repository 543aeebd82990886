"""`twostep submit --to kubeflow`, by the official client against a local server of its API."""

import ipaddress
import os
import signal
from datetime import UTC, datetime, timedelta

import kfp
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from facts import lacking
from json_server import Failure
from kubeflow_api import KubeflowApi

from pipeline import cli
from pipeline.submit import kubeflow_client, waiting

NEEDED = ("--parameter", "model=two_tower", "--parameter", "epochs=3")


@pytest.fixture
def kubeflow(monkeypatch):
    monkeypatch.setattr(waiting, "FIRST_S", 0.02)
    monkeypatch.delenv("TWOSTEP_KUBEFLOW_TOKEN", raising=False)
    with KubeflowApi() as server:
        yield server


@pytest.fixture
def submit(kubeflow, specification_file, write_config, capsys):
    """Return a function that runs the command and returns its exit code, its output and its errors."""

    def run(*arguments: str, **settings):
        config = write_config(kubeflow={"host": kubeflow.url, **settings})
        command = ["submit", str(specification_file), "--config", str(config), "--to", "kubeflow", *arguments]
        code = cli.main(command)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def only(found):
    (one,) = found.values()
    return one


def test_a_run_with_parameters_of_every_type(submit, kubeflow):
    code, out, err = submit(
        *NEEDED,
        *("--parameter", "rate=2", "--parameter", "quick=true"),
        *("--parameter", "sizes=[1, 2]", "--parameter", 'options={"a": {"b": null}}'),
        pipeline_root="s3://artifacts/shop",
        service_account="trainer",
    )
    assert (code, err) == (0, "")
    run = only(kubeflow.runs)
    assert out == f"{kubeflow.url}/#/runs/details/{run.run_id}\n"
    assert run.runtime_config.parameters == {
        "model": "two_tower",
        "epochs": 3,
        "rate": 2,
        "quick": True,
        "sizes": [1, 2],
        "options": {"a": {"b": None}},
    }
    assert run.runtime_config.pipeline_root == "s3://artifacts/shop"
    assert run.service_account == "trainer"
    assert only(kubeflow.experiments).display_name == "twostep"


def test_the_same_specification_is_uploaded_once(submit, kubeflow, specification_file):
    for _ in range(2):
        assert submit(*NEEDED)[0] == 0
    assert len(kubeflow.runs) == 2
    assert len(kubeflow.experiments) == len(kubeflow.pipelines) == len(kubeflow.versions) == 1
    assert only(kubeflow.versions).pipeline_spec == yaml.safe_load(specification_file.read_text())


def test_a_specification_of_the_platform_is_uploaded_beside(submit, kubeflow, specification_file, tmp_path):
    before, platform = specification_file.read_text(), {"platforms": {"kubernetes": {"deploymentSpec": {}}}}
    try:
        specification_file.write_text(before + "---\n" + yaml.safe_dump(platform))
        assert submit(*NEEDED)[0] == 0
    finally:
        specification_file.write_text(before)
    assert submit(*NEEDED)[0] == 0
    assert [*kubeflow.platforms.values()] == [[platform], []]


def test_waiting_follows_the_run_to_its_end(submit, kubeflow):
    code, out, err = submit(*NEEDED, "--wait")
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "waiting",
        "running; 0 of 1 started tasks have ended; running: train",
        "succeeded; 1 of 1 started tasks have ended",
    ]


@pytest.mark.parametrize(("state", "message"), [("FAILED", "train: out of memory"), ("CANCELED", "was cancelled")])
def test_a_run_that_fails_gives_the_exit_code_and_the_reason(submit, kubeflow, state, message):
    kubeflow.steps = [("RUNNING", {"train": "RUNNING"}), (state, {"train": state})]
    code, _, err = submit(*NEEDED, "--wait")
    assert code == 1
    assert lacking(err, f"{message} … {kubeflow.url}/#/runs/details/run-") == []


def test_waiting_survives_an_expired_token_and_answers_that_fail(submit, kubeflow, tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("first\n")
    kubeflow.tokens = {"first"}
    get_run = kubeflow.get_run

    def expire(request):
        if kubeflow.tokens == {"first"}:  # the next request is refused; the file already has the next token
            kubeflow.tokens = {"second"}
            token.write_text("second\n")
        return get_run(request)

    monkeypatch.setattr(kubeflow, "get_run", expire)
    kubeflow.failures = [Failure("GET .*/runs/", 503, times=2)]
    code, out, err = submit(*NEEDED, "--wait", token_file="token")
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "no answer; asking again",
        "waiting",
        "running; 0 of 1 started tasks have ended; running: train",
        "succeeded; 1 of 1 started tasks have ended",
    ]


def test_a_host_that_stays_silent_ends_the_wait_with_the_link(submit, kubeflow, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.1)
    kubeflow.failures = [Failure("GET .*/runs/", 503, times=99)]
    code, _, err = submit(*NEEDED, "--wait")
    assert code == 1
    assert lacking(err, "answered 503 … The run may go on … /#/runs/details/") == []


def test_an_interrupt_ends_the_wait_and_not_the_run(submit, kubeflow, monkeypatch):
    def interrupt(request):
        os.kill(os.getpid(), signal.SIGINT)
        return get_run(request)

    get_run = kubeflow.get_run
    monkeypatch.setattr(kubeflow, "get_run", interrupt)
    kubeflow.steps = [("RUNNING", {})]
    code, out, err = submit(*NEEDED, "--wait")
    assert (code, err.splitlines()[-1]) == (130, "twostep: interrupted")
    assert out.endswith("the run goes on\n")
    assert not any("terminate" in each for each in kubeflow.requests)


def test_a_token_that_stays_expired_ends_the_wait_with_the_link(submit, kubeflow, tmp_path, monkeypatch):
    monkeypatch.setenv("TWOSTEP_KUBEFLOW_TOKEN", "first")
    kubeflow.tokens = {"first"}
    kubeflow.failures = [Failure("GET .*/runs/", 401, times=9)]
    code, _, err = submit(*NEEDED, "--wait")
    assert code == 1
    assert lacking(err, "401 … TWOSTEP_KUBEFLOW_TOKEN … The run may go on … /#/runs/details/") == []
    assert sum("/runs/" in each for each in kubeflow.requests) == 1


def test_a_schedule_is_created_left_replaced_paused_resumed_and_deleted(submit, kubeflow):
    assert submit(*NEEDED, "--schedule", "30 3 * * sun")[1].startswith("created http")
    first = only(kubeflow.recurring)
    assert (first.trigger.cron_schedule.cron, first.mode) == ("0 30 3 * * sun", "ENABLE")
    assert (first.no_catchup, first.max_concurrency) == (True, "1")
    assert submit(*NEEDED, "--schedule", "30  3 * * sun")[1].startswith("unchanged http")
    assert only(kubeflow.recurring) is first
    assert submit("--pause")[:2] == (0, f"paused {kubeflow.url}/#/recurringrun/details/{first.recurring_run_id}\n")
    assert first.status == "DISABLED"
    assert "replaced (paused)" in submit(*NEEDED, "--schedule", "30 4 * * sun")[1]
    second = only(kubeflow.recurring)
    assert (second.trigger.cron_schedule.cron, second.status) == ("0 30 4 * * sun", "DISABLED")
    assert submit("--resume")[0] == 0
    assert second.status == "ENABLED"
    assert "replaced http" in submit("--parameter", "model=ease", *NEEDED[2:], "--schedule", "30 4 * * sun")[1]
    assert only(kubeflow.recurring).runtime_config.parameters["model"] == "ease"
    assert submit("--delete")[1].startswith("deleted http")
    assert submit("--delete")[:2] == (0, "shop: there is no schedule\n")
    code, _, err = submit("--pause")
    assert (code, "has no schedule" in err) == (2, True)


def test_what_an_interrupted_replacement_left_is_deleted_by_the_next(submit, kubeflow):
    submit(*NEEDED, "--schedule", "0 1 * * *")
    kubeflow.failures = [Failure("DELETE", 503)]
    assert submit(*NEEDED, "--schedule", "0 2 * * *")[0] == 1
    assert len(kubeflow.recurring) == 2
    submit(*NEEDED, "--schedule", "0 3 * * *")
    assert only(kubeflow.recurring).trigger.cron_schedule.cron == "0 0 3 * * *"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_client_of_kfp_reads_what_was_submitted(submit, kubeflow):
    submit(*NEEDED)
    submit(*NEEDED, "--schedule", "30 3 * * sun")
    official = kfp.Client(host=kubeflow.url)
    run = official.wait_for_run_completion(only(kubeflow.runs).run_id, timeout=60, sleep_duration=0.02)
    assert run.state == "SUCCEEDED"
    assert official.get_pipeline_id("shop") == only(kubeflow.pipelines).pipeline_id
    (schedule,) = official.list_recurring_runs().recurring_runs
    assert schedule.display_name == "shop"
    official.disable_recurring_run(schedule.recurring_run_id)
    assert submit("--resume")[0] == 0
    assert only(kubeflow.recurring).status == "ENABLED"


def test_all_pages_of_schedules_are_read(submit, kubeflow):
    kubeflow.failures = [Failure("DELETE", 503, times=9)]
    for hour in range(5):
        submit(*NEEDED, "--schedule", f"0 {hour} * * *")
    kubeflow.failures = []
    assert len(kubeflow.recurring) == 5
    assert submit("--delete")[1].count("deleted") == 5
    assert kubeflow.recurring == {}


def test_a_namespace_of_several_users(submit, kubeflow):
    kubeflow.multi_user = True
    code, _, err = submit(*NEEDED)
    assert (code, "submit.kubeflow.namespace" in err) == (1, True)
    assert submit(*NEEDED, namespace="team")[0] == 0
    assert only(kubeflow.experiments).namespace == only(kubeflow.pipelines).namespace == "team"


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure("healthz", 401), "answered 401 … planned by the test … token_file"),
        (Failure("healthz", 404), "submit.kubeflow.host … version 1"),
        (Failure("healthz", 302, headers={"Location": "/dex/login"}), "redirects to /dex/login … token_file"),
        (Failure("POST .*/runs", 403), "answered 403 … kubeflow-edit … submit.kubeflow.namespace"),
        (Failure("POST .*/runs", 404), "answered 404 … Correct"),
        (Failure("experiments", 503), "answered 503 … later"),
        (Failure("upload_version", 400), "answered 400 … specification"),
    ],
)
def test_an_answer_that_refuses_says_what_to_do(submit, kubeflow, failure, message):
    kubeflow.failures = [failure]
    code, _, err = submit(*NEEDED)
    assert code == 1
    assert lacking(err, f"twostep: … {message}") == []
    assert kubeflow.runs == {}


def test_a_page_that_is_not_the_api(submit, kubeflow, monkeypatch):
    monkeypatch.setattr(kubeflow, "healthz", lambda request: b"<html>log in</html>")
    code, _, err = submit(*NEEDED)
    assert code == 1
    assert lacking(err, f"submit.kubeflow.host: {kubeflow.url} … /apis/v2beta1/healthz … /pipeline") == []


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_a_host_that_cannot_be_reached(submit, host):
    code, _, err = submit(*NEEDED, host=host)
    assert code == 1
    assert lacking(err, f"{host}: cannot be reached … submit.kubeflow.host") == []


def test_a_host_that_does_not_answer(submit, silent, monkeypatch):
    monkeypatch.setattr(kubeflow_client, "READ_S", 0.2)
    code, _, err = submit(*NEEDED, host=silent)
    assert code == 1
    assert lacking(err, f"{silent}: cannot be reached … timed out … submit.kubeflow.host") == []


def test_a_certificate_of_a_private_authority(specification_file, write_config, tmp_path, capsys):
    certificate = tmp_path / "server.pem"
    certificate.write_bytes(self_signed())
    server = KubeflowApi()
    server.certificate = certificate
    with server as kubeflow:
        command = ["submit", str(specification_file), "--to", "kubeflow", *NEEDED, "--config"]
        assert cli.main([*command, str(write_config(kubeflow={"host": kubeflow.url}))]) == 1
        err = capsys.readouterr().err
        assert lacking(err, f"{kubeflow.url}: TLS … self-signed … submit.kubeflow.ca_file") == []
        trusting = write_config(kubeflow={"host": kubeflow.url, "ca_file": "server.pem"})
        assert cli.main([*command, str(trusting)]) == 0
        assert len(kubeflow.runs) == 1


def self_signed() -> bytes:
    """Return a key and a certificate of 127.0.0.1, signed with the key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = builder.add_extension(address, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token_file": "nothing"}, "submit.kubeflow.token_file … nothing: No such file"),
        ({"token_file": "shop-config.yaml"}, "one token on one line"),
        ({"ca_file": "nothing.pem"}, "submit.kubeflow.ca_file … nothing.pem is not a file"),
        ({"host": "https://user:secret@host"}, "submit.kubeflow.host … without user, password"),
        ({"host": "host.example.com"}, "submit.kubeflow.host … https://"),
        ({"token": "abc"}, "submit.kubeflow.token: is not a known key"),
    ],
)
def test_wrong_settings_are_found_before_a_request(submit, kubeflow, settings, message):
    code, _, err = submit(*NEEDED, **settings)
    assert code == 2
    assert lacking(err, message) == []
    assert kubeflow.requests == []
