import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from app import errors
from app.errors import AppError, ConfigError, error_body, install_handlers, refusal
from app.problems import Problem
from app.schemas.pool import ModelEntry

RAISED: dict[str, Exception] = {
    "unauthorized": errors.Unauthorized("No such key; send one as Authorization: Bearer sk-hr-…"),
    "conflict": errors.Conflict("Idempotency-Key k was used with another body; use a new key"),
    "timeout": errors.UpstreamTimeout("m gave no answer in 60 s"),
    "model": errors.ModelNotFound("No model 'x'; GET /v1/models lists them", param="model"),
    "defect": ZeroDivisionError("the secret is 42"),
    "teapot": HTTPException(418, "short and stout", headers={"x-kind": "pot"}),
    "gateway": HTTPException(599, "odd"),
    "large": HTTPException(413, "Request Entity Too Large"),
}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = FastAPI()
    install_handlers(app)

    @app.get("/raise/{name}")
    def raise_it(name: str) -> None:
        raise RAISED[name]

    @app.post("/v1/chat/completions")
    def chat(body: dict[str, list[int]]) -> dict[str, list[int]]:
        return body

    @app.post("/v1/admin/models")
    def add(body: ModelEntry) -> ModelEntry:
        return body

    @app.get("/v1/admin/jobs")
    def jobs(limit: int) -> int:
        return limit

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def subclasses(kind: type[AppError]) -> list[type[AppError]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in subclasses(child))]


def told(response: Any) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


@pytest.mark.parametrize("kind", subclasses(AppError)[1:])
def test_every_error_stands_in_the_picture_as_it_is(kind: type[AppError]) -> None:
    row = rf"─ {kind.__name__} +{kind.status} +{kind.type}" + (rf" +{kind.code}" if kind.code else "") + "$"
    assert re.search(row, errors.__doc__ or "", re.MULTILINE)


@settings(max_examples=25)
@given(st.text(), st.none() | st.text(), st.none() | st.text(min_size=1))
def test_every_error_is_rendered_with_openais_four_fields(message: str, param: str | None, code: str | None) -> None:
    error = error_body(errors.Unprocessable(message, param=param, code=code))["error"]
    assert error == {"message": message, "type": "invalid_request_error", "param": param, "code": code}


def test_a_code_of_its_own_replaces_that_of_the_class() -> None:
    assert errors.NotFound("gone", code="policy_not_found").code == "policy_not_found"
    assert errors.NotFound("gone").code == "not_found"


@pytest.mark.parametrize("name", ["unauthorized", "conflict", "timeout", "model"])
def test_a_raised_error_is_answered_with_its_status_and_body(client: TestClient, name: str) -> None:
    error = RAISED[name]
    assert isinstance(error, AppError)
    response = client.get(f"/raise/{name}")
    assert response.status_code == error.status
    assert response.json() == error_body(error)


def test_a_defect_is_500_without_details(client: TestClient) -> None:
    response = client.get("/raise/defect")
    assert response.status_code == 500
    assert told(response)["code"] == "internal_error"
    assert "42" not in response.text
    assert "ZeroDivision" not in response.text


def test_an_unknown_path_is_404(client: TestClient) -> None:
    response = client.get("/v1/modles")
    assert response.status_code == 404
    assert told(response)["code"] == "not_found"
    assert "GET /v1/modles" in told(response)["message"]


def test_a_wrong_method_is_405_and_names_the_right_one(client: TestClient) -> None:
    response = client.get("/v1/chat/completions")
    assert response.status_code == 405
    assert told(response)["message"].endswith("use POST")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(("name", "status"), [("teapot", 400), ("gateway", 500), ("large", 413)])
def test_any_other_http_exception_is_answered_by_the_nearest_error(client: TestClient, name: str, status: int) -> None:
    assert client.get(f"/raise/{name}").status_code == status


def test_the_headers_of_an_http_exception_are_kept(client: TestClient) -> None:
    assert client.get("/raise/teapot").headers["x-kind"] == "pot"


