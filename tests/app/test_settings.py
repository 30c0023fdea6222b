from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_data_dir
from pydantic import ValidationError

from app.problems import problems_in
from app.schemas.objective import TradeoffObjective
from app.settings import ModelJudgeEntry, Settings, read_environment

PRICE = {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0}
MODEL = {"id": "m", "provider": "fake", "price": PRICE}


def problems(**sections: Any) -> list[str]:
    with pytest.raises(ValidationError) as raised:
        Settings.model_validate(sections)
    return [str(problem) for problem in problems_in(raised.value.errors(), sections)]


def test_an_empty_configuration_has_sensible_defaults() -> None:
    settings = Settings()
    assert settings.storage.url == "sqlite:///headrace.db"
    assert not settings.storage.content
    assert settings.objective == TradeoffObjective(kind="tradeoff", usd_per_point=0.0001)
    assert settings.models == ()
    assert settings.judges == ()
    assert settings.timeouts.upstream_s == 60
    assert (settings.exploration.max_share, settings.exploration.max_usd_per_day) == (0.1, 5.0)
    assert settings.metrics == {}
    assert settings.embedding is None


def test_the_control_share_is_small_or_nothing() -> None:
    assert Settings().control.share == 0.01
    assert Settings.model_validate({"control": {"share": 0}}).control.share == 0.0
    assert "0.1" in problems(control={"share": 0.2})[0]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().models = ()  # type: ignore[misc]  # the frozen model is what is tested


def test_the_address_of_the_database_is_not_printed() -> None:
    settings = Settings.model_validate({"storage": {"url": "postgresql://me:hunter2@h/db"}})
    assert "hunter2" not in repr(settings)


def test_an_id_used_twice_is_refused_where_it_is_repeated() -> None:
    assert problems(models=[MODEL, MODEL | {"id": "n"}, MODEL]) == [
        'models[2].id: "m" is already the id of models[0]; choose another'
    ]


def test_a_judge_needs_a_model_of_the_pool() -> None:
    judge = {"id": "j", "kind": "llm", "model": "absent"}
    assert problems(models=[MODEL], judges=[judge | {"id": "i", "model": "m"}, judge]) == [
        'judges[1].model: "absent" should be the id of an entry of models; add it there'
    ]


def test_a_judge_may_be_a_model_that_is_not_routed() -> None:
    judge = {"id": "j", "kind": "llm", "model": "m"}
    settings = Settings.model_validate({"models": [MODEL | {"routable": False}], "judges": [judge]})
    assert isinstance(settings.judges[0], ModelJudgeEntry)
    assert settings.judges[0].model == settings.models[0].id


def test_a_self_check_needs_no_model_and_takes_none() -> None:
    entry = {"id": "own", "kind": "self", "timeout_s": 2.5}
    judge = Settings.model_validate({"models": [MODEL], "judges": [entry]}).judges[0]
    assert (judge.kind, judge.timeout_s) == ("self", 2.5)
    assert problems(models=[MODEL], judges=[entry | {"model": "m"}]) == ["judges[0].model: is unknown; leave it out"]


@pytest.mark.parametrize("kind", ["llm", "pairwise", "cross"])
def test_every_other_judge_needs_a_model(kind: str) -> None:
    assert problems(models=[MODEL], judges=[{"id": "j", "kind": kind}]) == ["judges[0].model: is missing; add it"]
    told = problems(models=[MODEL], judges=[{"id": "j", "kind": kind, "model": "absent"}])
    assert told == ['judges[0].model: "absent" should be the id of an entry of models; add it there']


def test_two_judges_need_two_ids() -> None:
    judge = {"id": "j", "kind": "llm", "model": "m"}
    assert problems(models=[MODEL], judges=[judge, judge]) == [
        'judges[1].id: "j" is already the id of judges[0]; choose another'
    ]


