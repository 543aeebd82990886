"""The page at `/`: files of `serving/page`, which request nothing but the routes of this server."""

from pathlib import Path

from fastapi import FastAPI, HTTPException, Response

FILES = Path(__file__).parents[1] / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add(app: FastAPI) -> None:
    """Add the routes of the page."""
    files = {path.name: (path.read_bytes(), TYPES[path.suffix]) for path in sorted(FILES.iterdir())}

    @app.get("/", include_in_schema=False)
    def index() -> Response:
        return _file("index.html")

    @app.get("/page/{name}", include_in_schema=False)
    def part(name: str) -> Response:
        return _file(name)

    def _file(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, f"There is no file {name!r}.")
        content, kind = files[name]
        return Response(content, media_type=kind, headers=HEADERS)
