import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from app.providers import CallFailed, Endpoint, FakeProvider, Provider
from app.streaming import StreamAccount

SMALL = Endpoint("small", "http://fake.invalid/v1", "vendor/small", None, 1.0, 2.0)
BODY = {"messages": [{"role": "user", "content": "How much is two and two, and why is it so?"}]}


async def test_the_answer_depends_on_the_model_and_the_prompt_alone() -> None:
    provider: Provider = FakeProvider()
    first, second = [await provider.complete(SMALL, BODY, timeout_s=1) for _ in range(2)]
    assert first == second
    assert first.text == "small says: How much is two and two, and why is it s"
    ChatCompletion.model_validate(first.body)


async def test_tokens_are_counted_as_a_quarter_of_the_characters() -> None:
    answer = await FakeProvider({("small", "12345"): "123456789"}).complete(
        SMALL, {"messages": [{"role": "user", "content": "12345"}]}, timeout_s=1
    )
    assert (answer.input_tokens, answer.output_tokens, answer.is_estimated) == (2, 3, False)


async def test_a_scripted_failure_is_raised() -> None:
    failure = CallFailed("http_error", "down", status_code=503)
    with pytest.raises(CallFailed) as caught:
        await FakeProvider(lambda *_: failure).complete(SMALL, BODY, timeout_s=1)
    assert caught.value is failure


async def test_a_script_may_leave_a_prompt_to_the_default_answer() -> None:
    provider = FakeProvider(lambda *_: None)
    assert (await provider.complete(SMALL, BODY, timeout_s=1)).text.startswith("small says: ")


async def test_a_call_slower_than_its_time_times_out() -> None:
    with pytest.raises(CallFailed) as caught:
        await FakeProvider(latency_s=60).complete(SMALL, BODY, timeout_s=0.001)
    assert caught.value.outcome == "timeout"


async def test_a_stream_gives_the_same_answer_in_pieces_of_three_words_and_its_usage() -> None:
    provider, account = FakeProvider(), StreamAccount()
    chunks = [chunk async for chunk in provider.stream(SMALL, BODY, timeout_s=1)]
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
        account.add(chunk)
    whole = await provider.complete(SMALL, BODY, timeout_s=1)
    assert account.text == whole.text
    assert chunks[1]["choices"][0]["delta"]["content"] == "small says: How "
    assert chunks[-1]["usage"] == whole.usage
    assert [call.prompt for call in provider.calls] == [BODY["messages"][0]["content"]] * 2
