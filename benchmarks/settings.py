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
SHORT = (1024, 1024)


@dataclass(frozen=True, slots=True)
class Settings:
    """How an engine was started.

    Attributes:
        held: iterations a request waits before the engine looks at it.
        tokens: tokens an iteration reads at most; 0: the engine's own default.
        graphs: prompts are read within CUDA graphs.
        sends: tokens are sent to their experts by DeepEP, however few ranks hold them.
    """

    held: float = 0.0
    tokens: float = 0.0
    graphs: bool = False
    sends: bool = False


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
    return Settings(sends=run.engine == "sglang" and run.chip == "GB200" and run.variant == "fp8")


def _sglang(run: Case) -> Settings:
    """Polls for requests every 10 iterations on B200 (`--scheduler-recv-interval`), every 30 from 16 clients on: half
    of it on average. Reads `--chunked-prefill-size` tokens.
    """
    tokens, held = 32768.0, 0.0
    if run.model.startswith("DeepSeek") and run.chip == "B200-SXM":
        tokens = 16384.0 if run.variant == "fp4" else 32768.0 if run.layout[0] == 8 else 8192.0
    elif run.model.startswith("Qwen3.5") and (run.chip != "B200-SXM" or run.variant == "fp4"):
        tokens = 16384.0
    elif run.model.startswith("GLM") and run.chip != "B200-SXM":
        tokens = 8192.0
    if run.chip == "B200-SXM" and not run.model.startswith("GLM"):
        four = run.variant == "fp8" and run.layout[0] * run.layout[2] == 4 and run.prompt == 8192
        held = 15.0 if run.clients >= 16 and not four else 5.0
    return Settings(held, tokens)


def _trtllm(run: Case) -> Settings:
    """Waits 20 iterations for more prompts to read with (`batch_wait_timeout_iters`; Llama-70B on fewer than 8 chips,
    1,024 tokens each way), or 40. With attention data-parallel it waits, up to 60, until each rank has a prompt
    (`attention_dp_config.timeout_iters`): the k-th of k ranks gets one after H_k k o/C iterations.
    """
    lengths, ranks = (run.prompt, run.output), run.layout[2]
    if not run.model.startswith("DeepSeek"):
        waits = run.model.startswith("Llama") and lengths == SHORT and run.layout[0] < 8
        return Settings(20.0 if waits else 0.0, 16384.0 if run.model.startswith("Llama") else 20000.0)
    held = 0.0
    if ranks > 1:
        until_all = sum(1.0 / k for k in range(1, ranks + 1)) * ranks * run.output / run.clients
        held = min(60.0, until_all) / 2.0
    batch = run.clients / ranks
    tokens = (4.0 if ranks == 1 else 2.0) * batch + run.prompt if run.drafts else batch + run.prompt
    if not run.drafts and run.date >= FLOOR:
        tokens = max(tokens, 8192.0)
    graphs = run.chip == "B200-SXM" and run.date >= GRAPHS.get((run.variant, run.drafts), NEVER) and _graphs(run)
    if graphs and run.variant == "fp8" and not run.drafts and lengths == SHORT:
        held = 25.0  # the first of those read together waits 40, the others come in between
    return Settings(held, tokens, graphs)


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
