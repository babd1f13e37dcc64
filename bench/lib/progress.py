"""What a long measurement says meanwhile."""

import sys


def say(text: str) -> None:
    """Show progress."""
    print(text, file=sys.stderr, flush=True)
