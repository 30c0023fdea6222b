import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.config_file import load, schema
from app.errors import ConfigError
from app.schemas.metrics import BooleanMetric
from app.schemas.objective import BudgetObjective
from app.settings import Settings

CONTRACT = """\
storage: {url: sqlite:///headrace.db, content: false}
objective: {kind: budget, usd_per_request: 0.0006}
models:
  - id: gemini-1.5-flash-002
    provider: openai
    base_url: https://example.org/v1
    api_key_env: GEMINI_API_KEY
    upstream_model: gemini-1.5-flash-002
    context_tokens: 128000
    price: {input_usd_per_mtok: 0.075, output_usd_per_mtok: 0.30}
    prior_quality: 0.64
    capabilities: [tools, json, vision, logprobs]
    routable: true
  - id: judge-a
    provider: fake
    price: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}
judges:
  - {id: judge-a, kind: llm, model: judge-a}
timeouts: {upstream_s: 60}
exploration: {max_share: 0.1, max_usd_per_day: 5.0}
metrics: {resolved: {type: boolean, reward_map: {"true": 1.0, "false": 0.0}}}
"""

WRONG = """\
storage: {url: mysql://me:hunter2@h/db, content: yes}
objective: {kind: budgt, usd_per_request: 6e-4}
models:
  - id: a b
    provider: openai
    api_key_env: sk-live-abcdefgh
    price:
      input_usd_per_mtok: -1
      output_usd_per_mtok: ${OUT}
  - id: m
    id: m
    provider: fake
    capabilties: [tools]
  - id: m
    provider: fake
    price: {input_usd_per_mtok: 0, output_usd_per_mtok: ${UNSET}}
    capabilities:
      - tools
      - tool
judges:
  - {id: j, kind: llm, model: absent}
explore: {}
metrics:
  thumbs: {type: boolean}
  solved: {type: boolean, reward_map: {true: 2, maybe: 1}}
embedding: {}
"""


