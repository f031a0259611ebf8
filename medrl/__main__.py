"""`python -m medrl` is `medrl`."""

from medrl.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
