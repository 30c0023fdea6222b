"""Calling models: one protocol, a provider for OpenAI-compatible servers, and a fake one."""

from app.providers.base import CallFailed, Completion, Endpoint, Outcome, Provider
from app.providers.completion import read_completion
from app.providers.fake import FakeProvider
from app.providers.openai_compatible import OpenAICompatibleProvider

__all__ = [
    "CallFailed",
    "Completion",
    "Endpoint",
    "FakeProvider",
    "OpenAICompatibleProvider",
    "Outcome",
    "Provider",
    "read_completion",
]
