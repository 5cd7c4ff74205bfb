"""Many models of one architecture: their calls, training, streams and files."""

from rnncore.fleet.fleet import Fleet
from rnncore.fleet.history import FleetHistory, FleetProgress
from rnncore.fleet.stream import FleetStream

__all__ = ["Fleet", "FleetHistory", "FleetProgress", "FleetStream"]
