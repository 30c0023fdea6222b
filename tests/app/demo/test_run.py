import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from app.demo.run import CANNOT_RUN, CLOSED, NOT_CLOSED, DemoOptions, demonstrate, run
from app.demo.service import any_free_port, is_free

FAKE = (sys.executable, str(Path(__file__).with_name("fake_service.py")))


async def test_a_short_demonstration_closes_the_loop_and_leaves_nothing_running(recorded_folder: Path) -> None:
    out, port = io.StringIO(), any_free_port()
    options = DemoOptions(short=True, data=recorded_folder, port=port)
    assert await demonstrate(options, Console(file=out, width=160), FAKE) == CLOSED
    text = out.getvalue()
    assert "24 requests: big from" in text
    assert "static mix at the same cost" in text
    assert text.count("PASS") == 5
    assert "The service runs at" not in text
    assert is_free(port)


async def test_a_loop_that_does_not_close_is_in_the_exit_status(recorded_folder: Path, tmp_path: Path) -> None:
    forgetful = tmp_path / "forgetful.py"
    source = Path(FAKE[1]).read_text().replace("forget_cost: float = 0.0", "forget_cost: float = 0.01")
    forgetful.write_text(source)
    out = io.StringIO()
    options = DemoOptions(data=recorded_folder, port=any_free_port(), n=10, stay=False)
    assert await demonstrate(options, Console(file=out, width=160), (sys.executable, str(forgetful))) == NOT_CLOSED
    assert "FAIL  the spend ledger equals the upstream's bill" in out.getvalue()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (DemoOptions(data=Path("nowhere")), "queries.parquet does not exist"),
        (DemoOptions(data=Path("nowhere"), local=True), "give one of them"),
        (DemoOptions(n=1), "give at least 2"),
    ],
)
def test_a_demonstration_that_cannot_run_says_why_and_ends_with_2(
    options: DemoOptions, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(options) == CANNOT_RUN
    assert message in capsys.readouterr().err
