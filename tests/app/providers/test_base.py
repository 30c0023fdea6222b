import pytest

from app.providers import CallFailed, Completion, Endpoint, Outcome, read_completion

KEY = "sk-secret-0123456789"


def endpoint(base_url: str = "https://host.example/v1", api_key: str | None = KEY) -> Endpoint:
    return Endpoint("small", base_url, "vendor/small", api_key, 0.5, 2.0)


def completion(**changes: object) -> Completion:
    choice = {"index": 0, "message": {"role": "assistant", "content": "four"}, "finish_reason": "stop"} | changes
    return read_completion({"choices": [choice]}, request={"messages": []}, latency_s=0.0)


def test_an_endpoint_prices_a_call_by_its_tokens() -> None:
    assert endpoint().cost_usd(1_000_000, 500_000) == pytest.approx(1.5)


def test_an_endpoint_never_shows_its_key() -> None:
    assert KEY not in repr(endpoint())


def test_an_endpoint_keeps_a_query_for_calls_and_hides_it_in_logs() -> None:
    azure = endpoint("https://host.example/v1/?api-version=7&key=abc")
    assert azure.chat_url == "https://host.example/v1/chat/completions?api-version=7&key=abc"
    assert azure.address == "https://host.example/v1/chat/completions"


@pytest.mark.parametrize("base_url", ["ftp://host.example/v1", "host.example/v1", "https://", "", "/v1"])
def test_a_base_url_that_is_no_web_address_is_refused(base_url: str) -> None:
    with pytest.raises(ValueError, match=r"base_url of model 'small'.*write it like"):
        endpoint(base_url)


def test_a_base_url_with_credentials_is_refused_without_repeating_them() -> None:
    with pytest.raises(ValueError, match="holds credentials") as caught:
        endpoint("https://user:hunter2@host.example/v1")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("api_key", [KEY + "\n", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(api_key: str) -> None:
    with pytest.raises(ValueError, match="api_key_env") as caught:
        endpoint(api_key=api_key)
    assert api_key.strip() not in str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "status_code", "client_fault"),
    [
        ("timeout", None, False),
        ("unreachable", None, False),
        ("garbage", None, False),
        ("cancelled", None, False),
        ("http_error", None, False),
        ("http_error", 400, True),
        ("http_error", 401, False),
        ("http_error", 413, True),
        ("http_error", 422, True),
        ("http_error", 429, False),
        ("http_error", 503, False),
    ],
)
def test_the_kind_of_failure_says_who_can_do_something_about_it(
    outcome: Outcome, status_code: int | None, client_fault: bool
) -> None:
    assert CallFailed(outcome, "", status_code=status_code).client_fault is client_fault


@pytest.mark.parametrize(
    ("upstream_error", "client_fault"),
    [(None, False), ({"code": "model_not_found"}, False), ({"code": "no_such_file"}, True)],
)
def test_a_404_is_the_clients_fault_only_where_it_is_not_about_the_address_or_the_model(
    upstream_error: dict[str, str] | None, client_fault: bool
) -> None:
    assert CallFailed("http_error", "", status_code=404, upstream_error=upstream_error).client_fault is client_fault


def test_tokens_that_nobody_counted_are_estimated_from_everything_that_was_said() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    request = {
        "messages": [
            {"role": "system", "content": "12345"},
            {"role": "user", "content": [{"type": "text", "text": "1234"}, {"type": "image_url", "image_url": {}}]},
        ]
    }
    plain = read_completion({"choices": [{"message": {"content": "12345"}}]}, request=request, latency_s=0.0)
    assert (plain.input_tokens, plain.output_tokens, plain.is_estimated) == (3, 2, True)
    with_tools = read_completion(
        {"choices": [{"message": {"content": None, "tool_calls": [call]}}]},
        request=request | {"tools": [call]},
        latency_s=0.0,
    )
    assert with_tools.input_tokens > plain.input_tokens
    assert with_tools.output_tokens > plain.output_tokens


def test_counts_that_are_no_numbers_are_estimated() -> None:
    body = {"choices": [{"message": {"content": "12345"}}], "usage": {"prompt_tokens": -1, "completion_tokens": "2"}}
    counted = read_completion(body, request={"messages": []}, latency_s=0.0)
    assert (counted.input_tokens, counted.output_tokens, counted.is_estimated) == (0, 2, True)
    assert counted.usage["total_tokens"] == 2


def test_the_log_probabilities_are_taken_where_there_are_any() -> None:
    tokens = [{"token": "fo", "logprob": -0.1}, {"token": "ur", "logprob": -0.3}]
    assert completion(logprobs={"content": tokens}).logprobs == (-0.1, -0.3)
    assert completion(logprobs=None).logprobs == ()
    assert completion(logprobs={"content": []}).logprobs == ()


def test_an_answer_of_tool_calls_has_no_text() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = completion(message={"role": "assistant", "content": None, "tool_calls": [call]})
    assert (answer.text, answer.has_tool_calls) == ("", True)


def test_an_answer_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "fo"}, {"type": "text", "text": "ur"}]
    assert completion(message={"content": parts}).text == "fo\nur"
