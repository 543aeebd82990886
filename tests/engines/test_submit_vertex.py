"""`twostep submit --to vertex`, by the official client against a local server of its API."""

import pytest
import yaml
from facts import lacking
from google.auth.credentials import AnonymousCredentials
from google.cloud import aiplatform
from google.cloud import aiplatform_v1 as api
from json_server import Failure
from vertex_api import VertexApi, detail

from pipeline import cli
from pipeline.submit import vertex_client, waiting

NEEDED = ("--parameter", "model=two_tower", "--parameter", "epochs=3")
CONSOLE = "https://console.cloud.google.com/vertex-ai/locations/europe-west4/pipelines"
STATE, TASK = api.PipelineState, api.PipelineTaskDetail.State


@pytest.fixture
def vertex(monkeypatch):
    monkeypatch.setattr(waiting, "FIRST_S", 0.02)
    monkeypatch.setattr(vertex_client, "DELETION_PAUSE_S", 0.02)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    with VertexApi() as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        server.tokens = {"first"}
        yield server


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    return file


@pytest.fixture
def submit(vertex, token, specification_file, write_config, capsys):
    """Return a function that runs the command and returns its exit code, its output and its errors."""

    def run(*arguments: str, **settings):
        values = {
            "project": "my-project",
            "location": "europe-west4",
            "pipeline_root": "gs://artifacts/shop",
            "endpoint": vertex.url,
            "token_file": "token",
        }
        config = write_config(vertex={key: value for key, value in {**values, **settings}.items() if value is not None})
        command = ["submit", str(specification_file), "--config", str(config), "--to", "vertex", *arguments]
        code = cli.main(command)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def only(found):
    (one,) = found.values()
    return one


def test_a_run_with_parameters_of_every_type(submit, vertex, specification_file):
    network = "projects/1/global/networks/default"
    code, out, err = submit(
        *NEEDED,
        *("--parameter", "rate=2", "--parameter", "quick=true"),
        *("--parameter", "sizes=[1, 2]", "--parameter", 'options={"a": {"b": null}}'),
        service_account="trainer@my-project.iam.gserviceaccount.com",
        network=network,
    )
    assert (code, err) == (0, "")
    job = only(vertex.jobs)
    job_id = job.name.rpartition("/")[2]
    assert job_id.startswith("shop-20")
    assert out == f"{CONSOLE}/runs/{job_id}?project=my-project\n"
    values = api.PipelineJob.to_dict(job)
    assert values["runtime_config"]["parameter_values"] == {
        "model": "two_tower",
        "epochs": 3,
        "rate": 2,
        "quick": True,
        "sizes": [1, 2],
        "options": {"a": {"b": None}},
    }
    assert values["pipeline_spec"] == yaml.safe_load(specification_file.read_text())
    assert job.runtime_config.gcs_output_directory == "gs://artifacts/shop"
    assert (job.service_account, job.network) == ("trainer@my-project.iam.gserviceaccount.com", network)


def test_a_specification_that_mounts_secrets_of_kubernetes_is_refused(submit, vertex, specification_file):
    before = specification_file.read_text()
    try:
        specification_file.write_text(before + "---\n" + yaml.safe_dump({"platforms": {"kubernetes": {}}}))
        code, _, err = submit(*NEEDED)
    finally:
        specification_file.write_text(before)
    assert code == 2
    assert "mounts Secrets of Kubernetes" in err
    assert not vertex.jobs


def test_waiting_follows_the_run_to_its_end(submit):
    code, out, err = submit(*NEEDED, "--wait")
    assert (code, err) == (0, "")
    assert out.splitlines()[1:] == [
        "waiting",
        "running; 0 of 1 started tasks have ended; running: train",
        "succeeded; 1 of 1 started tasks have ended",
    ]


def test_a_run_that_fails_names_the_task_and_its_reason(submit, vertex):
    vertex.steps = [(STATE.PIPELINE_STATE_FAILED, [detail("train", TASK.FAILED, "out of memory")])]
    code, _, err = submit(*NEEDED, "--wait")
    assert code == 1
    assert lacking(err, f"train: out of memory … {CONSOLE}/runs/shop-") == []
    vertex.steps = [(STATE.PIPELINE_STATE_CANCELLED, [])]
    code, _, err = submit("--parameter", "model=ease", *NEEDED[2:], "--wait")
    assert (code, "was cancelled" in err) == (1, True)


