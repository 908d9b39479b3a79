"""Settings of published runs that no column holds: how the scripts of InferenceX start an engine.

Read from github.com/SemiAnalysisAI/InferenceX (Apache-2.0; benchmarks/*.sh at the days of the runs). They say how long
a request waits by design, how much is read at once and whether CUDA graphs hold it. What a row measured decides
nothing, with one exception, at GRAPHS.
"""

from __future__ import annotations

from dataclasses import dataclass

Layout = tuple[int, int, int]  # tp, ep, dp

FLOOR = "2026-01-20"  # from here on TensorRT-LLM reads 8,192 tokens an iteration at least; before, one prompt
GRAPHS = {("fp8", False): "2026-01-29", ("fp4", False): "2026-02-03", ("fp4", True): "2026-02-06"}
"""First day of CUDA graphs where prompts are read: DeepSeek on B200 under TensorRT-LLM, by precision and drafting.
Those of fp8 with drafting (2026-02-05) change nothing in what was measured, and are read as none.
"""
NEVER = "9999"
FIRST = "2025-11-02"
WARMED = "2026-01-21"  # from here on twice as many requests as clients are sent before any is measured
SHORT = (1024, 1024)
# SGLang on B200 where scripts switch DeepGEMM off: products of 8-bit blocks by FlashInfer's trtllm kernel, 360 to 442
# TFLOP/s from 128 to 2,048 tokens where DeepGEMM has up to 2,771 (measured in sgl-project/sglang, pull request 13528).
FLASHINFER = 440e12
DEEPGEMM = {"Qwen3.5": "2026-04-30", "DeepSeek": NEVER}  # first day with it; other models always
DEEPGEMM_APART = "2026-03-12"  # prompts of 8,192 tokens; shorter ones never


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine was started.

    Attributes:
        held: iterations a request waits before the engine looks at it.
        tokens: tokens an iteration reads at most; 0: the engine's own default.
        graphs: prompts are read within CUDA graphs.
        sends: tokens are sent to their experts by DeepEP, however few ranks hold them.
        memory: share of a chip's memory for weights and cache; 0: the engine's own default.
        cold: the first requests that are measured wait until kernels are compiled.
        balanced: prompts are held back until every data rank has one, so that none waits for another's.
        products: FLOP/s of dense products in 8 bits, by a kernel that is not in the tables; 0: as in the tables.
    """

    held: float = 0.0
    tokens: float = 0.0
    graphs: bool = False
    sends: bool = False
    memory: float = 0.0
    cold: bool = False
    balanced: bool = False
    products: float = 0.0


@dataclass(frozen=True, slots=True)
class Case:
    """One run as far as its settings depend on it."""

    engine: str
    model: str
    chip: str
    variant: str
    layout: Layout
    clients: int
    prompt: int
    output: int
    drafts: bool
    date: str


def settings(run: Case) -> Settings:
    """What the script of that day set for this run."""
    return {"sglang": _sglang, "trtllm": _trtllm, "vllm": _vllm}.get(run.engine, lambda _: Settings())(run)


def apart(run: Case) -> Settings:
    """The same where pools are apart: of SGLang's recipes, those of GB200 in fp8 ask for DeepEP (`moe-a2a-backend`)."""
    eight = run.engine == "sglang" and run.variant == "fp8"
    slow = run.chip == "B200-SXM" and (run.prompt < 8192 or run.date < DEEPGEMM_APART)
    return Settings(sends=eight and run.chip == "GB200", products=FLASHINFER if eight and slow else 0.0)


def layout(run: Case) -> Layout:
    """Ranks of one engine. TensorRT-LLM's of 2025-11-02 stand as tensor ranks alone: scripts of that day shared experts
    out, and attention too, from so many clients on.
    """
    tp, _, dp = run.layout
    c, lengths, deepseek = run.clients, (run.prompt, run.output), run.model.startswith("DeepSeek")
    if run.engine != "trtllm" or run.date != FIRST or not (deepseek or run.model.startswith("gpt-oss")):
        return run.layout
    ranks, short, fp4 = tp * dp, run.prompt < 8192, run.variant == "fp4"
    if run.chip == "H200-SXM":
        alone, shared = deepseek and c > (64 if short else 32), True
    elif not deepseek or fp4:
        alone = c >= 256 if short or not deepseek else c > 32
        least = 32 if ranks == 4 else {SHORT: 8, (1024, 8192): 16}.get(lengths, 32)
        shared = deepseek and c > least
    else:
        alone, shared = c > (32 if lengths == SHORT else 64), True
    return (1, ranks, ranks) if alone else (ranks, ranks if shared else 1, 1)


