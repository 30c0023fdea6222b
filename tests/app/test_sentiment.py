import sys

import pytest

from app.errors import ConfigError
from app.sentiment import CLEAR, READ_CHARS, open_sentiment, reward_of


@pytest.mark.parametrize(
    ("compound", "reward"),
    [(0.9, 1.0), (CLEAR, 1.0), (CLEAR - 0.01, None), (0.0, None), (0.01 - CLEAR, None), (-CLEAR, 0.0), (-0.9, 0.0)],
)
def test_only_clear_comments_are_worth_something(compound: float, reward: float | None) -> None:
    assert reward_of(compound) == reward


def test_without_the_extra_the_operator_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    with pytest.raises(ConfigError, match=r"feedback\.comment_sentiment.*install headrace\[sentiment\]"):
        open_sentiment()


def test_friendly_and_unfriendly_comments_are_told_apart() -> None:
    sentiment = open_sentiment()
    assert sentiment("Great, this helped a lot!") == 1.0
    assert sentiment("This is wrong and useless, awful.") == 0.0
    assert sentiment("It mentions the year 1848.") is None
    assert sentiment("") is None
    assert sentiment("." * READ_CHARS + " Great, this helped a lot!") is None
