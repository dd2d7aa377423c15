"""One process per host: wires trackers to ports, serves the local API, holds configuration and security."""
