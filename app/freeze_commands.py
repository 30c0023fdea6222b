"""`headrace policy freeze|unfreeze`: a running service learns nothing from now on, or again."""

from app.client import JsonOption, UrlOption, call, show
from app.policy_commands import policy_app


@policy_app.command("freeze")
def freeze_policy(url: UrlOption = None, json_: JsonOption = False) -> None:
    """Learn and explore nothing until `unfreeze`; feedback is stored and taught then."""
    show(call("POST", "/v1/admin/policies/freeze", url), json_)


@policy_app.command("unfreeze")
def unfreeze_policy(url: UrlOption = None, json_: JsonOption = False) -> None:
    """Learn again, and first what came meanwhile."""
    show(call("POST", "/v1/admin/policies/unfreeze", url), json_)
