"""One kind of chip as an engine finds it: rates after efficiency, and links by domain. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass

from eke.cost.profile import Profile, at_most
from eke.errors import InputError
from eke.figures import FALLBACK, Precision
from eke.fleet.chip import Chip

# Where nobody says how fast the links are.
PCIE_BYTES_PER_S = 25e9  # PCIe 4.0 x16, one way, what transfers really reach
UNKNOWN_SCALE_OUT_BYTES_PER_S = 12.5e9  # 100 Gb/s


@dataclass(frozen=True, slots=True)
class Machine:
    """A chip under a profile.

    Attributes:
        domain: chips that share the fast link. up, out: bytes/s one way inside and outside it, as reached.
        pair: inside it where two chips have the link, a host's bridge, to themselves.
    """

    chip: Chip
    profile: Profile
    domain: int
    up: float
    out: float
    pair: float

    @property
    def bandwidth(self) -> float:
        """Nominal memory bytes/s."""
        return self.chip.memory_bandwidth

    def precision(self, wanted: Precision) -> Precision:
        """What the chip computes in when asked for `wanted`.

        Raises:
            InputError: the chip has no figure for any precision that would do.
        """
        for candidate in (wanted, *FALLBACK[wanted]):
            if self.chip.flops.get(candidate):
                return candidate
        raise InputError(f"{self.chip.name}: no peak FLOP/s is known", remedy="eke calibrate, or give `flops:`")

    def rate(self, wanted: Precision) -> float:
        """Saturated GEMM FLOP/s in what the chip has for `wanted`."""
        has = self.precision(wanted)
        return self.chip.flops[has] * self.profile.gemm_share(has) * self.profile.sustained


def machine(chip: Chip, *, chips_per_node: int, scale_out: float | None, profile: Profile) -> Machine:
    """`chip` under a profile; links nobody states are taken slow and lower the basis."""
    if chip.memory_bandwidth <= 0 or chip.memory <= 0:
        raise InputError(f"{chip.name}: memory and its bandwidth are not known", remedy="eke calibrate, or state them")
    alone = chip.scale_up_chips <= 1 or chip.scale_up is None
    out = scale_out or chip.scale_out
    if chip.scale_up is None or (out is None and chip.kind != "cpu"):
        profile = at_most(profile, "guessed" if chip.scale_up is None and chip.scale_up_chips > 1 else "modelled")
    up = chip.scale_up or PCIE_BYTES_PER_S
    return Machine(
        chip=chip,
        profile=profile,
        domain=chips_per_node if alone else chip.scale_up_chips,
        up=up * profile.link_up,
        pair=up * (profile.link_pair or profile.link_up),
        out=(out or UNKNOWN_SCALE_OUT_BYTES_PER_S) * profile.link_out,
    )
