"""One iteration of a serving engine: reading prompts, decoding, or both. Knows no queue and no clock.

Counts are the whole replica's; data ranks share the work evenly.
With pp stages, pp micro-batches are under way, each 1/pp of the replica's sequences:
`seconds` is the time in which every one of them moves by one step.
"""

from __future__ import annotations

import numpy as np

from eke.cost._bill import Bill, Priced, Total
from eke.cost.forward import OPERATORS, Pass, Tokens, forward
from eke.cost.tables import FloatArray, Times


def _put(bill: Priced, of: Pass, tokens: Tokens) -> None:
    p = of.on.profile
    forward(bill, of, tokens)
    host, issued = p.host_s * of.model.architecture.layers, (tokens.fresh > 0) * of.issuing_s
    hidden = 0.0 if of.in_turn else issued  # behind the chip's work
    waits = np.maximum(host + hidden - bill.seconds_of(), 0.0) + (issued - hidden)
    bill.add("engine", overhead=waits + p.step_s + p.sequence_s * tokens.sequences)


def _priced(of: Pass, tokens: Tokens) -> Times:
    bill = Bill(len(of.to.tp), OPERATORS)
    _put(bill, of, tokens)
    return bill.times()


def _per_rank(count: FloatArray, of: Pass, least: float) -> FloatArray:
    """A replica's count on one data rank in one micro-batch; not less than `least` where there is any. [n]"""
    local: FloatArray = np.where(count > 0, np.maximum(count / (of.to.dp * of.to.pp), least), 0.0)
    return local


def prefill(of: Pass, tokens: FloatArray, past: FloatArray, prompts: FloatArray, filled: FloatArray) -> Times:
    """`prompts` [n] of `tokens` [n] new tokens each after `past` [n] cached ones, on the fullest data rank; `filled`
    [n] of them on the mean one.
    """
    zero = np.zeros_like(tokens)
    return _priced(
        of, Tokens(tokens * prompts, past, prompts, sequences=zero, context=zero, parts=prompts, filled=filled)
    )


def mixed(of: Pass, fresh: FloatArray, sequences: FloatArray, context: FloatArray, each: FloatArray) -> Times:
    """A chunk of `fresh` [n] prompt tokens beside `sequences` [n] that decode `each` [n] at mean `context` [n]."""
    return _priced(of, _beside(of, fresh, sequences, context, context, each))


def seconds(
    of: Pass, fresh: FloatArray, sequences: FloatArray, context: FloatArray, depth: FloatArray
) -> FloatArray:  # fmt: skip
    """What `mixed` takes in all, at half the cost of telling operators apart; the chunk lies in prompts of `depth`."""
    bill = Total(sequences.shape)
    _put(bill, of, _beside(of, fresh, sequences, context, depth))
    return bill.seconds_of()


def _beside(
    of: Pass, fresh: FloatArray, sequences: FloatArray, context: FloatArray, depth: FloatArray,
    each: FloatArray | float = 1.0,
) -> Tokens:  # fmt: skip
    """The chunk is taken as the middle of a prompt of `depth` tokens."""
    local = _per_rank(sequences, of, 1.0)
    chunk = _per_rank(fresh, of, 0.0)
    past = np.maximum(depth - chunk, 0.0) / 2
    rows = local * each + np.minimum(chunk, 1.0)
    return Tokens(chunk, past, rows, local, context, parts=np.ones_like(chunk), each=each)
