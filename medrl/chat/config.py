"""Chat clients as configs and back: `{"type": "openai", "model": ..., ...}`."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias, cast

from medrl import plugins
from medrl.chat.base import ChatClient
from medrl.errors import PluginError, RecipeError
from medrl.knobs import read_dataclass

GROUP = "medrl.chat"
ChatConfig: TypeAlias = ChatClient | Mapping[str, Any]


def build_chat(config: ChatConfig) -> ChatClient:
    """The chat client that a config names: `{"type": "openai", "model": "judge", "base_url": ...}`.

    Raises:
        PluginError: Nothing is called that, or it is no chat client.
        RecipeError: The config has no type, or knobs that do not exist or are refused; all faults at once.
    """
    if isinstance(config, ChatClient):
        return config
    knobs = dict(config)
    kind = knobs.pop("type", None)
    if not isinstance(kind, str):
        raise RecipeError("a chat client", ["it has no `type`; name one, for example type: openai"])
    found = plugins.load(GROUP, kind)
    if not (isinstance(found, type) and issubclass(found, ChatClient)):
        raise PluginError(f"{GROUP}: {kind!r} is {found!r}, which is not a chat client")
    faults: list[str] = []
    built = read_dataclass(cast(Any, found), knobs, "", faults, _nested)
    if built is None:
        raise RecipeError(f"chat client {kind!r}", faults)
    return cast(ChatClient, built)


class KnobbedChat(ChatClient):
    """A client whose fields are its knobs, with state that its threads share and that no copy takes along."""

    @abstractmethod
    def _begin(self) -> None:
        """Make the shared state."""

    def knobs(self) -> dict[str, Any]:
        """The fields by name."""
        return {f.name: getattr(self, f.name) for f in fields(cast(Any, self)) if f.init}

    def __getstate__(self) -> dict[str, Any]:
        return self.knobs()

    def __setstate__(self, knobs: dict[str, Any]) -> None:
        for name, value in knobs.items():
            object.__setattr__(self, name, value)
        self._begin()

    def to_config(self) -> dict[str, Any]:
        return {"type": type_name(self), **{name: _plain(value) for name, value in self.knobs().items()}}


def type_name(client: ChatClient) -> str:
    """What `build_chat` calls this client: its registered name, else `module:attribute`."""
    kind = type(client)
    place = f"{kind.__module__}:{kind.__qualname__}"
    names = [name for name, target in plugins.available(GROUP).items() if target.endswith(f":{kind.__qualname__}")]
    return next((name for name in names if plugins.load(GROUP, name) is kind), place)


def digest(value: Any) -> str:
    """16 hex digits of a JSON-able value."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, ChatClient):
        return value.to_config()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if isinstance(value, Path) else value


def _nested(value: Any, kind: type, path: str, faults: list[str]) -> tuple[bool, Any]:
    """A chat client inside another one's knobs, and mappings, which `knobs` leaves to us."""
    if issubclass(kind, ChatClient):
        try:
            return True, build_chat(value)
        except (RecipeError, PluginError, TypeError, ValueError) as error:
            faults.append(f"{path}: {error}")
            return True, None
    if kind is Mapping:
        if not isinstance(value, Mapping):
            faults.append(f"{path}: {value!r:.80} is not a mapping")
        return True, value
    return False, None