class File:
    """A configuration file of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, text: str, **environ: str) -> Settings:
        self.path.write_text(text, encoding="utf-8")
        return load(self.path, environ)

    def problems(self, text: str, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.load(text, **environ)
        return [problem.removeprefix(f"{self.path}:") for problem in raised.value.problems]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> File:
    return File(tmp_path_factory.mktemp("config") / "headrace.yaml")


@pytest.fixture(scope="module")
def told(file: File) -> list[str]:
    return file.problems(WRONG, OUT="dear")


def test_the_example_of_the_contract_is_read(file: File) -> None:
    read = file.load(CONTRACT)
    assert read.objective == BudgetObjective(kind="budget", usd_per_request=0.0006)
    assert [model.id for model in read.models] == ["gemini-1.5-flash-002", "judge-a"]
    assert read.models[0].price.output_usd_per_mtok == 0.3
    assert read.models[0].capabilities == ("tools", "json", "vision", "logprobs")
    assert read.metrics == {"resolved": BooleanMetric(type="boolean")}
    assert [judge.id for judge in read.judges] == ["judge-a"]


def test_an_empty_file_is_all_defaults(file: File) -> None:
    assert file.load("") == Settings()


def test_variables_give_text_and_numbers(file: File) -> None:
    text = "storage: {url: postgresql://${DB_USER}@h/db}\nobjective: {kind: budget, usd_per_request: ${USD}}"
    read = file.load(text, DB_USER="me", USD="0.002")
    assert read.storage.url == "postgresql://me@h/db"
    assert read.objective == BudgetObjective(kind="budget", usd_per_request=0.002)


def test_all_problems_are_told_at_once_in_the_order_of_the_file(told: list[str]) -> None:
    assert [re.sub(r": .*", "", problem) for problem in told] == [
        "1", "1", "2", "4", "4", "6", "8", "9", "10", "11", "13", "14", "16", "19", "21", "22", "24", "25", "25", "26",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        '1: storage.content: "yes" should be true or false',
        '1: storage.url: "mysql://(hidden)@h/db" should begin with sqlite:/// or postgresql://',
        "2: objective.kind: \"budgt\" should be one of 'budget', 'quality_floor', 'tradeoff', 'quality'",
        "4: models[0].base_url: is missing; add the address of the OpenAI-compatible server",
        '4: models[0].id: "a b" should be 1 to 200 visible ASCII characters, without spaces',
        "8: models[0].price.input_usd_per_mtok: -1 should be greater than or equal to 0",
        '9: models[0].price.output_usd_per_mtok: "${OUT}" should be a number',
        "10: models[1].price: is missing; add it",
        "11: models[1].id: is written twice, first on line 10; keep one",
        "13: models[1].capabilties: is unknown; did you mean capabilities?",
        '14: models[2].id: "m" is already the id of models[1]; choose another',
        '16: models[2].price.output_usd_per_mtok: "${UNSET}" names the environment variable UNSET, '
        "which is not set; set it",
        "19: models[2].capabilities[1]: \"tool\" should be 'tools', 'json', 'vision' or 'logprobs'",
        '21: judges[0].model: "absent" should be the id of an entry of models; add it there',
        "22: explore: is unknown; did you mean exploration?",
        '24: metrics.thumbs: "thumbs" is a built-in metric; choose another name',
        "25: metrics.solved.reward_map.maybe: \"maybe\" should be 'true' or 'false'",
        "25: metrics.solved.reward_map.true: 2 should be less than or equal to 1",
        "26: embedding.path: is missing; add it",
    ],
)
def test_a_problem_says_where_what_and_how_to_mend_it(told: list[str], line: str) -> None:
    assert line in told


def test_a_key_in_the_file_is_not_repeated_in_the_message(told: list[str]) -> None:
    text = "\n".join(told)
    assert "6: models[0].api_key_env: (hidden) should be the name of an environment variable" in text
    assert "live" not in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("storge: {}", "1: storge: is unknown; did you mean storage?"),
        ("objective: {kind: budget, usd_per_requst: 1}", "usd_per_requst: is unknown; did you mean usd_per_request?"),
        ("metrics: {m: {type: float, typ: 1}}", "1: metrics.m.typ: is unknown; did you mean type?"),
        ("embedding:\n  path: x\n  paths: y", "3: embedding.paths: is unknown; did you mean path?"),
        ("judges: [{id: j, kind: llm, mode: m}]", "1: judges[0].mode: is unknown; did you mean model?"),
        ("timeouts: {zzz: 1}", "1: timeouts.zzz: is unknown; the known ones are upstream_s"),
    ],
)
def test_an_unknown_key_gets_a_suggestion_wherever_it_stands(file: File, text: str, line: str) -> None:
    assert any(line in problem for problem in file.problems(text))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- 1", "1: a list should be an object"),
        ("hello", '1: "hello" should be an object'),
        ("models: {}", "1: models: an empty object should be a list"),
        ("models: [3]", "1: models[0]: 3 should be an object"),
        ("judges:", "1: judges: null should be a list"),
        ("objective: {}", "1: objective.kind: is missing; add it"),
        ("objective: 3", "1: objective: 3 should be an object"),
        ("a: 1\nb: ]", "2: is not valid YAML: expected the node content, but found ']'"),
    ],
)
def test_a_file_of_another_shape_is_refused(file: File, text: str, problem: str) -> None:
    assert file.problems(text) == [problem]


def test_a_contradiction_alone_is_told_once(file: File) -> None:
    text = "judges: [{id: j, kind: llm, model: absent}]"
    assert file.problems(text) == ['1: judges[0].model: "absent" should be the id of an entry of models; add it there']


def test_two_ids_from_the_same_variable_do_not_show_its_value(file: File) -> None:
    entry = "{id: ${ID}, provider: fake, price: {input_usd_per_mtok: 0, output_usd_per_mtok: 0}}"
    told = file.problems(f"models:\n- {entry}\n- {entry}\n", ID="codename")
    assert told == ['3: models[1].id: "${ID}" is already the id of models[0]; choose another']


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: there is no such file; .*--config or HEADRACE_CONFIG"):
        load(tmp_path / "none.yaml", {})


def test_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, {})


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: \xe9")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load(path, {})


prices = st.fixed_dictionaries(
    {"input_usd_per_mtok": st.floats(0, 100), "output_usd_per_mtok": st.floats(0, 100)},
)
models = st.builds(
    lambda model_id, price, routable: {"id": model_id, "provider": "fake", "price": price, "routable": routable},
    st.from_regex(r"[a-z0-9][a-z0-9.:/-]{0,12}", fullmatch=True).filter(lambda text: not text.startswith("auto")),
    prices,
    st.booleans(),
)


@settings(max_examples=15)
@given(st.lists(models, max_size=4, unique_by=lambda model: model["id"]), st.floats(1e-9, 1.0))
def test_what_is_written_is_loaded(file: File, pool: list[dict[str, Any]], usd: float) -> None:
    written = {"models": pool, "objective": {"kind": "budget", "usd_per_request": usd}}
    assert file.load(yaml.safe_dump(written)) == Settings.model_validate(written)


PLACES = (
    "storage: {url: %s}",
    "objective: {kind: %s}",
    "objective: {kind: budget, usd_per_request: %s}",
    "models: [{id: %s, provider: openai, base_url: %s, api_key_env: %s}]",
    "models: [{id: %s, provider: fake, context_tokens: %s, capabilities: [%s], prior_quality: %s}]",
    "judges: [{id: %s, kind: %s, model: %s}]",
    "metrics: {m: {type: %s}, n: {type: categorical, reward_map: {x: %s}}}",
    "timeouts: {upstream_s: %s}",
    "%s",
)


@settings(max_examples=25)
@given(st.sampled_from(PLACES), st.from_regex(r"zq[A-Za-z0-9 @/:.-]{4,20}qz", fullmatch=True), st.booleans())
def test_the_value_of_a_variable_never_appears(file: File, place: str, value: str, is_quoted: bool) -> None:
    text = place.replace("%s", '"${SECRET}"' if is_quoted else "${SECRET}")
    assert value not in "\n".join(file.problems(text, SECRET=value))


def test_the_schema_names_every_section() -> None:
    described = schema()
    assert set(described["properties"]) == set(Settings.model_fields)
    assert described["additionalProperties"] is False
    assert "price" in described["$defs"]["ModelEntry"]["required"]
