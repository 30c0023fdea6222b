"""The dashboard: one page, its style and its script, served as they are."""

from importlib.resources import files

# By name, with the type that a browser is told.
FILES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def read(name: str) -> bytes:
    """Return one of the page's files."""
    return files(__name__).joinpath(name).read_bytes()
