"""LiteLLM's shapes of a model, for the aliases `/model/new` and `/model/info`: to an entry of the pool, and back.

Only what this service can keep is taken; the names of all else are told, so that nobody relies on it. A key in clear is
refused and never repeated: LiteLLM's own `os.environ/NAME` names the variable that holds it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from app.errors import Unprocessable, refusal
from app.problems import problems_in
from app.schemas.admin import ModelView
from app.schemas.pool import ModelEntry

VARIABLE = "os.environ/"
# Prefixes of litellm_params.model whose upstream speaks OpenAI's protocol.
COMPATIBLE = frozenset({"openai", "custom_openai", "hosted_vllm", "vllm", "lm_studio", "litellm_proxy", "llamafile"})
FOREIGN = frozenset(
    {
        "anthropic",
        "azure",
        "bedrock",
        "cohere",
        "gemini",
        "huggingface",
        "ollama",
        "replicate",
        "sagemaker",
        "vertex_ai",
    }
)
CAPABILITIES = {
    "tools": "supports_function_calling",
    "json": "supports_response_schema",
    "vision": "supports_vision",
}
TOKENS_PER_MTOK = 1e6
# A price per token times a million is a decimal number again, not the nearest float's neighbour.
PRICE_DIGITS = 9
PRICES = {"input_usd_per_mtok": "input_cost_per_token", "output_usd_per_mtok": "output_cost_per_token"}
PARAMS = frozenset({"model", "api_base", "api_key", *PRICES.values()})
INFO = frozenset({"max_input_tokens", *CAPABILITIES.values(), *PRICES.values()})
# Where a body says what an entry of the pool calls otherwise.
THEIRS = {
    "id": "model_name",
    "base_url": "litellm_params.api_base",
    "api_key_env": "litellm_params.api_key",
    "upstream_model": "litellm_params.model",
    "price": "litellm_params, input_cost_per_token or output_cost_per_token",
    "context_tokens": "model_info.max_input_tokens",
}
TOP = frozenset({"model_name", "litellm_params", "model_info"})


def entry_of(body: Any) -> dict[str, Any]:
    """Return the entry of the pool that a body of `/model/new` describes, to be validated like any other.

    Args:
        body: The body, as JSON gives it.

    Raises:
        Unprocessable: A part is missing or of another shape, a key stands there in clear, or no upstream of this
            service speaks the model's protocol.
    """
    if not isinstance(body, dict):
        raise Unprocessable("The body should be a JSON object with model_name and litellm_params")
    params, info = _section(body, "litellm_params"), _section(body, "model_info")
    if "model_name" not in body:
        raise Unprocessable("model_name is missing; add the name that requests use", param="model_name")
    tokens = info.get("max_input_tokens")
    return {
        "id": body["model_name"],
        "provider": "openai",
        "base_url": _address(params),
        "api_key_env": _variable(params.get("api_key")),
        "upstream_model": _upstream(params.get("model")),
        "price": {ours: _price(theirs, params, info) for ours, theirs in PRICES.items()},
        "capabilities": [ours for ours, theirs in CAPABILITIES.items() if info.get(theirs) is True],
    } | ({} if tokens is None else {"context_tokens": tokens})


def ignored_in(body: Mapping[str, Any]) -> list[str]:
    """Return the names of what a body of `/model/new` says and this service does not keep."""
    return sorted(_ignored(body))


def _ignored(body: Mapping[str, Any]) -> Iterator[str]:
    yield from body.keys() - TOP
    for section, kept in (("litellm_params", PARAMS), ("model_info", INFO)):
        yield from (f"{section}.{name}" for name in _section(body, section).keys() - kept)


def info_of(model: ModelView) -> dict[str, Any]:
    """Describe a model of the pool as `/model/info` does; never with a key."""
    prices = {theirs: getattr(model.price, ours) / TOKENS_PER_MTOK for ours, theirs in PRICES.items()}
    return {
        "model_name": model.id,
        "litellm_params": {"model": f"openai/{model.upstream_model}", "api_base": model.base_url, **prices},
        "model_info": {
            "id": model.id,
            "db_model": model.source == "api",
            "mode": "chat",
            "litellm_provider": "openai",
            "max_input_tokens": model.context_tokens,
            **prices,
            **{theirs: ours in model.capabilities for ours, theirs in CAPABILITIES.items()},
            "state": model.state,
            "reason": model.reason,
        },
    }


def _section(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name, {})
    if not isinstance(found, dict):
        raise Unprocessable(f"{name} should be a JSON object", param=name)
    return found


def _address(params: Mapping[str, Any]) -> Any:
    if params.get("api_base") is None:
        raise Unprocessable(
            "litellm_params.api_base is missing; add the address of the OpenAI-compatible server",
            param="litellm_params.api_base",
        )
    return params["api_base"]


def _variable(key: Any) -> str | None:
    """Return the variable that a key names; the key itself is never told."""
    if key is None:
        return None
    if not isinstance(key, str) or not key.startswith(VARIABLE):
        raise Unprocessable(
            "litellm_params.api_key should name the environment variable that holds the key, such as "
            f"{VARIABLE}OPENAI_API_KEY; a key in clear is not taken",
            param="litellm_params.api_key",
        )
    return key.removeprefix(VARIABLE)


def _upstream(model: Any) -> str:
    """Return the name that is sent upstream, without LiteLLM's provider."""
    if not isinstance(model, str) or not model:
        raise Unprocessable(
            "litellm_params.model should be openai/ and the name sent upstream", param="litellm_params.model"
        )
    provider, _, name = model.partition("/")
    if name and provider in FOREIGN:
        raise Unprocessable(
            f"litellm_params.model asks for the provider {provider}; this service calls OpenAI-compatible servers: use "
            "openai/NAME and api_base",
            param="litellm_params.model",
        )
    return name if name and provider in COMPATIBLE else model


def _price(name: str, params: Mapping[str, Any], info: Mapping[str, Any]) -> float:
    usd = params.get(name, info.get(name))
    if not isinstance(usd, int | float) or isinstance(usd, bool):
        what = "is missing" if usd is None else "should be a number"
        raise Unprocessable(f"litellm_params.{name} {what}; add USD per token", param=f"litellm_params.{name}")
    return round(usd * TOKENS_PER_MTOK, PRICE_DIGITS)


def read_entry(body: Any) -> ModelEntry:
    """Read a body of `/model/new`.

    Raises:
        Unprocessable: It cannot be read, see `entry_of`, or what it says makes no entry.
    """
    entry = entry_of(body)
    try:
        return ModelEntry.model_validate(entry)
    except ValidationError as err:
        problems = problems_in(err.errors(include_url=False), entry)
        told = [replace(problem, loc=(THEIRS.get(str(problem.loc[0]), problem.loc[0]),)) for problem in problems]
        raise refusal(Unprocessable, told) from err