def _sglang(run: Case) -> Settings:
    """Polls for requests every 10 iterations on B200 (`--scheduler-recv-interval`), every 30 from 16 clients on: half
    of it on average. Reads `--chunked-prefill-size` tokens; `--mem-fraction-static`.
    """
    tokens, held, memory = 32768.0, 0.0, 0.0
    ranks, long, deepseek = run.layout[0], run.prompt == 8192, run.model.startswith("DeepSeek")
    if deepseek and run.chip == "B200-SXM":
        tokens = 16384.0 if run.variant == "fp4" or run.drafts else 32768.0 if ranks == 8 else 8192.0
        memory = 0.85 if run.variant == "fp4" else 0.82 if ranks == 8 else 0.95
    elif run.model.startswith("Qwen3.5") and (run.chip != "B200-SXM" or run.variant == "fp4"):
        tokens = 16384.0
    elif run.model.startswith("GLM") and run.chip != "B200-SXM":
        tokens = 8192.0
    if run.chip == "B200-SXM" and not run.model.startswith("GLM"):
        few = deepseek and run.variant == "fp8" and ranks * run.layout[2] == 4 and long
        held = 15.0 if run.clients >= 16 and not few else 5.0
    # Nothing but one prompt has warmed them, and the first requests together are more than an iteration reads: kernels
    # for prompts in parts are first needed here.
    cold = deepseek and run.chip == "B200-SXM" and "" < run.date < WARMED and 0.9 * run.clients * run.prompt > tokens
    since = next((day for start, day in DEEPGEMM.items() if run.model.startswith(start)), "")
    slow = run.variant == "fp8" and run.chip == "B200-SXM" and run.date < since
    return Settings(held, tokens, memory=memory, cold=cold, products=FLASHINFER if slow else 0.0)


def _trtllm(run: Case) -> Settings:
    """Waits 20 iterations for more prompts to read with (`batch_wait_timeout_iters`; Llama-70B on fewer than 8 chips,
    1,024 tokens each way), or 40. With attention data-parallel it waits, up to 60, until each rank has a prompt
    (`attention_dp_config.timeout_iters`, 50 by default): the k-th of k ranks gets one after H_k k o/C iterations.
    """
    lengths, ranks = (run.prompt, run.output), run.layout[2]
    balanced = ranks > 1  # `attention_dp_config.enable_balance`
    until_all = sum(1.0 / k for k in range(1, ranks + 1)) * ranks * run.output / run.clients if balanced else 0.0
    if not run.model.startswith("DeepSeek"):
        waits = run.model.startswith("Llama") and lengths == SHORT and run.layout[0] < 8
        held = 20.0 if waits else min(50.0, until_all) / 2.0
        return Settings(held, 16384.0 if run.model.startswith("Llama") else 20000.0, balanced=balanced)
    held = min(60.0, until_all) / 2.0
    batch = run.clients / ranks
    tokens = (4.0 if ranks == 1 else 2.0) * batch + run.prompt if run.drafts else batch + run.prompt
    if not run.drafts and run.date >= FLOOR:
        tokens = max(tokens, 8192.0)
    graphs = run.chip == "B200-SXM" and run.date >= GRAPHS.get((run.variant, run.drafts), NEVER) and _graphs(run)
    if graphs and run.variant == "fp8" and not run.drafts and lengths == SHORT:
        held = 25.0  # the first of those read together waits 40, the others come in between
    # Its cache takes a share of what weights leave free, so four chips that hardly hold them serve no fewer for that.
    memory = 0.95 if run.variant == "fp8" and run.layout[0] * ranks == 4 else 0.0
    return Settings(held, tokens, graphs, memory=memory, balanced=balanced)


def _graphs(run: Case) -> bool:
    """Whether the script of DeepSeek on B200 asks for piecewise CUDA graphs."""
    lengths, c, ranks = (run.prompt, run.output), run.clients, run.layout[2]
    if run.variant == "fp8":
        least = {SHORT: 64, (1024, 8192): 128, (8192, 1024): 64}.get(lengths, 1 << 30)
        return c >= least and not (lengths == (1024, 8192) and c >= 256)
    if run.drafts:
        some = {SHORT: (32, 64, 128) if ranks == 1 else (32, 64), (1024, 8192): (64,)}
        return c in some.get(lengths, ())
    return lengths == SHORT and run.layout[:2] == (8, 8)


def _vllm(run: Case) -> Settings:
    """Graphs of up to 2,048 tokens (`max-cudagraph-capture-size`) hold prompts of 1,024; MiniMax on B200 reads two
    prompts at once (`--max-num-batched-tokens`) from April 2026 on.
    """
    if run.model.startswith("MiniMax") and run.chip == "B200-SXM" and run.date >= "2026-04":
        return Settings(0.0, 2.0 * run.prompt, run.prompt <= 2048)
    return Settings(graphs=run.model.startswith("gpt-oss") and run.prompt <= 2048)