@pytest.mark.parametrize(("released", "expected"), [(0, 3), (1, 0)])
def test_a_release_that_was_held_back_is_exit_code_3(submit, vertex, released, expected):
    release = {"released": released, "reason": "ndcg@10 0.1 should be at least 0.2"}
    pushed = detail("ReleasePusher", TASK.SUCCEEDED, release=release)
    vertex.steps = [(STATE.PIPELINE_STATE_SUCCEEDED, [pushed])]
    code, _, err = submit(*NEEDED, "--wait")
    assert code == expected
    assert ("ndcg@10 0.1 should be at least 0.2" in err) is (released == 0)


def test_waiting_survives_an_expired_token_and_answers_that_fail(submit, vertex, token, monkeypatch):
    get_job = vertex.get_job

    def expire(request):
        if vertex.tokens == {"first"}:  # the next request is refused; the file already has the next token
            vertex.tokens = {"second"}
            token.write_text("second\n")
        return get_job(request)

    monkeypatch.setattr(vertex, "get_job", expire)
    vertex.failures = [Failure("GET .*/pipelineJobs/", 503, times=2)]
    code, out, err = submit(*NEEDED, "--wait")
    assert (code, err) == (0, "")
    assert out.splitlines()[1] == "no answer; asking again"
    assert out.splitlines()[-1].startswith("succeeded")


def test_a_token_that_stays_expired_ends_the_wait_with_the_link(submit, vertex):
    vertex.failures = [Failure("GET .*/pipelineJobs/", 401, times=9)]
    code, _, err = submit(*NEEDED, "--wait")
    assert code == 1
    assert lacking(err, f"no valid credentials … token_file … The run may go on: {CONSOLE}/runs/") == []


def test_a_schedule_is_created_left_replaced_paused_resumed_and_deleted(submit, vertex):
    assert submit(*NEEDED, "--schedule", "30 3 * * sun", "--timezone", "Europe/Rome")[1].startswith("created http")
    first = only(vertex.schedules)
    assert first.cron == "TZ=Europe/Rome 30 3 * * sun"
    assert first.max_concurrent_run_count == 1
    assert submit(*NEEDED, "--schedule", "30 3 * * sun", "--timezone", "Europe/Rome")[1].startswith("unchanged http")
    assert only(vertex.schedules) is first
    number = first.name.rpartition("/")[2]
    assert submit("--pause")[:2] == (0, f"paused {CONSOLE}/schedules/{number}?project=my-project\n")
    assert first.state == api.Schedule.State.PAUSED
    assert submit(*NEEDED, "--schedule", "30 4 * * sun")[1].startswith("replaced (paused) http")
    second = only(vertex.schedules)
    assert (second.cron, second.state) == ("30 4 * * sun", api.Schedule.State.PAUSED)
    assert submit("--resume")[0] == 0
    assert second.state == api.Schedule.State.ACTIVE
    assert "replaced http" in submit("--parameter", "model=ease", *NEEDED[2:], "--schedule", "30 4 * * sun")[1]
    assert submit("--delete")[1].startswith("deleted http")
    assert submit("--delete")[:2] == (0, "shop: there is no schedule\n")


def test_the_client_of_google_reads_what_was_submitted(submit, vertex):
    submit(*NEEDED)
    submit(*NEEDED, "--schedule", "30 3 * * sun")
    vertex.tokens = None
    aiplatform.init(
        project=vertex.project,
        location=vertex.location,
        api_endpoint=vertex.url,
        api_transport="rest",
        credentials=AnonymousCredentials(),
    )
    job = aiplatform.PipelineJob.get(only(vertex.jobs).name)
    assert (job.display_name, job.state) == ("shop", STATE.PIPELINE_STATE_RUNNING)
    (schedule,) = aiplatform.PipelineJobSchedule.list(filter='display_name="shop"')
    assert schedule.cron == "30 3 * * sun"
    schedule.pause()
    assert only(vertex.schedules).state == api.Schedule.State.PAUSED


