"""Values of the wrong type for each key of a configuration: an error with one message or a valid value, no crash."""

from collections.abc import Iterator
from typing import Any

import pytest

from core.errors import UsageError
from pipeline import config
from pipeline.config.explain import ANY_KEY, Key, tree
from trainer.ranking.registry import MODELS as RANKING
from trainer.retrieval.registry import MODELS as RETRIEVAL

VALUES = [
    "true", "''", "x", "[]", "{}", "[1, x, null, true]", "{a: {}}", "-1", "1000000000000000000000000000000",
    ".nan", '"\\u202e\\e[2J"', "os:system",
]  # fmt: skip


def places(keys: tuple[Key, ...], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key in keys:
        name = "c" if key.name == ANY_KEY else key.name
        yield (*above, name)
        yield from places(key.below, (*above, name))


PLACES = sorted({*places(tree())})


def text_of(place: tuple[str, ...], value: str) -> str:
    """Return a YAML configuration in flow style with `value` at the key `place` and with the required keys."""
    if (place[:2] == ("evaluation", "rules") and len(place) > 2) or (
        place[:2] == ("reranking", "caps") and len(place) > 2
    ):
        inner = f"[{{{place[2]}: {value}}}]"
    else:
        inner = None
    found = value if inner is None else inner
    for name in reversed(place if inner is None else place[:2]):
        found = f"{{{name}: {found}}}"
    base = {"name": "name: x", "data": "data: {root: .}"}
    base.pop(place[0], None)
    return "{" + ", ".join([*base.values(), found[1:-1]]) + "}"


def outcome(file: Any, text: str) -> str:
    """Return the error of loading a configuration; empty if it is accepted."""
    file.write_text(text, encoding="utf-8")
    try:
        config.load(file)
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("value", VALUES)
def test_a_wrong_value_at_any_key_is_one_message(tmp_path, value):
    file = tmp_path / "x.yaml"
    refused = 0
    for place in PLACES:
        message = outcome(file, text_of(place, value))
        refused += bool(message)
        assert "Traceback" not in message
        assert "pydantic" not in message
        assert "\x1b" not in message.replace(str(file), "")
        assert len(message) < 3000, (place, message[:500])
    assert refused > len(PLACES) / 4


@pytest.mark.parametrize("value", VALUES)
def test_a_wrong_value_of_any_setting_of_any_model_is_one_message(tmp_path, value):
    file = tmp_path / "x.yaml"
    for step, registry in (("retrieval", RETRIEVAL), ("ranking", RANKING)):
        for name, entry in registry.entries.items():
            for setting in entry.settings.model_fields:
                message = outcome(
                    file, f"{{name: x, data: {{root: .}}, {step}: {{model: {name}, params: {{{setting}: {value}}}}}}}"
                )
                assert "Traceback" not in message
                assert len(message) < 3000, (name, setting, message[:500])


@pytest.mark.parametrize("value", VALUES)
def test_a_wrong_value_of_a_member_of_a_fusion_is_one_message(tmp_path, value):
    for member in (value, f"{{model: {value}}}", f"{{model: fusion, models: {value}}}"):
        inner = f"{{a: {member}, ease: {{}}}}"
        text = f"{{name: x, data: {{root: .}}, retrieval: {{model: fusion, params: {{models: {inner}}}}}}}"
        assert outcome(tmp_path / "x.yaml", text)
