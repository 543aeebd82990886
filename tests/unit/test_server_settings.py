"""The settings of a server."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from serving.server.settings import ServerSettings

TOKEN = "a token of the tests"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_the_loopback_needs_no_token(host):
    assert ServerSettings(host=host).token is None


def test_another_address_needs_a_token():
    with pytest.raises(ValidationError, match=r"a server on 0\.0\.0\.0 .* needs a token"):
        ServerSettings(host="0.0.0.0")
    assert ServerSettings(host="0.0.0.0", token=TOKEN).token == TOKEN


def test_a_short_token_is_refused_and_no_token_is_shown():
    with pytest.raises(ValidationError) as error:
        ServerSettings(token="secret")
    [message] = [each["msg"] for each in error.value.errors()]
    assert "at least 16 characters; found 6" in message
    assert "secret" not in message
    assert TOKEN not in repr(ServerSettings(token=TOKEN))


def test_the_document_has_all_settings_as_they_are():
    text = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    for name, field in ServerSettings.model_fields.items():
        if name not in ("host", "port", "token", "workers"):
            default = "" if field.default is None else f"{field.default:,}".removesuffix(".0")
            assert f"| `{name}` | {default} | {field.description} |" in text, name
