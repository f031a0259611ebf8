"""Chat models behind judges: the `ChatClient` protocol, an OpenAI-compatible client, and a cache on disk.

Nothing here imports the `openai` package before the first request is sent.
"""

from medrl.chat.base import (
    BudgetSpent,
    ChatBadReply,
    ChatClient,
    ChatError,
    ChatRefused,
    ChatReply,
    ChatRequest,
    ChatTimedOut,
    ChatUnavailable,
    CircuitOpen,
    Message,
    Role,
)
from medrl.chat.cache import CachedChat, CacheStatistics
from medrl.chat.config import ChatConfig, build_chat
from medrl.chat.counts import ChatStatistics
from medrl.chat.openai_client import OpenAIChat

__all__ = [
    "ChatClient",
    "ChatRequest",
    "ChatReply",
    "Message",
    "Role",
    "ChatError",
    "ChatUnavailable",
    "ChatTimedOut",
    "ChatRefused",
    "ChatBadReply",
    "BudgetSpent",
    "CircuitOpen",
    "OpenAIChat",
    "ChatStatistics",
    "CachedChat",
    "CacheStatistics",
    "ChatConfig",
    "build_chat",
]