def test_all_pages_of_schedules_are_read_and_completed_ones_are_left_out(submit, vertex):
    vertex.failures = [Failure("DELETE", 503, times=9)]
    for hour in range(5):
        submit(*NEEDED, "--schedule", f"0 {hour} * * *")
    vertex.failures = []
    assert len(vertex.schedules) == 5
    next(iter(vertex.schedules.values())).state = api.Schedule.State.COMPLETED
    assert submit("--delete")[1].count("deleted") == 4


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (Failure("POST .*pipelineJobs", 403), "answered 403 … roles/aiplatform.user … my-project"),
        (Failure("POST .*pipelineJobs", 404), "answered 404 … submit.vertex.project"),
        (Failure("POST .*pipelineJobs", 400), "answered 400 … planned by the test … specification"),
        (Failure("POST .*pipelineJobs", 503), "answered 503 … later"),
        (Failure("testPermissions", 503), "answered 503 … later"),
    ],
)
def test_an_answer_that_refuses_says_what_to_do(submit, vertex, failure, message):
    vertex.failures = [failure]
    code, _, err = submit(*NEEDED)
    assert code == 1
    assert lacking(err, message) == []
    assert vertex.jobs == {}
    assert sum(each.startswith("POST") for each in vertex.requests) <= 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"project": "other"}, "answered 403 … other … roles/aiplatform.user"),
        ({"location": "us-central1"}, "answered 404 … submit.vertex.location"),
        ({"pipeline_root": "gs://nothing/x"}, "submit.vertex.pipeline_root: there is no bucket nothing … europe-west4"),
        ({"endpoint": "http://127.0.0.1:9"}, "http://127.0.0.1:9: cannot be reached … submit.vertex.endpoint"),
    ],
)
def test_a_wrong_place_is_named(submit, vertex, settings, message):
    code, _, err = submit(*NEEDED, **settings)
    assert code == 1
    assert lacking(err, message) == []
    assert vertex.jobs == {}


def test_the_root_of_the_specification_is_the_default(submit, vertex, specification_file, tmp_path):
    code, _, err = submit(*NEEDED, pipeline_root=None)
    assert code == 2
    assert lacking(err, "submit.vertex.pipeline_root … gs://bucket/folder") == []
    values = yaml.safe_load(specification_file.read_text()) | {"defaultPipelineRoot": "gs://artifacts/of-it"}
    other = tmp_path / "with-root.yaml"
    other.write_text(yaml.safe_dump(values))
    config = tmp_path / "shop-config.yaml"
    assert cli.main(["submit", str(other), "--config", str(config), "--to", "vertex", *NEEDED]) == 0
    assert only(vertex.jobs).runtime_config.gcs_output_directory == "gs://artifacts/of-it"


def test_an_endpoint_that_does_not_answer(submit, silent, monkeypatch):
    monkeypatch.setitem(vertex_client.LIMITS, "timeout", 0.5)
    code, _, err = submit(*NEEDED, endpoint=silent)
    assert code == 1
    assert lacking(err, f"{silent}: cannot be reached … timed out … submit.vertex.endpoint") == []


def test_a_storage_that_cannot_be_reached(submit, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    code, _, err = submit(*NEEDED)
    assert code == 1
    assert lacking(err, "Cloud Storage: cannot be reached … the network") == []


def test_a_bucket_that_may_not_be_seen_is_no_error(submit, vertex):
    vertex.failures = [Failure("testPermissions", 403)]
    assert submit(*NEEDED)[0] == 0


def test_a_wrong_token_says_how_to_log_in(submit, vertex):
    vertex.tokens = {"other"}
    code, _, err = submit(*NEEDED)
    assert code == 1
    assert lacking(err, "no valid credentials … gcloud auth application-default login … token_file") == []


def test_without_credentials_the_message_says_how_to_log_in(submit, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no-key.json"))
    code, _, err = submit(*NEEDED, token_file=None)
    assert code == 1
    assert lacking(err, "no-key.json … gcloud auth application-default login") == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token_file": "nothing"}, "submit.vertex.token_file … nothing: No such file"),
        ({"pipeline_root": "s3://artifacts"}, "submit.vertex.pipeline_root … gs://bucket/folder"),
        ({"location": "Europe"}, "submit.vertex.location … europe-west4"),
        ({"service_account": "trainer"}, "submit.vertex.service_account … e-mail"),
    ],
)
def test_wrong_settings_are_found_before_a_request(submit, vertex, settings, message):
    code, _, err = submit(*NEEDED, **settings)
    assert code == 2
    assert lacking(err, message) == []
    assert vertex.requests == []
