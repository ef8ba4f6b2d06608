"""Keeps clients' words out of what gRPC's core logs: imported before gRPC, which reads this as it begins.

At its default level the core writes the text that a client ends its connection with (GOAWAY) to standard
error. An operator who sets the variable gets what it says.
"""

from __future__ import annotations

import os

os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
