"""The frame of the HTML pages: the head with the style, and the body."""

from pipeline.report.markup import Html, el
from pipeline.report.style import STYLE

# The page loads nothing and runs no script, even if text from the data contains markup.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def document(title: str, *body: Html) -> str:
    """Return a page as an HTML document.

    Args:
      title: the title of the page.
      body: the elements of the body.
    """
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", Html(STYLE)),
    )
    return f"<!doctype html>\n{el('html', head, el('body', *body), lang='en')}\n"
