import asyncio

from tests.app.harness import COST_USD, Gone, House, Watcher


async def test_healthz_says_that_the_process_is_alive(house: House) -> None:
    assert await house.get("/healthz") == {"status": "ok"}


async def test_readyz_says_that_models_database_and_learner_are_ready(house: House) -> None:
    told = await house.get("/readyz")
    assert (told["status"], told["models"]) == ("ready", 3)


async def test_readyz_is_503_once_the_database_does_not_answer(house: House) -> None:
    await house.service.engine.dispose()
    (house.data_dir / "headrace.db").rename(house.data_dir / "aside.db")
    for suffix in ("-wal", "-shm"):
        (house.data_dir / f"headrace.db{suffix}").rename(house.data_dir / f"aside.db{suffix}")
    try:
        reply = await house.client.get("/readyz")
        assert reply.status_code == 503
        assert "database" in reply.json()["error"]["message"]
    finally:
        await house.service.engine.dispose()
        for file in house.data_dir.glob("headrace.db*"):
            if not file.name.endswith(".lock"):
                file.unlink()
        for file in house.data_dir.glob("aside.db*"):
            file.rename(house.data_dir / file.name.replace("aside", "headrace"))


async def test_metrics_count_answers_feedback_errors_and_money(house: House) -> None:
    answer = await house.answered(model="small")
    await house.thumb(answer["id"])
    await house.ask(model="none")
    text = (await house.client.get("/metrics")).text
    assert 'headrace_requests_total{model="small",stage="pinned"} 1.0' in text
    assert "headrace_feedback_events 1.0" in text
    assert 'headrace_errors_total{code="model_not_found"} 1.0' in text
    assert f'headrace_spend_usd{{account="request"}} {COST_USD["small"]}' in text
    assert 'headrace_model_quality{model="large"}' in text


async def test_metrics_count_every_item_of_a_list_of_feedback_and_no_repetition(house: House) -> None:
    ids = [(await house.answered(model="small"))["id"] for _ in range(3)]
    body = [{"inference_id": i, "metric_name": "thumbs", "value": True} for i in ids]
    for _ in range(2):
        await house.client.post("/v1/feedback", json=body, headers={"Idempotency-Key": "k"})
    assert "headrace_feedback_events 3.0" in (await house.client.get("/metrics")).text


async def test_metrics_count_streamed_answers(house: House) -> None:
    async with Watcher(house.app, {"model": "small", "stream": True}) as watcher:
        await watcher.start()
        await watcher.rest()
    await house.quiet()
    assert 'headrace_requests_total{model="small",stage="pinned"} 1.0' in (await house.client.get("/metrics")).text


async def test_metrics_count_a_held_stream_that_fails_as_an_error_and_not_as_an_answer(house: House) -> None:
    house.upstream.answers = dict.fromkeys(("small", "middle", "large"), Gone("unreachable"))
    await house.ask(stream=True)
    text = (await house.client.get("/metrics")).text
    assert 'headrace_errors_total{code="upstream_failed"} 1.0' in text
    assert "headrace_requests_total{" not in text


async def test_the_service_answers_others_while_a_request_waits(house: House) -> None:
    gate = house.upstream.gates["small"] = asyncio.Event()
    waiting = asyncio.create_task(house.ask(model="small"))
    await house.upstream.was_asked.wait()
    assert (await house.get("/healthz"))["status"] == "ok"
    assert (await house.answered(model="large"))["model"] == "large"
    gate.set()
    assert (await waiting).status_code == 200


async def test_unknown_paths_and_methods_are_told_in_the_form_of_openai(house: House) -> None:
    missing, refused = await house.client.get("/v1/nothing"), await house.client.get("/v1/feedback")
    assert (missing.status_code, refused.status_code) == (404, 405)
    assert "/docs" in missing.json()["error"]["message"]
    assert "POST" in refused.json()["error"]["message"]


async def test_the_documentation_lists_the_paths(house: House) -> None:
    assert (await house.client.get("/docs")).status_code == 200
    paths = (await house.get("/openapi.json"))["paths"]
    assert {"/v1/chat/completions", "/v1/route", "/v1/feedback", "/v1/admin/learner", "/v1/admin/spend"} <= set(paths)
