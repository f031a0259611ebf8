"""Logs of the reward service: ids, counts and names of errors, and by default no word of a patient or a policy."""

import logging
import sys
import traceback


class Discreet(logging.Formatter):
    """Writes of an exception its type and where it was raised; its message may quote a text, so it stays out."""

    def formatException(self, ei: object) -> str:
        assert isinstance(ei, tuple)
        kind, _, trace = ei
        frames = traceback.extract_tb(trace)[-3:]
        places = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in reversed(frames))
        return f"{getattr(kind, '__name__', kind)} in {places}"


def log_to_stderr(texts: bool) -> None:
    """Send the logs of this process to standard error; with `texts`, messages of exceptions too."""
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(form) if texts else Discreet(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("medrl.services").setLevel(logging.INFO)
