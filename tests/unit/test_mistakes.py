"""The one-line messages for mistakes in settings."""

from typing import ClassVar

import pytest
from pydantic import ValidationError

from core import mistakes
from core.settings import Settings


class Inner(Settings):
    """A group whose key was renamed."""

    RENAMED: ClassVar = {"former": "present"}
    present: int = 0


class Outer(Settings):
    """Settings with a nested group in each possible position: a field, a list, an optional field."""

    one: Inner = Inner()
    several: tuple[Inner, ...] = ()
    optional: Inner | None = None


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"one": {"former": 1}}, "one.former"),
        ({"several": [{}, {"former": 1}]}, "several.1.former"),
        ({"optional": {"former": 1}}, "optional.former"),
    ],
)
def test_a_former_key_is_answered_with_the_present_one(values, place):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    [line] = [mistakes.explained(Outer, error) for error in caught.value.errors()]
    assert line.startswith(f"{place}: ")
    assert "`present`" in line


def test_another_unknown_key_is_not_taken_for_a_former_one():
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"one": {"other": 1}, "former": 1})
    lines = [mistakes.explained(Outer, error) for error in caught.value.errors()]
    assert [line.partition(":")[0] for line in lines] == ["one.other", "former"]
    assert not any("now called" in line for line in lines)
