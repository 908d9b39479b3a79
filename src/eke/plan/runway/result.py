"""What a runway says: generations with their dates and chances, when the stock stops sufficing, how it was reckoned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from eke.cost import Basis

FORMAT = "eke.runway/1"
Quantiles = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Outlook:
    """One generation.

    Attributes:
        parameters, active_parameters, tokens, flop: what is trained.
        start_days, end_days: p10, p50, p90 from today; None beyond the horizon.
        chance: that it is done within the horizon. done: share of it done then, in the mean.
        pools: chips that train it in the mean over a day, in a future like the median, halfway through.
        binds: what would have to grow for it to end earlier.
        effective_share: share of its gangs' time that counts, in the median.
        tokens_per_s: trained in the median, halfway through.
        basis: of the least known speed it is trained at. rests_on: share of the gang's speed, by basis.
    """

    name: str
    model: str
    parameters: float
    active_parameters: float
    tokens: float
    flop: float
    start_days: Quantiles
    end_days: Quantiles
    chance: float
    done: float
    pools: Mapping[str, float]
    binds: str
    effective_share: float | None
    tokens_per_s: float | None
    basis: str
    rests_on: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the fan: chips left, serving, chips that serve at the least, in p10, p50, p90."""

    day: float
    chips: Mapping[str, Quantiles]
    serving: Quantiles
    room: Quantiles


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What another failure rate would do: `failures` times as many stops; end of each generation in the median, and in
    p10 and p90.
    """

    chips: str
    failures: float
    end_days: Mapping[str, float | None]
    generations: float
    interval_days: Mapping[str, tuple[float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Today:
    """The first month beside the plan, both at the slow side of speeds, which plans take.

    Attributes:
        tokens_per_s: that this program trains, gangs and replicas being split; None: nothing.
        plan_tokens_per_s: that `eke plan` does, in whole ones; None: nothing.
    """

    tokens_per_s: float | None
    plan_tokens_per_s: float | None

    @property
    def difference(self) -> float | None:
        """How much more the program trains than the plan; None where one of them does nothing."""
        if not self.tokens_per_s or not self.plan_tokens_per_s:
            return None
        return self.tokens_per_s / self.plan_tokens_per_s - 1


@dataclass(frozen=True, slots=True)
class Runway:
    """How long the stock lasts.

    Attributes:
        expected_generations: done within the horizon in the mean, parts counted.
        serving_until, training_until: days; None beyond the horizon.
        first_to_run_out: in words. runs_out: of each kind of chip, the share of futures in which it is the one that is
            short when serving or training stops sufficing.
        suffices_basis: of the least known speed that serving and training rest on.
        assumptions: what was taken where the scenario does not say, and what the figures stand on.
        today: the first month beside the plan.
        tolerance: by how much a month's training is overstated, in the mean of months drawn at random.
    """

    scenario: str
    horizon_days: float
    samples: int
    seed: int
    generations: tuple[Outlook, ...]
    expected_generations: float
    finished: Quantiles
    serving_until: Quantiles
    serving_chance: float
    training_until: Quantiles
    training_chance: float
    first_to_run_out: str
    runs_out: Mapping[str, float]
    suffices_basis: Mapping[str, Basis | None]
    months: tuple[Month, ...]
    failures: tuple[Sensitivity, ...]
    assumptions: tuple[str, ...]
    today: Today
    tolerance: float
    seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """As `eke runway -o json` prints it."""
        told = asdict(self)
        told["today"]["difference"] = self.today.difference
        serving, training = told.pop("serving_until"), told.pop("training_until")
        basis = told.pop("suffices_basis")
        chances = {"serving": told.pop("serving_chance"), "training": told.pop("training_chance")}
        return {
            "format": FORMAT,
            **told,
            "suffices_until": {
                "serving_days": serving,
                "training_days": training,
                "chance_throughout": chances,
                "basis": basis,
            },
        }
