"""The one version number of both distributions, `traghetto` and `traghetto-server`."""

__version__ = "0.1.0"
