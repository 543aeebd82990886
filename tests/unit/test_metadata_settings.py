"""The section `metadata` of a configuration: its errors, and the connection as ML Metadata receives it."""

import pytest
from configurations import check_refused, load
from facts import facts
from google.protobuf.wrappers_pb2 import StringValue
from ml_metadata.proto import metadata_store_pb2 as mlmd

from core.errors import UsageError
from pipeline.config import paths
from pipeline.config.metadata import PASSWORD
from pipeline.lineage import postgresql
from pipeline.lineage.database import Server, SQLite


def test_a_file_in_the_run_folder_is_the_default(tmp_path):
    loaded = load(tmp_path, "run_folder: r")
    database = paths.metadata_database(loaded)
    assert database == SQLite(tmp_path / "r" / "metadata.sqlite")
    assert database.message().sqlite.filename_uri == str(tmp_path / "r" / "metadata.sqlite")
    assert paths.pipeline_root(loaded) == tmp_path / "r" / "pipeline"


def test_postgresql(tmp_path):
    (tmp_path / "password").write_text("it's \\\n")
    (tmp_path / "ca.pem").touch()
    keys = (
        "host: db, port: 5433, database: ml, user: me, password_file: password, ssl_mode: verify-full, ca_file: ca.pem"
    )
    database = paths.metadata_database(load(tmp_path, f"metadata: {{postgresql: {{{keys}}}}}"))
    assert isinstance(database, Server)
    assert str(database) == "postgresql://me@db:5433/ml"
    server = database.message().postgresql
    assert (server.host, server.port, server.dbname, server.user) == ("db", "5433", "ml", "me")
    assert server.password == r"'it\'s \\'"
    assert (server.ssloption.sslmode, server.ssloption.sslrootcert) == ("verify-full", f"'{tmp_path}/ca.pem'")


def test_mysql(tmp_path, monkeypatch):
    monkeypatch.setenv(PASSWORD, "it's \\")
    (tmp_path / "ca.pem").touch()
    keys = "host: db, user: me, ca_file: ca.pem, verify_server: true"
    database = paths.metadata_database(load(tmp_path, f"metadata: {{mysql: {{{keys}}}}}"))
    server = database.message().mysql
    assert (server.host, server.port, server.database, server.user) == ("db", 3306, "twostep", "me")
    assert server.password == "it's \\"
    assert (server.ssl_options.ca, server.ssl_options.verify_server_cert) == (str(tmp_path / "ca.pem"), True)


def test_artifacts_of_different_databases_are_in_different_folders(tmp_path):
    roots = {
        paths.pipeline_root(load(tmp_path, f"metadata: {section}"))
        for section in (
            "{}",
            "{postgresql: {host: a, user: u}}",
            "{postgresql: {host: b, user: u}}",
            "{postgresql: {host: a, user: u, database: d}}",
            "{mysql: {host: a, user: u}}",
        )
    }
    assert len(roots) == 5
    one = load(tmp_path, "metadata: {mysql: {host: a, user: u}}")
    assert paths.pipeline_root(one) == paths.pipeline_root(load(tmp_path, "metadata: {mysql: {host: a, user: v}}"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{postgresql: {host: a, user: u}, mysql: {host: a, user: u}}", "metadata: … either"),
        ("{postgresql: {user: u}}", "metadata.postgresql.host … required"),
        ("{postgresql: {host: 'a b', user: u}}", "metadata.postgresql.host … 'a b'"),
        ("{postgresql: {host: a, user: u, password: p}}", "metadata.postgresql.password … `password_file`"),
        ("{postgresql: {host: a, user: u, database: 'a-b'}}", "metadata.postgresql.database … 'a-b'"),
        ("{postgresql: {host: a, user: u, ssl_mode: verify-ca}}", "metadata.postgresql: … `ca_file`"),
        ("{mysql: {host: a, user: u, verify_server: true}}", "metadata.mysql: … `ca_file`"),
        ("{mysql: {host: a, user: u, port: 0}}", "metadata.mysql.port … at least 1"),
    ],
)
def test_a_wrong_section_names_the_key(tmp_path, section, message):
    check_refused(tmp_path, f"metadata: {section}", message)


@pytest.mark.parametrize("content", [None, "", "two\nlines"])
def test_a_password_file_that_holds_none(tmp_path, content):
    if content is not None:
        (tmp_path / "password").write_text(content)
    loaded = load(tmp_path, "metadata: {mysql: {host: a, user: u, password_file: password}}")
    with pytest.raises(UsageError, match=facts(f"metadata.mysql.password_file … {tmp_path}/password")):
        paths.metadata_database(loaded).message()


def test_a_server_that_does_not_answer(tmp_path):
    loaded = load(tmp_path, "metadata: {mysql: {host: 127.0.0.1, port: 9, user: u}}")
    with pytest.raises(UsageError, match=facts("metadata.mysql … 127.0.0.1:9 … does not answer")):
        paths.metadata_database(loaded).check()


@pytest.mark.parametrize("text", ["a\\b", "x" * 2001, "é" * 1001])
def test_a_text_that_postgresql_refuses_is_stored_as_a_message(text):
    value = mlmd.Value(string_value=text)
    postgresql.wrap(value)
    assert value.proto_value.Is(StringValue.DESCRIPTOR)
    postgresql.unwrap(value)
    assert value == mlmd.Value(string_value=text)


@pytest.mark.parametrize("value", [mlmd.Value(string_value="'"), mlmd.Value(int_value=3), mlmd.Value()])
def test_other_values_stay(value):
    before = mlmd.Value.FromString(value.SerializeToString())
    postgresql.wrap(value)
    assert value == before
    postgresql.unwrap(value)
    assert value == before