@pytest.mark.parametrize("name", ["thumbs", "rating", "comment", "demonstration"])
def test_a_built_in_metric_cannot_be_declared(name: str) -> None:
    assert problems(metrics={name: {"type": "float"}}) == [
        f'metrics.{name}: "{name}" is a built-in metric; choose another name'
    ]


@pytest.mark.parametrize("url", ["sqlite:///headrace.db", "sqlite:////var/lib/h.db", "postgresql://h/db"])
def test_sqlite_and_postgresql_are_known(url: str) -> None:
    assert Settings.model_validate({"storage": {"url": url}}).storage.url == url


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"storage": {"url": "mysql://h/db"}}, "storage.url"),
        ({"storage": {"content": "yes"}}, "storage.content"),
        ({"timeouts": {"upstream_s": 0}}, "timeouts.upstream_s"),
        ({"timeouts": {"upstream_s": float("inf")}}, "timeouts.upstream_s"),
        ({"exploration": {"max_share": 1.1}}, "exploration.max_share"),
        ({"exploration": {"max_usd_per_day": -1}}, "exploration.max_usd_per_day"),
        ({"judges": [{"id": "j", "kind": "human", "model": "m"}]}, "judges[0].kind"),
        ({"judges": [{"id": "j", "model": "m"}]}, "judges[0].kind"),
        ({"judges": [{"id": "j", "kind": "self", "timeout_s": 0}]}, "judges[0].timeout_s"),
        ({"embedding": {"path": 3}}, "embedding.path"),
        ({"embedding": {}}, "embedding.path"),
        ({"objectives": {}}, "objectives"),
    ],
)
def test_a_wrong_setting_is_named(sections: dict[str, Any], path: str) -> None:
    assert problems(**sections)[0].startswith(f"{path}: ")


def test_an_embedding_file_may_be_named() -> None:
    settings = Settings.model_validate({"embedding": {"path": "models/static"}})
    assert settings.embedding is not None
    assert settings.embedding.path == Path("models/static")


@pytest.mark.parametrize(
    "environ",
    [{}, dict.fromkeys(("HEADRACE_CONFIG", "HEADRACE_DATA_DIR", "HEADRACE_ADMIN_KEY", "HEADRACE_URL"), "")],
)
def test_an_empty_environment_has_defaults(environ: dict[str, str]) -> None:
    environment = read_environment(environ)
    assert environment.config_path is None
    assert environment.data_dir == Path(user_data_dir("headrace", appauthor=False))
    assert environment.admin_key is None
    assert environment.url == "http://127.0.0.1:8000"


def test_every_variable_is_read() -> None:
    environment = read_environment(
        {
            "HEADRACE_CONFIG": "~/h.yaml",
            "HEADRACE_DATA_DIR": "data",
            "HEADRACE_ADMIN_KEY": "open sesame",
            "HEADRACE_URL": "http://h:1",
        }
    )
    assert environment.config_path == Path.home() / "h.yaml"
    assert environment.data_dir == Path("data")
    assert environment.admin_key is not None
    assert environment.admin_key.get_secret_value() == "open sesame"
    assert environment.url == "http://h:1"


def test_the_admin_key_is_masked_when_printed() -> None:
    environment = read_environment({"HEADRACE_ADMIN_KEY": "open sesame"})
    assert "sesame" not in f"{environment!r} {environment}"


def test_feedback_is_taken_for_thirty_days_and_comments_are_not_scored_unless_said_otherwise() -> None:
    assert (Settings().feedback.window_days, Settings().feedback.comment_sentiment) == (30.0, False)
    told = Settings.model_validate({"feedback": {"window_days": 90, "comment_sentiment": True}}).feedback
    assert (told.window_days, told.comment_sentiment) == (90.0, True)


@pytest.mark.parametrize("days", [0, -1, "30", float("inf")])
def test_a_window_of_feedback_that_is_none_is_refused(days: Any) -> None:
    with pytest.raises(ValidationError, match="window_days"):
        Settings.model_validate({"feedback": {"window_days": days}})
