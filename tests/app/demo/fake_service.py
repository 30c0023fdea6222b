"""A service of thirty lines that keeps the part of the public contract that the demonstration uses.

It calls the models of its pool in turn and keeps an honest ledger. `headrace serve`'s arguments start it as a process.
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web


class FakeService:
    """The pool in turn, a ledger, and a set of feedback."""

    def __init__(self, config: dict[str, Any], *, forget_cost: float = 0.0, lose_feedback: bool = False) -> None:
        self.models = list(config["models"])
        self.total_usd = 0.0
        self.feedback: list[dict[str, Any]] = []
        self.asked = 0
        self.forget_cost = forget_cost
        self.lose_feedback = lose_feedback
        self.asked_at_registration: list[int] = []

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        entry = self.models[self.asked % len(self.models)]
        self.asked += 1
        call = body | {"model": entry["upstream_model"]}
        url = f"{entry['base_url']}/chat/completions"
        async with aiohttp.ClientSession() as session, session.post(url, json=call) as reply:
            data = await reply.json()
        price, usage = entry["price"], data["usage"]
        usd = usage["prompt_tokens"] * price["input_usd_per_mtok"] / 1e6
        usd += usage["completion_tokens"] * price["output_usd_per_mtok"] / 1e6
        self.total_usd += usd * (1 - self.forget_cost)
        data |= {"id": f"inference-{self.asked}", "model": entry["id"], "usage": usage | {"cost": usd}}
        return web.json_response(data, headers={"x-headrace-stage": "learned"})

    async def rate(self, request: web.Request) -> web.Response:
        self.feedback.append(await request.json())
        return web.json_response({"feedback_id": str(len(self.feedback))}, status=202)

    async def register(self, request: web.Request) -> web.Response:
        self.models.append(await request.json())
        self.asked_at_registration.append(self.asked)
        return web.json_response(self.models[-1], status=201)

    async def spend(self, _: web.Request) -> web.Response:
        return web.json_response({"total_usd": self.total_usd})

    async def learner(self, _: web.Request) -> web.Response:
        events = len(self.feedback) - int(self.lose_feedback)
        return web.json_response({"state": "on", "feedback_events": events, "lambda": 12.5})

    async def ready(self, _: web.Request) -> web.Response:
        return web.json_response({"ready": True})

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/v1/chat/completions", self.chat),
                web.post("/v1/feedback", self.rate),
                web.post("/v1/admin/models", self.register),
                web.get("/v1/admin/spend", self.spend),
                web.get("/v1/admin/learner", self.learner),
                web.get("/readyz", self.ready),
            ]
        )
        return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    service = FakeService(yaml.safe_load(arguments.config.read_text()))
    web.run_app(service.app(), host="127.0.0.1", port=arguments.port, print=None, loop=asyncio.new_event_loop())


if __name__ == "__main__":
    main()
