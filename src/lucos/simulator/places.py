"""Where the hosts of a platform are in the plane of Vivaldi's coordinates, from its latencies."""

from __future__ import annotations

import numpy as np

from lucos.overlay import Coordinate
from lucos.simulator.platform import Platform

HEIGHT_S = 1e-5


def coordinates_of(platform: Platform) -> dict[str, Coordinate]:
    """A coordinate for each host: its site's place, and beside it its own, in the order of the hosts.

    Sites are laid out by classical multidimensional scaling of the round trips between them.
    """
    names = [site.name for site in platform.sites]
    rtt_s = np.full((len(names), len(names)), platform.between_rtt_ms / 1000.0)
    np.fill_diagonal(rtt_s, 0.0)
    for (a, b), rtt_ms in platform.rtt_ms.items():
        i, j = names.index(a), names.index(b)
        rtt_s[i, j] = rtt_s[j, i] = rtt_ms / 1000.0
    centring = np.eye(len(names)) - 1.0 / len(names)
    values, vectors = np.linalg.eigh(-0.5 * centring @ rtt_s**2 @ centring)
    largest = np.argsort(values)[::-1][:2]
    at_s = vectors[:, largest] * np.sqrt(np.maximum(values[largest], 0.0))
    places = {name: (float(x_s), float(y_s)) for name, (x_s, y_s) in zip(names, _two(at_s), strict=True)}
    local_s = {site.name: site.local_rtt_ms / 1000.0 for site in platform.sites}
    counts: dict[str, int] = {}
    for host in platform.hosts:
        counts[host.site] = counts.get(host.site, 0) + 1
    found: dict[str, Coordinate] = {}
    met: dict[str, int] = {}
    for host in platform.hosts:
        rank = met[host.site] = met.get(host.site, 0) + 1
        x_s, y_s = places[host.site]
        # Along a line as long as the site's round trip: neighbours in the rack are nearest.
        offset_s = local_s[host.site] * (rank / counts[host.site] - 0.5)
        found[host.name] = Coordinate(x_s + offset_s, y_s, HEIGHT_S, 0.1)
    return found


def _two(at_s: np.ndarray) -> np.ndarray:
    """Two columns, also of a single site."""
    return np.pad(at_s, ((0, 0), (0, 2 - at_s.shape[1])))
