"""The dashboard is one page of static files: open, without data, and unable to run or load anything from elsewhere."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.dashboard import FILES, read
from tests.app.harness import House

PATHS = ("/", *(f"/dashboard/{name}" for name in FILES))
PAGE, STYLE, SCRIPT = (read(name).decode() for name in ("index.html", "style.css", "page.js"))


@pytest.mark.parametrize("path", PATHS)
async def test_its_files_are_open_and_closed_to_everything_from_elsewhere(
    open_house: Callable[..., Any], path: str
) -> None:
    house = await open_house(admin_key="sesame")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url="http://headrace") as stranger:
        reply = await stranger.get(path)
    assert reply.status_code == 200
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "sesame" not in reply.text


async def test_what_it_shows_is_asked_for_with_a_key(open_house: Callable[..., Any]) -> None:
    house = await open_house(admin_key="sesame")
    asked = re.findall(r': "(\w+)"', SCRIPT.split("const PATHS = {")[1].split("};")[0])
    assert {"learner", "spend", "savings"} <= set(asked)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(house.app), base_url="http://headrace") as stranger:
        for name in asked:
            assert (await stranger.get(f"/v1/admin/{name}")).status_code == 401
            assert (await house.client.get(f"/v1/admin/{name}")).status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2F__init__.py", "__init__.py", ""])
async def test_nothing_else_is_served(house: House, name: str) -> None:
    assert (await house.client.get(f"/dashboard/{name}")).status_code == 404


def test_values_come_into_the_page_as_text_only() -> None:
    ways_in = (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "DOMParser",
        "srcdoc",
    )
    assert not [way for way in (*ways_in, "javascript:") if way in SCRIPT]


def test_the_page_has_nothing_inline_and_names_no_other_host() -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", PAGE)
    for text in (PAGE, STYLE, SCRIPT):
        assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert "@import" not in text
        assert "url(" not in text


def test_the_key_goes_into_a_header_and_the_tabs_storage_and_nowhere_else() -> None:
    assert "localStorage" not in SCRIPT
    assert "document.cookie" not in SCRIPT
    assert "Authorization: `Bearer ${key}`" in SCRIPT
    assert SCRIPT.count("${key}") == 1


def test_every_place_that_the_script_fills_is_there_and_named() -> None:
    filled = set(re.findall(r'(?:byId\(|show\(\s*)"([\w-]+)"', SCRIPT))
    ids = set(re.findall(r'\bid="([\w-]+)"', PAGE))
    assert filled <= ids
    assert {"savings", "models", "spend", "judges", "drift", "policy", "jobs", "glance"} <= filled
    labelled = re.findall(r'aria-labelledby="([\w-]+)"', PAGE)
    assert labelled
    assert set(labelled) <= ids
    assert all(landmark in PAGE for landmark in ("<header>", "<main ", "<footer>", 'lang="en"'))
