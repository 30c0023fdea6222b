from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.providers.upstream_call import openai_error, retry_after_s


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"message": "no", "type": "bad", "param": "n", "code": "c"}},
        [{"error": {"message": "no", "type": "bad", "param": "n", "code": "c"}}],
        {"object": "error", "message": "no", "type": "bad", "param": "n", "code": "c"},
    ],
)
def test_the_error_object_is_found_however_it_is_wrapped(answer: object) -> None:
    assert openai_error(answer) == {"message": "no", "type": "bad", "param": "n", "code": "c"}


def test_an_error_that_is_a_text_becomes_an_error_object() -> None:
    assert openai_error({"error": "no"}) == {"message": "no", "type": "upstream_error", "param": None, "code": None}


@pytest.mark.parametrize("answer", [None, [], "no", {"detail": "Not Found"}, {"error": {"code": 1}}, {"error": 5}])
def test_an_answer_without_an_error_object_has_none(answer: object) -> None:
    assert openai_error(answer) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("0.5", 0.5), ("-3", 0.0), ("nan", None), ("inf", None), ("soon", None), ("", None)],
)
def test_retry_after_in_seconds_is_read(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header) == seconds


def test_retry_after_as_a_date_is_read() -> None:
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    tomorrow = retry_after_s(format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True))
    assert tomorrow == pytest.approx(86_400, abs=60)
