"""The connections among machines that train together, and their settings."""

import contextlib
import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from object_servers import free_port
from pydantic import ValidationError

from core.errors import ModelError
from core.files import read_json, write_json
from trainer.distribution import connections, machines
from trainer.distribution.settings import Training


def addresses(count: int, host: str = "127.0.0.1") -> list[str]:
    return [f"{host}:{free_port()}" for _ in range(count)]


@pytest.mark.parametrize(("count", "host"), [(2, "127.0.0.1"), (4, "127.0.0.1"), (2, "[::1]")])
def test_machines_that_reach_each_other_are_connected(count, host):
    names = addresses(count, host)
    with ThreadPoolExecutor(count) as threads:
        checks = [threads.submit(connections.check, each, names, "call", 20) for each in range(count)]
        assert [each.result() for each in checks] == [None] * count


def test_a_machine_that_is_not_there_is_named():
    names = addresses(3)
    with ThreadPoolExecutor(2) as threads:
        checks = [threads.submit(connections.check, each, names, "call", 0.5) for each in range(2)]
        for check in checks:
            with pytest.raises(ModelError, match=f"no connection .* {names[2]}.*check the names"):
                check.result()


def test_a_connection_of_another_call_or_of_another_program_does_not_count():
    names = addresses(2)

    def disturb() -> None:
        host, _, port = names[0].rpartition(":")
        for text in (b"another 1\n", b"\xff\n", b""):
            connected = False
            while not connected:
                with contextlib.suppress(ConnectionError), socket.create_connection((host, int(port))) as connection:
                    connection.sendall(text)
                    connected = True

    with ThreadPoolExecutor(2) as threads:
        disturbed = threads.submit(disturb)
        with pytest.raises(ModelError, match=names[1]):
            connections.check(0, names, "call", 2)
        disturbed.result()


def test_a_port_in_use_is_named():
    names = addresses(2)
    with (
        socket.create_server(("", int(names[0].rpartition(":")[2]))),
        pytest.raises(ModelError, match=f"port of {names[0]} cannot be opened.*choose another port"),
    ):
        connections.check(0, names, "call", 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"machines": ["a:1"]}, "two or more"),
        ({"machines": ["a:1", "a:1"]}, "each machine once"),
        ({"machines": ["a", "b:2"]}, "host:port"),
        ({"machines": ["a:0", "b:2"]}, "host:port"),
        ({"machines": ["a:1", "b:65536"]}, "host:port"),
        ({"gpus": -1}, "greater than or equal to 0"),
    ],
)
def test_wrong_settings_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Training.model_validate(values)


def test_the_latest_call_is_found_and_answered(tmp_path):
    arguments = machines.Arguments(train_files=["a"], transform_graph_path="b", base_model=None, custom_config={})
    call = machines.Call(id="7", step="ranking", arguments=arguments)
    files = [tmp_path / step / machines.CALL for step in ("retrieval", "ranking")]
    assert machines.latest(files) is None
    write_json(files[1], call.model_dump())
    assert machines.latest(files) == (files[1], call)
    machines.answer(files[1], 1, call, "no GPU")
    assert read_json(files[1].with_name("1.json")) == {"id": "7", "error": "no GPU"}


def test_the_protocol_needs_no_tensorflow():
    code = (
        "import sys, json, trainer.distribution.follower, trainer.distribution.connections; "
        "print(json.dumps('tensorflow' in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) is False
