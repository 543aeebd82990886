"""The part of the report that shows what some test users were recommended."""

from typing import Any

from pipeline.report.markup import Html, el, join, number, table

Json = dict[str, Any]


def section(lists: list[Json]) -> Html:
    """Return the latest items and the recommended ones of each user."""
    about = (
        "Test users, drawn at random by the seed: their latest items before test, the latest first, and the first "
        "places of their list. ✓ marks a relevant item."
    )
    return join([el("p", about), *map(_user, lists)])


def _user(found: Json) -> Html:
    rows = [
        [
            el("td", place),
            el("td", each["title"], el("small", each["item_id"]), class_="words"),
            el("td", number(each["score"], 3)),
            el("td", _mark() if each["relevant"] else None),
        ]
        for place, each in enumerate(found["items"], start=1)
    ]
    hits = sum(each["relevant"] for each in found["items"])
    history = "; ".join(found["history"]) or "none"
    return el(
        "div",
        el("h3", "User ", el("code", found["user_id"])),
        el("p", f"Latest items: {history}."),
        el("p", f"{hits} of {len(rows)} places hold one of the {found['relevant']:,} relevant items.", class_="note"),
        table(["", "item", "score", "relevant"], rows, f"Recommendations of user {found['user_id']}"),
    )


def _mark() -> Html:
    return join([el("span", "✓", class_="good", aria_hidden="true"), el("span", "relevant", class_="unseen")])
