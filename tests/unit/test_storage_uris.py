"""Places as text: parsing, joining, and keys that stay below a folder."""

from pathlib import Path

import pytest
from facts import facts
from hypothesis import given
from hypothesis import strategies as st

from core.errors import StorageError, UsageError
from core.storage import uris


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("s3://bucket", ("s3", "bucket", "")),
        ("s3://bucket/", ("s3", "bucket", "")),
        ("gs://my.bucket-1/a/b", ("gs", "my.bucket-1", "a/b")),
        ("gs://bucket/a/b/", ("gs", "bucket", "a/b")),
        ("s3://bucket/ä b%20", ("s3", "bucket", "ä b%20")),
    ],
)
def test_a_uri_has_a_scheme_a_bucket_and_a_prefix(text, parts):
    parsed = uris.parse(text)
    assert (parsed.scheme, parsed.bucket, parsed.prefix) == parts
    assert str(parsed) == text.rstrip("/")
    assert uris.placed(text) == text.rstrip("/")
    assert uris.is_uri(text)


@pytest.mark.parametrize(
    "text",
    [
        *("http://host/x", "S3://bucket/x", "s3://", "s3:///x", "s3://UPPER/x", "s3://ab/x", "s3://user@host/x"),
        *(
            "gs://bucket//x",
            "gs://bucket/../x",
            "gs://bucket/a/./b",
            "s3://bucket/a\nb",
            "s3://bucket/a\\b",
            "file:///x",
        ),
    ],
)
def test_a_wrong_uri_is_refused(text):
    assert uris.is_uri(text)
    with pytest.raises(UsageError, match=r"(?s)s3://|Correct"):
        uris.placed(text)


@pytest.mark.parametrize("text", ["releases", "/a/b", "../x", "a:b", "s3:/bucket", "C:\\x", ""])
def test_all_else_is_a_path(text):
    assert not uris.is_uri(text)
    assert uris.placed(text) == Path(text)


def test_keys_are_joined_with_single_slashes():
    assert uris.joined("s3://bucket", "a/b", "c") == "s3://bucket/a/b/c"
    assert uris.joined(Path("/x"), "a") == "/x/a"
    with pytest.raises(StorageError, match=facts("'../a' … Rename")):
        uris.joined("s3://bucket", "../a")


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "..", "a/..", "a/../b", "./a", "a//b", "a/", "a\\b", "a\0b", "x" * 1025]
)
def test_a_key_that_would_leave_the_folder_is_refused(key):
    with pytest.raises(StorageError, match="Rename"):
        uris.confined(Path("/folder"), key)


@given(st.text(max_size=30))
def test_every_accepted_key_is_below_the_folder(key):
    folder = Path("/a/folder")
    if uris.is_key(key):
        path = uris.confined(folder, key)
        assert folder in path.parents
        assert Path(*path.parts) == path
        assert path.relative_to(folder).as_posix() == key
