"""What a comment says of an answer, by the words it uses: VADER (Hutto & Gilbert, ICWSM 2014), an optional extra.

Only clearly friendly or unfriendly comments count, and no more than a thumb does. The lexicon is English: nothing is
scored unless `feedback.comment_sentiment` says so.
"""

from collections.abc import Callable

from app.errors import ConfigError

CLEAR = 0.4
READ_CHARS = 500


def open_sentiment() -> Callable[[str], float | None]:
    """Return the function that gives a comment's reward: 1 for a friendly one, 0 for an unfriendly one, else None.

    Raises:
        ConfigError: the extra `sentiment` is not installed.
    """
    try:
        # Optional, and read from a lexicon of 7,500 words: imported where it is used.
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ModuleNotFoundError as err:
        missing = "feedback.comment_sentiment: true needs the extra that scores comments; install headrace[sentiment]"
        raise ConfigError([missing]) from err
    analyzer = SentimentIntensityAnalyzer()
    return lambda comment: reward_of(analyzer.polarity_scores(comment[:READ_CHARS])["compound"])


def reward_of(compound: float) -> float | None:
    """Return what a comment of this polarity, in [-1, 1], is worth."""
    return None if abs(compound) < CLEAR else float(compound > 0.0)
