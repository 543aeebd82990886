"""The section of the report with sample recommendations."""

from typing import Any

from pipeline.report.markup import Html, el, join, number, table

Json = dict[str, Any]


def section(lists: list[Json]) -> Html:
    """Return the section with the history and the recommendations of each user."""
    about = (
        "A random sample of test users, with their latest items before test, latest first, and the first positions of "
        "their list. ✓ marks a relevant item."
    )
    return join([el("p", about), *map(_user, lists)])


def _user(sample: Json) -> Html:
    """Return the history and the recommendations of a user."""
    rows = [
        [
            el("td", position),
            el("td", each["title"], el("small", each["item_id"]), class_="words"),
            el("td", number(each["score"], 3)),
            el("td", _mark() if each["relevant"] else None),
        ]
        for position, each in enumerate(sample["items"], start=1)
    ]
    hits = sum(each["relevant"] for each in sample["items"])
    history = "; ".join(sample["history"]) or "none"
    return el(
        "div",
        el("h3", "User ", el("code", sample["user_id"])),
        el("p", f"Latest items: {history}."),
        el(
            "p", f"{hits} of the {sample['relevant']:,} relevant items are in the {len(rows)} positions.", class_="note"
        ),
        table(["", "item", "score", "relevant"], rows, f"Recommendations for user {sample['user_id']}"),
    )


def _mark() -> Html:
    """Return the mark of a relevant item."""
    return join([el("span", "✓", class_="good", aria_hidden="true"), el("span", "relevant", class_="unseen")])
