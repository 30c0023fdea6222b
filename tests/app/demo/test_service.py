import socket
import sys
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
import yaml

from app.demo.service import any_free_port, choose_port, configuration, environment, is_free, running, shared_embedding
from app.demo.worlds import DemoError, World
from app.settings import Settings

FAKE = (sys.executable, str(Path(__file__).with_name("fake_service.py")))


def test_the_configuration_has_an_embedded_store_the_budget_and_the_pool_without_the_late_model(
    make_world: Callable[..., World],
) -> None:
    config = configuration(make_world(), "http://127.0.0.1:1/v1", Path("/data/embedding"))
    assert config["storage"] == {"url": "sqlite:///headrace.db"}
    assert config["objective"] == {"kind": "budget", "usd_per_request": 1e-4}
    assert [model["id"] for model in config["models"]] == ["small", "large"]
    assert config["embedding"] == {"path": "/data/embedding"}
    assert Settings.model_validate(config).objective.kind == "budget"


def test_the_embedding_is_that_of_the_users_own_service() -> None:
    assert shared_embedding({"HEADRACE_DATA_DIR": "/data"}) == Path("/data/embedding")


def test_the_service_sees_none_of_the_users_own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HEADRACE_ADMIN_KEY", "secret")
    monkeypatch.setenv("UNRELATED", "kept")
    found = environment(tmp_path)
    assert "HEADRACE_ADMIN_KEY" not in found
    assert (found["UNRELATED"], found["HEADRACE_DATA_DIR"]) == ("kept", str(tmp_path))


def test_a_port_that_is_asked_for_and_taken_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(DemoError, match=f"port {port} of 127.0.0.1 is taken"):
            choose_port(port)
    assert choose_port(port) == port  # it is free again


def test_without_a_wish_some_free_port_is_chosen() -> None:
    assert is_free(choose_port(None))


async def test_the_service_is_ready_inside_the_context_and_gone_after_it(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    port, config = any_free_port(), configuration(make_world(), "http://127.0.0.1:1/v1", tmp_path)
    async with (
        running(FAKE, config, port=port, folder=tmp_path) as process,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/readyz") as reply,
    ):
        assert reply.status == 200
    assert process.returncode is not None
    assert is_free(port)
    assert yaml.safe_load((tmp_path / "headrace.yaml").read_text()) == config


async def test_a_service_that_ends_at_once_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "raise SystemExit('unknown key: modles')")
    with pytest.raises(DemoError, match=r"ended with status 1(.|\n)*unknown key: modles"):
        async with running(command, {}, port=any_free_port(), folder=tmp_path):
            pytest.fail("it never became ready")


async def test_an_error_inside_the_context_ends_the_service_too(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    port = any_free_port()
    with pytest.raises(ZeroDivisionError):
        async with running(FAKE, configuration(make_world(), "http://h/v1", tmp_path), port=port, folder=tmp_path):
            raise ZeroDivisionError
    assert is_free(port)