@pytest.mark.parametrize(("path", "status"), [("/v1/chat/completions", 400), ("/v1/admin/models", 422)])
@pytest.mark.parametrize("body", [b"", b"{", b"3", b"\xff", b'{"id": 5}', b"[]", b'{"\\ud800": "\\ud800"}'])
def test_a_malformed_body_has_the_status_of_its_path(client: TestClient, path: str, status: int, body: bytes) -> None:
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code == status
    assert told(response)["message"]


def test_invalid_json_says_where(client: TestClient) -> None:
    response = client.post("/v1/admin/models", content=b'{"id": }', headers={"content-type": "application/json"})
    assert told(response)["message"] == "The body is not valid JSON: Expecting value at character 7"


def test_a_missing_body_is_called_the_body(client: TestClient) -> None:
    error = told(client.post("/v1/admin/models"))
    assert (error["message"], error["param"]) == ("body: is missing; add it", "body")


def test_a_malformed_model_names_field_value_and_wish(client: TestClient) -> None:
    price = {"input_usd_per_mtok": "cheap", "output_usd_per_mtok": 1}
    response = client.post("/v1/admin/models", json={"id": "m", "provider": "fake", "price": price, "capabilities": []})
    assert response.status_code == 422
    assert told(response)["message"] == 'price.input_usd_per_mtok: "cheap" should be a number'
    assert told(response)["param"] == "price.input_usd_per_mtok"


def test_a_model_without_a_price_is_422_and_says_so(client: TestClient) -> None:
    response = client.post("/v1/admin/models", json={"id": "m", "provider": "fake"})
    assert response.status_code == 422
    assert told(response)["message"] == "price: is missing; add it"


def test_a_key_in_place_of_a_variable_name_is_not_echoed(client: TestClient) -> None:
    response = client.post("/v1/admin/models", json={"id": "m", "provider": "fake", "api_key_env": "sk-live-abcdef"})
    assert response.status_code == 422
    assert "name of an environment variable" in response.text
    assert "live" not in response.text


def test_a_valid_model_passes_with_json_lists(client: TestClient) -> None:
    price = {"input_usd_per_mtok": 0, "output_usd_per_mtok": 1}
    body = {"id": "m", "provider": "fake", "price": price, "capabilities": ["tools"]}
    assert client.post("/v1/admin/models", json=body).json()["capabilities"] == ["tools"]


def test_a_malformed_query_parameter_is_named(client: TestClient) -> None:
    response = client.get("/v1/admin/jobs?limit=many")
    assert response.status_code == 422
    assert told(response)["param"] == "limit"


def test_of_many_problems_the_first_are_told_and_the_rest_counted() -> None:
    error = refusal(errors.BadRequest, [Problem((place,), "1", "should be 2") for place in range(8)])
    assert error.param == "[0]"
    assert error.message.count("should be 2") == 5
    assert error.message.endswith("; and 3 more")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("unauthorized", openai.AuthenticationError),
        ("conflict", openai.ConflictError),
        ("timeout", openai.InternalServerError),
        ("model", openai.NotFoundError),
    ],
)
def test_the_official_client_raises_its_own_error(
    client: TestClient, name: str, kind: type[openai.APIStatusError]
) -> None:
    error = RAISED[name]
    assert isinstance(error, AppError)
    official = openai.OpenAI(api_key="x", base_url="http://testserver", http_client=client, max_retries=0)
    with pytest.raises(kind) as raised:
        official.get(f"/raise/{name}", cast_to=object)
    assert (raised.value.code, raised.value.param, raised.value.type) == (error.code, error.param, error.type)
    assert error.message in raised.value.message


def test_a_config_error_reads_as_its_lines() -> None:
    error = ConfigError(["f:1: a: is missing", "f:2: b: is missing"])
    assert str(error) == "f:1: a: is missing\nf:2: b: is missing"
    assert error.problems == ("f:1: a: is missing", "f:2: b: is missing")
