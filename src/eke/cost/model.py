"""The cost model's face: one architecture, variant, kind of chip and engine family; layouts in, times and bytes out."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from eke.cost import memory as _memory
from eke.cost import serving, trainers, training
from eke.cost.forward import Pass, prepare
from eke.cost.layers import layers
from eke.cost.layers import sharding as sharding_of
from eke.cost.machine import machine
from eke.cost.profile import find, of_weights
from eke.cost.tables import Basis, FloatArray, IntArray, Layouts, Memory, Times
from eke.cost.training_job import Job, Recompute, State
from eke.figures import Precision
from eke.models.variant import Variant

if TYPE_CHECKING:
    from eke.cost.profile import Profile
    from eke.cost.trainers import Trainer
    from eke.fleet.chip import Chip
    from eke.models.architecture import Architecture


class CostModel:
    """How fast, and in how much memory, one model runs on one kind of chip under one engine family.

    Counts are numbers or arrays that broadcast to the n rows of the layouts. No method loops over rows.

    Args:
        architecture: the model. chip: what it runs on. variant: in which precision.
        engine: family of engine whose efficiencies hold: see `eke.cost.profile.engines`.
        chips_per_node: domain of PCIe where a chip has no scale-up link.
        scale_out: bytes/s one way per chip between nodes; default: the chip's.
        profile: efficiencies to use instead of those found for the chip.
        trainer: the same for training; default: those of `engine` where it is a training framework.

    Attributes:
        basis: `measured`, `modelled` or `guessed`: how well the efficiencies are known.
        interval: factors (low, high) that make an 80% interval of predicted seconds.
        source: where the coefficients come from.
    """

    def __init__(
        self,
        architecture: Architecture,
        chip: Chip,
        variant: Variant,
        *,
        engine: str = "vllm",
        chips_per_node: int = 8,
        scale_out: float | None = None,
        profile: Profile | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        profile = of_weights(profile or find(chip, engine), variant.vector_rate)
        self._machine = machine(chip, chips_per_node=chips_per_node, scale_out=scale_out, profile=profile)
        self._layers = layers(architecture)
        self._variant = variant
        self.profile = self._machine.profile
        trains = engine in trainers.families()
        self._given = trainer
        self._family = engine if trains else "torch" if chip.kind == "cpu" else "megatron"
        known = self._trainer if trains else self.profile
        self.basis: Basis = known.basis
        self.interval: tuple[float, float] = known.interval
        self.source: str = known.source

    def serving_memory(self, layouts: Layouts, sequences: ArrayLike, context: ArrayLike) -> Memory:
        """Bytes per chip with `sequences` in flight over the replica, of `context` tokens each."""
        return _memory.serving_memory(self.over(layouts), self._rows(layouts, sequences), self._rows(layouts, context))

    def memory_parts(self, layouts: Layouts, sequences: ArrayLike, context: ArrayLike) -> dict[str, FloatArray]:
        """What `serving_memory` adds up, by part: bytes per chip."""
        return _memory.parts(self.over(layouts), self._rows(layouts, sequences), self._rows(layouts, context))

    def max_sequences(self, layouts: Layouts, context: ArrayLike) -> IntArray:
        """Most sequences of `context` tokens a replica holds; 0 where the weights do not fit."""
        return _memory.max_sequences(self.over(layouts), self._rows(layouts, context))

    def prefill(
        self, layouts: Layouts, tokens: ArrayLike, past: ArrayLike = 0, prompts: ArrayLike = 1, filled: ArrayLike = 1
    ) -> Times:  # fmt: skip
        """Time of `prompts` equal prompts, read together, of `tokens` new tokens each after `past` cached ones.

        Every data rank reads such prompts and every pipeline stage is busy: a replica finishes pp*dp*prompts in this
        time; or `filled` times as many, where `prompts` are those of the fullest data rank, for which the rest wait.
        """
        rows = (self._rows(layouts, x) for x in (tokens, past, prompts, filled))
        return serving.prefill(self.over(layouts), *rows)

    def decode(self, layouts: Layouts, sequences: ArrayLike, context: ArrayLike, each: ArrayLike = 1.0) -> Times:
        """Time in which each of the replica's `sequences` passes `each` tokens, at mean `context` tokens.

        That is one token, or with speculative decoding one and those drafted for it.
        """
        return self.mixed(layouts, 0.0, sequences, context, each)

    def mixed(
        self, layouts: Layouts, prefill_tokens: ArrayLike, sequences: ArrayLike, context: ArrayLike,
        each: ArrayLike = 1.0,
    ) -> Times:  # fmt: skip
        """One iteration: `prefill_tokens` of prompts, over the whole replica, beside the decoding of `sequences`."""
        return serving.mixed(
            self.over(layouts),
            self._rows(layouts, prefill_tokens),
            self._rows(layouts, sequences),
            self._rows(layouts, context),
            self._rows(layouts, each),
        )

    def seconds(
        self, layouts: Layouts, prefill_tokens: ArrayLike, sequences: ArrayLike, context: ArrayLike,
        depth: ArrayLike | None = None,
    ) -> FloatArray:  # fmt: skip
        """What `mixed` takes in all, for searches that do not ask where time goes. [n], or [n, k] as counts are.

        With counts of two dimensions a row of them belongs to each layout, and what depends on the layout alone is
        worked out once for all k.

        Args:
            layouts: n of them.
            prefill_tokens: of prompts, over the whole replica.
            sequences: that decode.
            context: of these, tokens.
            depth: tokens of the prompts that are read, in the mean over their tokens; None: as `context`.
        """
        shape = np.broadcast_shapes(*(np.shape(x) for x in (prefill_tokens, sequences, context)))
        if len(shape) == 2:
            layouts = layouts.upright()
        else:
            shape = layouts.tp.shape
        fresh, held, long = (np.asarray(x, dtype=np.float64) for x in (prefill_tokens, sequences, context))
        return serving.seconds(
            self.over(layouts), np.broadcast_to(fresh, shape), np.broadcast_to(held, shape), long,
            long if depth is None else np.asarray(depth, dtype=np.float64),
        )  # fmt: skip

    def training(
        self,
        layouts: Layouts,
        micro_batch: ArrayLike,
        sequence: ArrayLike,
        global_batch_tokens: ArrayLike,
        precision: Precision = "bf16",
        *,
        recompute: Recompute | None = None,
        sharding: State = "zero1",
        context_parallel: ArrayLike = 1,
        virtual_stages: ArrayLike | None = None,
        frozen: bool = False,
    ) -> tuple[Times, Memory]:
        """One optimizer step; `Memory.fits` says whether it can be.

        Args:
            layouts: chips of one job: tp*pp*dp, times `context_parallel`.
            micro_batch: sequences a data rank takes at a time.
            sequence: tokens of each.
            global_batch_tokens: tokens of a step over all data ranks.
            precision: of the matrix products; weights and gradients stay in 16 bits.
            recompute: `none`, `selective` (what is cheap) or `full`; None: the least share of layers that fits.
            sharding: data ranks share out optimizer state (`zero1`), and gradients (`zero2`), and weights (`zero3`).
            context_parallel: ranks that cut each sequence, beside tp, pp and dp.
            virtual_stages: pieces of the model a pipeline rank holds; None: as many as layers allow and engines do.
            frozen: the weights stay as they are (adapters are trained beside them).
        """
        to = sharding_of(layouts, training=True, shares_memory=self._machine.chip.kind == "cpu")
        depth = self._layers.architecture.layers // to.pp
        most = self.profile.virtual_stages if virtual_stages is None else self._rows(layouts, virtual_stages)
        chunks = np.where(to.pp > 1, np.maximum(np.minimum(depth, most), 1.0), 1.0)
        cp, has = self._rows(layouts, context_parallel), self._machine.precision(precision)
        job = Job(self._machine, self._layers, to, self._trainer, has, recompute, sharding, cp, chunks, frozen)
        return training.step(
            job,
            self._rows(layouts, micro_batch),
            self._rows(layouts, sequence),
            self._rows(layouts, global_batch_tokens),
        )

    def training_flop_per_token(self, sequence: float) -> float:
        """Forward and backward FLOP of one token in sequences of `sequence`: what MFU counts."""
        return training.flop_per_token(self._layers, float(sequence))

    @cached_property
    def _trainer(self) -> Trainer:
        return self._given or trainers.find(self.chip, self._family)

    @property
    def chip(self) -> Chip:
        """What it runs on."""
        return self._machine.chip

    @property
    def domain(self) -> int:
        """Chips that share the fast link."""
        return self._machine.domain

    @property
    def memory_limit(self) -> float:
        """Bytes of a chip the engine may use."""
        return self._machine.chip.memory * self.profile.usable

    def peak(self, precision: Precision) -> float:
        """The chip's peak FLOP/s in what it has for `precision`: what MFU is a share of."""
        return self._machine.chip.flops[self._machine.precision(precision)]

    def over(self, layouts: Layouts) -> Pass:
        """What stays the same whatever is asked of serving in these layouts."""
        to = sharding_of(layouts, training=False, shares_memory=self._machine.chip.kind == "cpu")
        return prepare(self._machine, self._layers, self._variant, layouts, to)

    @staticmethod
    def _rows(layouts: Layouts, values: ArrayLike) -> FloatArray:
        return np.broadcast_to(np.asarray(values, dtype=np.float64), len(layouts.tp))
