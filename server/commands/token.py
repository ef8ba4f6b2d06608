"""The command traghetto-token: makes a token for a client, and the line that lets it in."""

from __future__ import annotations

import argparse
import sys

from server.access.tokens import hash_of, new_token


def main() -> int:
    """Print a new token to standard output, and what the access file holds of it to standard error."""
    parser = argparse.ArgumentParser(
        prog="traghetto-token",
        description="Makes a token, to standard output alone and this once. To standard error goes its hash, "
        "the line for the tenant's table in the access file.",
    )
    parser.parse_args()
    token = new_token()
    print(token)
    print(f'tokens = ["{hash_of(token)}"]', file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
