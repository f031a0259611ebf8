"""Run a command for as long as somebody holds this program's standard input open, then kill it with all that it started.

    python leashed.py COMMAND ...

A server that was started by a program that is then killed would go on forever. A pipe ends with the program that
holds it, however that one ends.
"""

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)

    def watch() -> None:
        sys.stdin.buffer.read()
        os.killpg(0, signal.SIGKILL)  # our own group, ourselves among it

    threading.Thread(target=watch, daemon=True).start()
    return process.wait()


if __name__ == "__main__":
    os.setpgid(0, 0)
    sys.exit(main())
