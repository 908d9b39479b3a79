"""What software can do to make chips go further, by name: the list that a scenario's `without` and `eke savings` use.

Here is what each is called and what it is; how a plan does without it stands where recipes and rows are made.
"""

from __future__ import annotations

from dataclasses import dataclass

from eke.errors import UnknownName


@dataclass(frozen=True, slots=True)
class Optimisation:
    """One thing a plan may do, or be told to do without.

    Attributes:
        group: optimisations that are told as one where they share a saving.
        says: what it is, in a line. planned: plans can use it; else `why_not` says why they do not.
        priced: recipes must be asked for again without it; else some are only left out.
    """

    name: str
    group: str
    says: str
    priced: bool = True
    why_not: str = ""

    @property
    def planned(self) -> bool:
        """Whether plans can use it at all."""
        return not self.why_not


ALL = (
    Optimisation("fp8", "precision", "weights and products in 8-bit floating point"),
    Optimisation("int8", "precision", "weights and products in 8-bit integers"),
    Optimisation("int4", "precision", "weights in 4 bits, products in 16"),
    Optimisation("fp4", "precision", "weights in 4-bit floating point, as published"),
    Optimisation("kv-cache-8bit", "precision", "keys and values in 8 bits",
                 why_not="no quality of these models with an 8-bit cache is published"),
    Optimisation("continuous-batching", "batching", "requests join and leave a batch at every token"),
    Optimisation("chunked-prefill", "batching", "long prompts are read in parts, beside the tokens of others"),
    Optimisation("prefix-caching", "caching", "what prompts have in common is read once"),
    Optimisation("speculative-decoding", "decoding", "several tokens guessed, then checked at once",
                 why_not="no acceptance rate is known for these models on this traffic"),
    Optimisation("smaller-models", "models", "a smaller model answers a share of the requests", priced=False),
    Optimisation("expert-parallelism", "parallelism", "whole experts on different chips, instead of parts of each"),
    Optimisation("prefill-decode-split", "parallelism", "some chips read prompts, others write answers", priced=False),
    Optimisation("mixed-placement", "sharing", "each workload on the chips that suit it, not a share of all",
                 priced=False),
    Optimisation("day-night", "sharing", "chips change their work as demand comes and goes", priced=False),
    Optimisation("mixed-training", "sharing", "one training job over several kinds of chip, in step", priced=False),
)  # fmt: skip

NAMES = tuple(o.name for o in ALL)


def optimisation(name: str) -> Optimisation:
    """By name.

    Raises:
        UnknownName: nothing is called so.
    """
    found = next((o for o in ALL if o.name == name), None)
    if found is None:
        raise UnknownName("optimisation", name, NAMES, remedy=f"one of {', '.join(NAMES)}")
    return found
