"""The choice of the deliveries of dated tables, by `{SPAN}`, `{VERSION}` and dates in their paths."""

import datetime
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from components.table_example_gen.sources import TableSource
from core.errors import UsageError
from pipeline.config.data import Spans, is_dated

_EPOCH = datetime.date(1970, 1, 1)
_PLACEHOLDER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
_DIGITS = {"YYYY": 4, "MM": 2, "DD": 2}


@dataclass
class _Delivery:
    """A span of a table and its versions, as in the file names."""

    label: str
    tokens: dict[str, str]
    versions: dict[int, str] = field(default_factory=dict)


def choose(
    paths: Mapping[str, str], spans: Spans, base: str, match: Callable[[str, str], list[str]]
) -> dict[str, TableSource]:
    """Return the files of each table; if its path marks spans, the newest version of each selected span.

    Args:
      paths: table → its configured path.
      spans: the configured selection.
      base: the folder that the paths are relative to.
      match: (base, glob) → paths that match.

    Returns:
      Table → its files. If no table whose path marks spans has a file, the patterns are the configured paths.

    Raises:
      UsageError: the span of a file is not a number or a date, no span is selected, or a table lacks a span that
        another has.
    """
    found = {table: _deliveries(table, path, base, match) for table, path in paths.items() if is_dated(path)}
    chosen = _chosen(found, spans, base, paths) if any(found.values()) else []
    sources = {}
    for table, path in paths.items():
        if table not in found or not chosen:
            sources[table] = TableSource(base, (path,))
            continue
        deliveries = [found[table][number] for number in chosen]
        patterns = tuple(_filled(path, delivery) for delivery in deliveries)
        sources[table] = TableSource(base, patterns, tuple(each.label for each in deliveries), chosen[-1])
    return sources


def _chosen(found: Mapping[str, dict[int, _Delivery]], spans: Spans, base: str, paths: Mapping[str, str]) -> list[int]:
    """Return the numbers of the selected spans, ascending."""
    owners = {number: table for table, deliveries in found.items() for number in deliveries}
    numbers = sorted(owners)
    if spans.first is not None and spans.last is not None:
        first, last = _number(spans.first), _number(spans.last)
        chosen = [number for number in numbers if first <= number <= last]
    else:
        chosen = numbers[-(spans.newest or 1) :]
    if not chosen:
        available = _listed(found[owners[number]][number].label for number in numbers)
        raise UsageError(f"data.spans: selects no span; available below {base}: {available}. Choose among these.")
    lacking = [
        f"  data.{table}: lacks span {found[owners[number]][number].label}, which data.{owners[number]} has: "
        f"{base}/{_filled(paths[table], found[owners[number]][number])}"
        for table, deliveries in found.items()
        for number in chosen
        if number not in deliveries
    ]
    if lacking:
        raise UsageError(
            "the tables whose paths mark spans should have the same spans:\n"
            + "\n".join(lacking)
            + "\nDeliver the missing files, or choose other spans in `data.spans`, such as {first: 2, last: 5}."
        )
    return chosen


def _deliveries(table: str, path: str, base: str, match: Callable[[str, str], list[str]]) -> dict[int, _Delivery]:
    """Return the spans of a table by number."""
    try:
        pattern = re.compile(_regex(path))
    except re.error as error:
        raise UsageError(f"data.{table}.path: {path!r} should be a pattern of files: {error}") from None
    deliveries: dict[int, _Delivery] = {}
    for file in match(base, _PLACEHOLDER.sub("*", path)):
        name = file.removeprefix(base).lstrip("/")
        matched = pattern.fullmatch(name)
        tokens = matched.groupdict() if matched else {}
        number = _span_number(tokens)
        if number is None:
            raise UsageError(
                f"data.{table}: {file}: should have digits in place of the marks of {path!r}"
                + (", and a date that exists" if "{YYYY}" in path else "")
                + ". Rename the file, or move it so that the pattern does not match."
            )
        version = tokens.pop("VERSION", None)
        label = tokens.get("SPAN") or "-".join(tokens[part] for part in _DIGITS)
        delivery = deliveries.setdefault(number, _Delivery(label, tokens))
        if delivery.label != label:
            raise UsageError(
                f"data.{table}: span {number} exists twice, as {delivery.label!r} and as {label!r}, below {base}. "
                "Keep one of them."
            )
        if version is not None and delivery.versions.setdefault(int(version), version) != version:
            raise UsageError(
                f"data.{table}: version {int(version)} of span {label} exists twice, as "
                f"{delivery.versions[int(version)]!r} and as {version!r}, below {base}. Keep one of them."
            )
    return deliveries


def _span_number(tokens: Mapping[str, str]) -> int | None:
    """Return the number of a span; for a date, the days since 1970-01-01, as in TFX; None for an invalid date."""
    if "SPAN" in tokens:
        return int(tokens["SPAN"])
    try:
        return _number(datetime.date(*(int(tokens[part]) for part in _DIGITS)))
    except (KeyError, ValueError):
        return None


def _number(span: int | datetime.date) -> int:
    return (span - _EPOCH).days if isinstance(span, datetime.date) else span


def _regex(path: str) -> str:
    """Return a path with marks as a regular expression with one group per mark."""
    out, end = "", 0
    for mark in _PLACEHOLDER.finditer(path):
        name, width = mark[1], mark[2] or _DIGITS.get(mark[1])
        out += _glob_regex(path[end : mark.start()]) + f"(?P<{name}>[0-9]{f'{{{width}}}' if width else '+'})"
        end = mark.end()
    return out + _glob_regex(path[end:])


def _glob_regex(part: str) -> str:
    pieces = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    split = re.split(r"(\*\*/|\*|\?|\[[^\]]+\])", part)
    return "".join(
        pieces.get(each, each.replace("[!", "[^", 1) if each[:1] == "[" else re.escape(each)) for each in split
    )


def _filled(path: str, delivery: _Delivery) -> str:
    """Return a path with the marks of a span and its newest version filled in."""
    newest = delivery.versions[max(delivery.versions)] if delivery.versions else None
    tokens = delivery.tokens | ({"VERSION": newest} if newest is not None else {})
    return _PLACEHOLDER.sub(lambda mark: tokens.get(mark[1], mark[0]), path)


def _listed(labels: Iterable[str]) -> str:
    shown = list(labels)
    return ", ".join(shown if len(shown) <= 6 else [*shown[:3], "…", *shown[-3:]])
