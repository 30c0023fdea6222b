"""The bench of the alarms, small: the bar holds, and what it prints can be read."""

import json
from statistics import median

import pytest

from scripts.bench import drift
from scripts.bench.drift import Calls, Labels, Stream, delays, false_alarms, measured

OBSERVATIONS = 4_000


@pytest.mark.slow
@pytest.mark.parametrize("stream", [Labels(0.5), Labels(0.9), Calls("cost", 0.4), Calls("latency", 0.6, 0.4)])
def test_false_alarms_are_no_more_than_one_in_10_000(stream: Stream) -> None:
    found = false_alarms(stream, 2, OBSERVATIONS)
    # Of one in 10,000, five in 8,000 would come in less than one of 500 tests.
    assert found < 5


def test_a_large_change_is_noticed_soon() -> None:
    for stream in (Labels(0.85, -0.5), Calls("cost", 0.4, factor=3.0), Calls("latency", 0.4, factor=3.0)):
        found = delays(stream, 5)
        assert len(found) == 5
        assert median(found) < 60


def test_both_tables_are_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(drift, "stationary", lambda: [Labels(0.7), Calls("cost", 0.4)])
    monkeypatch.setattr(drift, "changes", lambda: [("-0.5", Labels(0.85, -0.5))])
    monkeypatch.setattr("sys.argv", ["drift.py", "--seeds", "1", "--n", "500"])
    with pytest.raises(SystemExit) as ended:
        drift.main()
    assert not ended.value.code
    told = capsys.readouterr().out
    assert "| quality 0.7 | 500 | 0 |" in told
    assert "| quality 0.85 | -0.5 | 1 |" in told
    assert json.loads(json.dumps(measured(1, 200)))["false_alarms"][1]["stream"] == "cost 0.4"
