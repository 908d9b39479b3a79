"""Who waits for whom when clients send their next request as soon as the last one is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from eke.cost import CostModel, Layouts
from eke.cost.closed_loop import ROUNDS, apart, steady
from eke.cost.layers import layers
from eke.fleet import catalogue as chips
from eke.fleet.chip import Chip
from eke.models import catalogue as models
from eke.models.architecture import Architecture
from eke.models.variant import Variant

ENGINES = ("vllm", "sglang", "trtllm")


@pytest.fixture(params=ENGINES)
def cost(request: pytest.FixtureRequest, llama_8b: Architecture, h100: Chip, fp8: Variant) -> CostModel:
    return CostModel(llama_8b, h100, fp8, engine=request.param)


def test_one_client_waits_for_nobody(cost: CostModel) -> None:
    """Alone, each token takes a decoding step, and the first one the prompt and what the engine adds."""
    one = Layouts.of(1)
    seen = steady(cost, one, 1, 2000, 400)
    assert seen.tpot_s == pytest.approx(cost.decode(one, 1, 2200).seconds)
    p, prompt = cost.profile, cost.prefill(one, 2000).seconds
    assert seen.ttft_s == pytest.approx(p.request_s + p.arrival_s + 2000 * p.token_s + prompt)


def test_more_clients_never_wait_less(cost: CostModel) -> None:
    """Both times grow with clients, and throughput does not fall while the cache has room."""
    clients = np.array([1, 2, 4, 8, 16, 32, 64])
    seen = steady(cost, Layouts.of(np.ones(7, int)), clients, 1024, 512)
    assert (np.diff(seen.ttft_s) > 0).all()
    assert (np.diff(seen.tpot_s) > 0).all()
    assert (np.diff(clients / (seen.ttft_s + 512 * seen.tpot_s)) > 0).all()


def test_who_does_not_fit_stands_outside(cost: CostModel) -> None:
    """Clients beyond the room in the cache add to the wait, not to the batch."""
    one = Layouts.of(1)
    room = int(cost.max_sequences(one, 9000)[0])
    full, over = (steady(cost, one, many, 8000, 2000) for many in (room, 4 * room))
    assert over.in_flight == pytest.approx(room)
    assert over.tpot_s == pytest.approx(full.tpot_s)
    assert over.ttft_s > full.ttft_s + 2 * 2000 * full.tpot_s


def test_more_clients_wait_no_less_where_ranks_read_together(fp8: Variant) -> None:
    """Whatever is read together is priced as one, before one's own first token and after it."""
    cost = CostModel(models.architecture("DeepSeek-R1"), chips.chip("B200-SXM"), fp8, engine="sglang")
    clients = np.arange(16, 400, 8)
    ranks = np.full(len(clients), 16)
    seen = steady(cost, Layouts.of(ranks // 16, 1, ranks, ranks), clients, 474, 90, differ=0.0, drafted=1)
    assert (np.diff(seen.ttft_s) > 0).all()
    assert (np.diff(seen.tpot_s) > -0.01 * seen.tpot_s[:-1]).all()


def test_pipeline_stages_read_side_by_side(llama_8b: Architecture, h100: Chip, fp8: Variant) -> None:
    """With four stages, four prompts are under way at once, so as many clients wait for a quarter of the prompts."""
    cost = CostModel(llama_8b, h100, fp8, engine="sglang")
    one, four = (steady(cost, Layouts.of(1, pp), 64, 4000, 400) for pp in (1, 4))
    assert four.ttft_s < 0.6 * one.ttft_s
    assert four.tpot_s < one.tpot_s


def _acted(cost: CostModel, clients: int, prompt: int, output: int, differ: float) -> tuple[float, float]:
    """Mean seconds to the first token, and for each one after it, of an engine that reads whoever waits before it goes
    on decoding, request by request.
    """
    one, dice, most = Layouts.of(1), np.random.default_rng(1), int(cost.profile.batched_tokens // prompt)
    read = [0.0, *(cost.prefill(one, prompt, prompts=k).seconds.item() for k in range(1, most + 1))]
    counts = np.arange(1, clients + 1)
    step = [0.0, *cost.decode(Layouts.of(np.ones(clients, int)), counts, prompt + output / 2).seconds]
    waiting, clock = [(0.0, c) for c in range(clients)], 0.0
    left: dict[int, float] = {}
    began, wanted, sent = np.zeros(clients), np.zeros(clients), np.ones(clients)
    first, later = [], []
    while waiting or left:
        if waiting:
            some = waiting[: most if clock else 1]  # it begins with whoever comes first
            waiting = waiting[len(some) :]
            clock += read[len(some)]
            for came, c in some:
                first.append(clock - came)
                began[c], wanted[c] = clock, round(output * (1.0 + differ * (dice.random() - 0.5)))
                left[c] = wanted[c]
            continue
        clock += step[len(left)]
        left = {c: tokens - 1 for c, tokens in left.items()}
        for c in [c for c, tokens in left.items() if tokens <= 0]:
            later.append((clock - began[c]) / wanted[c])
            del left[c]
            sent[c] += 1
            if sent[c] <= ROUNDS:
                waiting.append((clock, c))
    return float(np.mean(first)), float(np.mean(later))


@pytest.mark.parametrize(
    ("clients", "prompt", "output", "differ"),
    [(4, 2000, 500, 0.2), (64, 2000, 500, 0.2), (64, 6000, 800, 0.2), (16, 2000, 300, 0.0), (64, 2000, 300, 0.05)],
)
def test_a_line_is_as_long_as_it_would_be_acted_out(
    llama_8b: Architecture, h100: Chip, fp8: Variant, clients: int, prompt: int, output: int, differ: float
) -> None:
    """The formula for an engine that stops to read meets every request of a run played through by the same rules."""
    cost, one = CostModel(llama_8b, h100, fp8, engine="sglang"), Layouts.of(1)
    seen, p = steady(cost, one, clients, prompt, output, differ=differ), cost.profile
    text = prompt * p.token_s * (1.0 + 0.5 * (clients - 1) / ROUNDS)
    met = p.turn * cost.decode(one, clients, prompt + output / 2).seconds
    beside = p.request_s + p.arrival_s * clients + text + met
    first, later = _acted(cost, clients, prompt, output, differ)
    assert seen.ttft_s - beside == pytest.approx(first, rel=0.07)
    assert seen.tpot_s == pytest.approx(later, rel=0.03)


def test_requests_of_one_length_stand_in_line(llama_8b: Architecture, h100: Chip, fp8: Variant) -> None:
    """Under an engine that stops to read, equal lengths move work from each token to the first."""
    cost = CostModel(llama_8b, h100, fp8, engine="sglang")
    equal, spread = (steady(cost, Layouts.of(1), 64, 1024, 512, differ=d) for d in (0.0, 0.5))
    assert equal.ttft_s > spread.ttft_s
    assert equal.tpot_s < spread.tpot_s


def test_drafting_makes_tokens_come_faster(cost: CostModel) -> None:
    """One client gets nearly all that an iteration yields; among many, the drafted tokens are work to verify."""
    gains = []
    for clients in (1, 256):
        plain, drafting = (steady(cost, Layouts.of(1), clients, 100, 100, drafted=k) for k in (0, 3))
        gains.append(float(plain.tpot_s[0] / drafting.tpot_s[0]))
    kept = sum(cost.profile.speculation**k for k in range(4))
    assert 0.95 * kept < gains[0] <= kept
    assert gains[1] < gains[0]


def test_drafts_that_are_all_kept_come_at_once(cost: CostModel) -> None:
    """With nothing lost, an iteration gives every drafted token and its own; without drafts, one."""
    sure = CostModel(
        cost.over(Layouts.of(1)).model.architecture, cost.chip, Variant("fp8", 8.0, "fp8", 8.0, None),
        engine=cost.profile.engine, profile=replace(cost.profile, speculation=1.0),
    )  # fmt: skip
    for drafted in (0, 3):
        seen = steady(sure, Layouts.of(1), 1, 100, 100, drafted=drafted)
        beat = sure.decode(Layouts.of(1), 1, 150, 1.0 + drafted).seconds
        assert seen.tpot_s == pytest.approx(beat / (1.0 + drafted))


def test_too_few_readers_bound_the_whole(cost: CostModel) -> None:
    """With one reader for many clients, throughput is what the reader can read, and the rest is waiting."""
    one = Layouts.of(1)
    seen = apart(cost, cost, one, one, 2000, 8000, 50, readers=1, decoders=8)
    together = np.clip(cost.profile.batched_tokens / 8000, 1.0, None)
    reads = together / cost.prefill(one, 8000, prompts=together).seconds
    cycle = seen.ttft_s + 50 * seen.tpot_s
    assert 2000 / cycle == pytest.approx(reads, rel=0.25)


def test_readers_nobody_counts_keep_up(cost: CostModel) -> None:
    """Where the number of readers is not known, enough are taken that nobody waits longer than with few."""
    one = Layouts.of(1)
    unknown, single = (apart(cost, cost, one, one, 500, 4000, 100, readers=r, decoders=4) for r in (0, 1))
    assert unknown.ttft_s < single.ttft_s


def test_a_request_that_is_held_waits_iterations(cost: CostModel) -> None:
    """Alone, nobody reads beside it: ten iterations kept waiting are ten times what a token takes."""
    one = Layouts.of(1)
    plain, kept = (steady(cost, one, 1, 500, 200, held=held) for held in (0.0, 10.0))
    assert kept.ttft_s - plain.ttft_s == pytest.approx(10.0 * plain.tpot_s)
    assert kept.tpot_s == pytest.approx(plain.tpot_s)


def test_equal_answers_come_back_together(cost: CostModel) -> None:
    """With lengths all equal, who comes back meets the prompts of those done before it, and waits for them; the more
    they differ the less, down to the share of time in which prompts are read at all.
    """
    one = Layouts.of(1)
    seen = [steady(cost, one, 16, 2000, 500, differ=d).ttft_s.item() for d in (0.0, 0.1, 0.5, 2.0)]
    assert seen == sorted(seen, reverse=True)
    alone = cost.prefill(one, 2000).seconds.item()
    assert seen[0] - seen[-1] > 0.3 * cost.profile.turn * alone


def test_a_rank_that_reads_one_prompt_at_a_time_is_no_faster(cost: CostModel) -> None:
    """Short prompts read one by one cost a launch each; read eight at a time the launches are shared."""
    one = Layouts.of(1)
    single, eight = (apart(cost, cost, one, one, 200, 100, 50, readers=1, decoders=8, reads=n) for n in (1, 8))
    assert single.ttft_s > eight.ttft_s


def test_who_finds_no_place_waits_for_answers(cost: CostModel) -> None:
    """Six clients come in turn to five engines of one place each: one of six waits, a fifth of an answer in the mean;
    with places for all nobody waits.
    """
    one = Layouts.of(1)
    few, many = (apart(cost, cost, one, one, 6, 100, 2000, readers=6, decoders=5, places=n) for n in (1, 6))
    answer = 2000 * few.tpot_s
    assert (few.ttft_s - many.ttft_s) / answer == pytest.approx(0.2, abs=0.03)


def test_reading_takes_as_long_as_launching_it(
    cost: CostModel, llama_8b: Architecture, h100: Chip, fp8: Variant
) -> None:
    """A prompt of one token costs the host as many launches as a longer one; decoding, in graphs, costs none."""
    one = Layouts.of(1)
    host = cost.profile.launch_s * layers(llama_8b).issued(cost.profile.engine)
    assert host > 0
    assert cost.prefill(one, 1).seconds >= host
    slower = CostModel(llama_8b, h100, fp8, profile=replace(cost.profile, launch_s=2 * cost.profile.launch_s))
    assert slower.prefill(one, 1).seconds >= 2 * host
    assert slower.decode(one, 4, 100).seconds == cost.decode(one, 4, 100).seconds


def test_a_linear_mixer_makes_host_and_chip_take_turns(h100: Chip, fp8: Variant) -> None:
    """SGLang reads lengths back in every such layer, so launches do not hide behind the chip's work, nor it behind
    them; under vLLM the longer of the two counts.
    """
    mixer = models.architecture("Qwen3.5-397B-A17B")
    eight = Layouts.of(8)
    for engine in ("sglang", "vllm"):
        cost = CostModel(mixer, h100, fp8, engine=engine)
        host = cost.profile.launch_s * layers(mixer).issued(engine)
        free = CostModel(mixer, h100, fp8, engine=engine, profile=replace(cost.profile, launch_s=0.0))
        chip, both = (of.prefill(eight, 8000).seconds.item() for of in (free, cost))
        assert both == pytest.approx(chip + host if engine == "sglang" else max(chip, host), rel=0.01)


def test_a_sparse_kernel_pads_the_heads_of_a_rank(fp8: Variant) -> None:
    """GLM-5's 64 heads on eight ranks are eight each: FlashMLA computes 64 of them on Hopper, all the same as one."""
    cost = CostModel(models.architecture("GLM-5"), chips.chip("H200-SXM"), fp8, engine="sglang")
    times = cost.prefill(Layouts.of([1, 8]), 8000)
    one, eight = times.by_operator[times.operators.index("attention prefill")]
    assert cost.profile.sparse_heads == 64.0
    assert eight == pytest.approx(one, rel=0.02)


@pytest.fixture
def deepseek(fp8: Variant) -> Callable[[str], CostModel]:
    return lambda engine: CostModel(models.architecture("DeepSeek-R1"), chips.chip("B200-SXM"), fp8, engine=engine)


EIGHT = Layouts.of(1, 1, 8, 8)


def test_idle_ranks_leave_experts_idle(deepseek: Callable[[str], CostModel]) -> None:
    """One prompt on one of eight data ranks takes as long in attention, and less in experts, than one on each."""
    cost = deepseek("trtllm")
    alone, all_eight = (cost.prefill(EIGHT, 8000, filled=filled) for filled in (1 / 8, 1.0))
    of = {name: k for k, name in enumerate(alone.operators)}
    shares = alone.by_operator[:, 0] / np.maximum(all_eight.by_operator[:, 0], 1e-12)
    assert shares[of["attention prefill"]] == shares[of["mlp"]] == 1.0
    assert shares[of["experts"]] < 0.4
    assert shares[of["expert all-to-all"]] < 0.2


def test_prompts_scattered_over_ranks_are_read_later(deepseek: Callable[[str], CostModel]) -> None:
    """With as many clients as ranks, chance puts several on one, and all wait for it."""
    cost = deepseek("trtllm")
    chance = CostModel(
        models.architecture("DeepSeek-R1"), cost.chip, Variant("fp8", 8.0, "fp8", 8.0, None),
        profile=replace(cost.profile, scattered=1.0),
    )  # fmt: skip
    even, odd = (apart(c, c, EIGHT, EIGHT, 64, 8000, 500, reads=4) for c in (cost, chance))
    assert odd.ttft_s > 1.1 * even.ttft_s


def test_prompts_not_yet_handed_over_take_slots(deepseek: Callable[[str], CostModel]) -> None:
    """SGLang's ranks hold one prompt each, which is handed over while the next iteration runs: only every other rank
    reads, so a line forms at half the rate or a little more, for the iterations are shorter.
    """
    cost = deepseek("sglang")
    one, many = (apart(cost, cost, EIGHT, EIGHT, 400, 8000, 500, decoders=4, reads=1, slots=n) for n in (1, 8))
    rates = [400 / (seen.ttft_s + 500 * seen.tpot_s) for seen in (one, many)]
    assert 0.5 < rates[0] / rates[1] < 0.9


def test_few_ranks_of_experts_gather_all_tokens(deepseek: Callable[[str], CostModel]) -> None:
    """Bytes over the link at eight ranks and eight experts a token, in 8 bits: 7 x 2 each way gathered, 4 times that by
    two all-reduces, 4.6 x (1 + 2) sent; sixteen ranks send. Small messages take the library's latency.
    """

    def link(cost: CostModel, layout: Layouts, tokens: int = 64000) -> float:
        times = cost.prefill(layout, tokens)
        return float(times.by_operator[times.operators.index("expert all-to-all"), 0])

    gathers, reduces = link(deepseek("trtllm"), EIGHT), link(deepseek("sglang"), EIGHT)
    assert reduces / gathers == pytest.approx(2.0, rel=0.03)
    cost = deepseek("trtllm")
    sends = CostModel(
        models.architecture("DeepSeek-R1"), cost.chip, Variant("fp8", 8.0, "fp8", 8.0, None),
        profile=replace(cost.profile, gathers=0.0),
    )  # fmt: skip
    assert gathers / link(sends, EIGHT) == pytest.approx(28.0 / (8 * (1 - (7 / 8) ** 8) * 7 / 8 * 3), rel=0.05)
    sixteen = Layouts.of(1, 1, 16, 16)
    assert link(cost, sixteen) == link(sends, sixteen)
    mixtures = models.architecture("DeepSeek-R1").layers - 3
    assert link(cost, EIGHT, 1) == pytest.approx(2 * mixtures * cost.profile.latency_gather_s, rel=0.05)
