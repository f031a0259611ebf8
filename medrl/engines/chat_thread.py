"""The thread that owns a chat model in this process: callers on any thread or event loop hand it requests, and it alone
touches the model.
"""

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from medrl.chat.base import ChatError, ChatReply, ChatRequest, ChatUnavailable


@dataclass
class Job:
    """One request on its way."""

    request: ChatRequest
    future: "Future[ChatReply]"
    began: float = 0.0
    prompt_tokens: int = 0

    def end(self, outcome: ChatReply | ChatError) -> None:
        """Tell whoever waits; one who no longer does, or was told, is left alone."""
        if self.future.done() or not self.future.set_running_or_notify_cancel():
            return
        if isinstance(outcome, ChatError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class ChatThread(ABC):
    """Never pickled: a copy begins anew."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._wake = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def submit(self, request: ChatRequest) -> "Future[ChatReply]":
        """Take in a request; the first one starts the thread, and so does the first after a death."""
        job = Job(request, Future())
        with self._wake:
            if self._stopping:
                raise ChatUnavailable(f"{self._model} is being closed; nothing was asked")
            self._waiting.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"medrl-chat {self._model}", daemon=True)
                self._thread.start()
            self._wake.notify()
        return job.future

    def stop(self) -> None:
        """End the thread and free the model; what waits or is under way is called off."""
        with self._wake:
            thread, self._stopping = self._thread, True
            self._wake.notify()
        if thread is not None:
            thread.join()
        with self._wake:
            self._thread, self._stopping = None, False

    @abstractmethod
    def _run(self) -> None:
        """Load the model and answer until `_stopping`; calls `_hang_up` last, when the memory is free."""

    def _hang_up(self, why: Exception | None, under_way: Iterable[Job]) -> None:
        """Fail all that wait or are under way; the next request starts anew."""
        said = f"failed: {type(why).__name__}: {why}" if why else "was closed"
        with self._wake:
            jobs = [*under_way, *self._waiting]
            self._waiting.clear()
            if not self._stopping:
                self._thread = None
        for job in jobs:
            job.end(ChatUnavailable(f"the model {self._model} {said}"[:500]))
