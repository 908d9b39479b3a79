"""Collectives between chips: latency plus bytes over the link of the domain they cross. Seconds of (link, latency).

A group of g ranks at a stride has m of them inside one scale-up domain and spans g/m domains. Collectives are
hierarchical: inside the domain over the fast link, then each of the m ranks carries 1/m across.
"""

from __future__ import annotations

import numpy as np

from eke.cost._bill import Term
from eke.cost.machine import Machine
from eke.cost.tables import FloatArray, IntArray

ONE_SHOT_BYTES = 4e6  # where engines go over to two steps


class Group:
    """Ranks that talk to each other: g [n] ranks, each `stride` [n] chips from the next."""

    __slots__ = ("domains", "inside", "latency", "on", "ranks", "up")

    def __init__(self, on: Machine, ranks: IntArray, stride: IntArray | int = 1) -> None:
        p = on.profile
        self.on = on
        self.ranks: FloatArray = np.asarray(ranks, dtype=np.float64)
        self.inside: FloatArray = np.clip(on.domain // np.maximum(stride, 1), 1, ranks).astype(np.float64)
        self.domains: FloatArray = np.ceil(self.ranks / self.inside)
        self.up: FloatArray = np.where(self.inside == 2, on.pair, on.up)
        hops = p.latency_hop_s * np.log2(self.ranks)
        self.latency: FloatArray = (
            (self.inside > 1) * p.latency_up_s + (self.domains > 1) * p.latency_out_s + hops
        )  # 0 for a group of one

    def reduce_scatter(self, size: Term) -> tuple[FloatArray, FloatArray]:
        """Each rank begins with `size` bytes and ends with its share of the sum; an all-gather costs the same."""
        m, d = self.inside, self.domains
        link: FloatArray = size * ((m - 1) / m / self.up + (d - 1) / d / m / self.on.out)
        return link, self.latency

    def all_reduce(self, size: Term) -> tuple[FloatArray, FloatArray]:
        """Every rank ends with the sum of `size` bytes: a reduce-scatter and an all-gather.

        Small messages may go in one shot, every rank's whole message to every other inside the domain: m - 1 times
        the size instead of 2 (m - 1)/m times, for one step less. `one_shot` says how far an engine does so.
        """
        link, latency = self.reduce_scatter(size)
        m = self.inside
        surplus = self.on.profile.one_shot * np.maximum(m - 1.0 - 2.0 * (m - 1.0) / m, 0.0)
        return 2.0 * link + surplus * size / (1.0 + size / ONE_SHOT_BYTES) / self.up, latency

    def all_to_all(self, size: Term, across: Term | None = None) -> tuple[FloatArray, FloatArray]:
        """Every rank sends `size` bytes, spread evenly over the group; both links work at once.

        `across`: bytes of it that go to other domains, where less does than the spread says.
        """
        g, m = self.ranks, self.inside
        leaving = size * (g - m) / g if across is None else across * (g > m)
        return np.maximum(size * (m - 1) / g / self.up, leaving / self.on.out), self.latency


def send(on: Machine, size: Term, span: IntArray) -> tuple[FloatArray, FloatArray]:
    """One rank hands `size` bytes to the next stage of a replica that spans `span` chips."""
    p = on.profile
    near = span <= on.domain
    return size / np.where(near, on.up, on.out), np.where(near, p.latency_up_s, p.latency_out_s)
