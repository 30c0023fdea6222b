"""Replies are remembered by content, and not for ever."""

from app.judges.judge import Prompt
from app.judges.replies import MOST_REPLIES, Replies
from tests.app.judges.court import reply


def about(*parts: str, model: str = "m") -> Prompt:
    return Prompt(model, parts, [{"role": "user", "content": "drawn at random"}])


def test_a_reply_is_found_by_judge_model_and_content() -> None:
    replies, told = Replies(), reply("yes")
    replies.keep("strict", about("query", "answer"), told)
    assert replies.get("strict", about("query", "answer")) is told
    assert replies.get("mild", about("query", "answer")) is None
    assert replies.get("strict", about("query", "answer", model="n")) is None
    assert replies.get("strict", about("query", "another")) is None


def test_parts_that_join_to_the_same_text_are_not_the_same() -> None:
    replies = Replies()
    replies.keep("strict", about("ab", "c"), reply("yes"))
    assert replies.get("strict", about("a", "bc")) is None
    assert replies.get("strict", about("ab\ud800", "c")) is None


def test_the_reply_that_was_not_used_for_longest_is_forgotten() -> None:
    replies, told = Replies(), reply("yes")
    for number in range(MOST_REPLIES):
        replies.keep("strict", about(str(number)), told)
    assert replies.get("strict", about("0")) is told
    replies.keep("strict", about("one more"), told)
    assert replies.get("strict", about("0")) is told
    assert replies.get("strict", about("1")) is None
