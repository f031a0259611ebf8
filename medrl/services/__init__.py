"""Services: what people and other programs reach over HTTP: a reward tree, and the annotation page."""

from typing import TYPE_CHECKING, Any

from medrl.errors import need
from medrl.rewards.remote_client import RewardClient
from medrl.services.settings import ServiceSettings

if TYPE_CHECKING:
    from medrl.services.reward_server import create_app
    from medrl.services.running import serve

__all__ = ["RewardClient", "ServiceSettings", "create_app", "serve"]


def __getattr__(name: str) -> Any:
    """`create_app` and `serve` bring in the web framework, which a client does not need."""
    home = {"create_app": "reward_server", "serve": "running"}.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        need(module, "serve")
    from importlib import import_module

    return getattr(import_module(f"medrl.services.{home}"), name)
