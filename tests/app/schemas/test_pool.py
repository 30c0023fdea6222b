from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.schemas.pool import ModelEntry, ModelPatch, Price

PRICE = {"input_usd_per_mtok": 0.075, "output_usd_per_mtok": 0.3}
ENTRY: dict[str, Any] = {"id": "m", "provider": "openai", "base_url": "http://127.0.0.1:9000/v1", "price": PRICE}


def entry(**changes: Any) -> ModelEntry:
    return ModelEntry.model_validate(ENTRY | changes)


def places(body: dict[str, Any]) -> list[tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as raised:
        ModelEntry.model_validate(body)
    return [error["loc"] for error in raised.value.errors()]


def test_the_least_entry_gets_the_defaults() -> None:
    model = entry()
    assert model.upstream_model == "m"
    assert model.context_tokens == 128_000
    assert model.api_key_env is None
    assert model.prior_quality is None
    assert model.capabilities == ()
    assert model.routable


def test_a_full_entry_is_kept_as_given() -> None:
    given_fields = {
        "api_key_env": "SOME_KEY_2",
        "upstream_model": "vendor/m",
        "context_tokens": 8_000,
        "prior_quality": 1,
        "capabilities": ["tools", "json", "vision", "logprobs"],
        "routable": False,
    }
    kept = entry(**given_fields).model_dump(mode="json")
    assert kept == ENTRY | given_fields


def test_an_entry_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        entry().routable = False  # type: ignore[misc]  # the frozen model is what is tested


def test_the_price_is_required_and_named() -> None:
    assert places({key: value for key, value in ENTRY.items() if key != "price"}) == [("price",)]


def test_an_explicit_price_of_0_is_allowed() -> None:
    assert entry(price={"input_usd_per_mtok": 0, "output_usd_per_mtok": 0}).price.input_usd_per_mtok == 0


@pytest.mark.parametrize("usd", [-0.01, 1e6 + 1, float("inf"), float("nan"), True, "1", None])
def test_a_price_is_a_number_from_0_to_a_dollar_a_token(usd: object) -> None:
    assert places(ENTRY | {"price": PRICE | {"output_usd_per_mtok": usd}}) == [("price", "output_usd_per_mtok")]


@given(st.floats(0.0, 1e6), st.floats(0.0, 1e6))
def test_every_such_price_is_kept(input_usd: float, output_usd: float) -> None:
    price = Price(input_usd_per_mtok=input_usd, output_usd_per_mtok=output_usd)
    assert (price.input_usd_per_mtok, price.output_usd_per_mtok) == (input_usd, output_usd)


@pytest.mark.parametrize(
    "model_id", ["", "auto", "auto:", "auto:cheap", "a b", "a\n", "\ta", "é", "x" * 201, 4.1, None]
)
def test_an_id_is_visible_text_and_not_auto(model_id: object) -> None:
    assert ("id",) in places(ENTRY | {"id": model_id})


@pytest.mark.parametrize("model_id", ["automatic", "gpt-4.1", "meta-llama/Llama-3.1:free", "x" * 200])
def test_other_ids_are_allowed(model_id: str) -> None:
    assert entry(id=model_id).upstream_model == model_id


def test_openai_needs_an_address() -> None:
    assert places({key: value for key, value in ENTRY.items() if key != "base_url"}) == [("base_url",)]


def test_a_fake_model_needs_none() -> None:
    assert ModelEntry.model_validate({"id": "f", "provider": "fake", "price": PRICE}).base_url is None


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://h/v1",
        "127.0.0.1:9000",
        "http://",
        "http://h:99999/v1",
        "http://[::1/v1",
        "http://h/v1 2",
        "http://user:pw@h/v1",
        "https://h/v1?key=abc",
        "https://h/v1#x",
        5,
    ],
)
def test_the_address_is_bare_http(base_url: object) -> None:
    assert places(ENTRY | {"base_url": base_url}) == [("base_url",)]


def test_the_slash_at_the_end_of_the_address_is_dropped() -> None:
    assert entry(base_url="https://h/v1/").base_url == "https://h/v1"


@pytest.mark.parametrize("value", ["sk-live-abcdef", "AIzaSyAbc123", "my_key", "A KEY", "", "$KEY", "1KEY", "KEY\n"])
def test_a_key_where_the_name_of_a_variable_is_wanted_is_refused_unseen(value: str) -> None:
    with pytest.raises(ValidationError, match="name of an environment variable") as raised:
        entry(api_key_env=value)
    assert not value or value not in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("provider", "anthropic"),
        ("context_tokens", 0),
        ("context_tokens", 1.5),
        ("prior_quality", 1.01),
        ("prior_quality", "high"),
        ("capabilities", ["tool"]),
        ("capabilities", "tools"),
        ("routable", "no"),
        ("upstream_model", 5),
        ("pricing", {}),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object) -> None:
    assert places(ENTRY | {field: value})[0][0] == field


def test_a_patch_changes_only_what_it_gives() -> None:
    changed = ModelPatch.model_validate({"routable": False, "capabilities": ["json"]}).applied_to(entry())
    assert changed == entry(routable=False, capabilities=["json"])


def test_a_price_can_be_patched() -> None:
    new = {"input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
    assert ModelPatch.model_validate({"price": new}).applied_to(entry()) == entry(price=new)


@pytest.mark.parametrize("body", [{}, {"routable": None}, {"id": "n"}, {"price": {"input_usd_per_mtok": 1}}])
def test_a_patch_of_nothing_or_of_the_unchangeable_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelPatch.model_validate(body)
