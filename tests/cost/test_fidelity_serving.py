"""Benchmarks' reading of published serving runs, and how near predictions come to them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
COLUMNS = (
    "id,silicon_data_source,backend,backend_version,model_path,system,precision,mode,isl,osl,gemm_quant_mode,"
    "moe_quant_mode,batch_size,tp_size,pp_size,attention_dp_size,moe_tp_size,moe_ep_size,silicon_ttft_ms,silicon_tpot_ms"
)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "serving_rows", raising=False)
    import serving_rows

    return serving_rows


def _file(folder: Path, *lines: str) -> Path:
    file = folder / "runs.csv"
    file.write_text("\n".join((COLUMNS, *lines)) + "\n", encoding="utf-8")
    return file


def test_multiplied_ranks_are_read_as_chips(rows: ModuleType, tmp_path: Path) -> None:
    """`tp 64, moe tp 8, moe ep 8` is eight chips with eight expert ranks; with `dp 64`, eight data ranks."""
    base = "sglang,0.5,deepseek-ai/DeepSeek-R1,h200_sxm,fp8,agg,1024,1024,fp8,fp8_block"
    runs, unread = rows.read(
        _file(
            tmp_path,
            f"a,silicon_concurrency=32,{base},32,64,1,1,8,8,500,12",
            f"b,silicon_concurrency=256,{base},4,1,1,64,8,8,900,30",
        )
    )
    assert not unread
    assert [run.decode.layout for run in runs] == [(8, 8, 1), (1, 8, 8)]
    assert [run.clients for run in runs] == [32, 256]


def test_ranks_of_the_first_runs_are_those_of_their_scripts(rows: ModuleType, tmp_path: Path) -> None:
    """TensorRT-LLM's runs of 2025-11-02 stand as tensor ranks; scripts shared experts and attention out by clients."""
    source = "silicon_concurrency={}; measured=2025-11-02"
    base = "trtllm,1.1,deepseek-ai/DeepSeek-R1,{},fp8,agg,1024,1024,fp8,fp8_block,{},8,1,1,1,1,500,12"
    runs, unread = rows.read(
        _file(
            tmp_path,
            *(
                f"{name}," + source.format(clients) + "," + base.format(system, clients)
                for name, system, clients in (("a", "b200_sxm", 32), ("b", "b200_sxm", 64), ("c", "h200_sxm", 64))
            ),
        )
    )
    assert not unread
    assert [run.decode.layout for run in runs] == [(8, 8, 1), (1, 8, 8), (8, 8, 1)]
    assert [run.settings.balanced for run in runs] == [False, True, False]


def test_products_in_blocks_go_by_the_kernel_a_script_asks_for(rows: ModuleType, tmp_path: Path) -> None:
    """SGLang on B200 in 8 bits: without DeepGEMM where DeepSeek's scripts switch it off, and with it for GLM-5."""
    source = "silicon_concurrency=4; measured=2026-03-25"
    runs, unread = rows.read(
        _file(
            tmp_path,
            *(
                f"{name},{source},sglang,0.5.9,{model},b200_sxm,{bits},agg,8192,1024,{bits},{bits},4,8,1,1,1,1,500,12"
                for name, model, bits in (
                    ("a", "deepseek-ai/DeepSeek-R1", "fp8"),
                    ("b", "zai-org/GLM-5", "fp8"),
                    ("c", "deepseek-ai/DeepSeek-R1", "fp4"),
                )
            ),
        )
    )
    assert not unread
    assert [run.settings.products > 0 for run in runs] == [True, False, False]


def test_quantisers_names_find_their_model(rows: ModuleType) -> None:
    """Suffixes that quantisers add do not hide a model; a model nobody knows is named."""
    assert rows.find_model("nvidia/Llama-3.1-8B-Instruct-FP8").name == "Llama-3.1-8B"
    assert rows.find_model("nvidia/DeepSeek-R1-0528-FP4-v2").name.startswith("DeepSeek-R1")
    assert rows.find_model("Qwen/Qwen3-14B-AWQ").name == "Qwen3-14B"
    assert rows.find_model("amd/Llama-3.3-70B-Instruct-MXFP4-Preview").name.startswith("Llama-3.")
    assert rows.find_model("deepseek-ai/DeepSeek-R1-Distill-Llama-70B").name == "Llama-3.1-70B"
    with pytest.raises(Exception, match="nothing-9000B"):
        rows.find_model("nobody/nothing-9000B")


def test_systems_names_find_their_chip(rows: ModuleType) -> None:
    """A form that a system's name adds does not hide its chip."""
    for name, chip in (
        ("gb300_nvl72", "GB300"),
        ("b300_sxm", "B300-SXM"),
        ("a100_sxm", "A100-SXM-80"),
        ("l40s", "L40S"),
    ):
        assert rows.find_chip(name).name == chip


def test_published_configurations_say_what_columns_do_not(rows: ModuleType, tmp_path: Path) -> None:
    """Engines, data ranks and drafting of runs with pools apart come from the configuration that fits a sweep."""
    columns = (
        f"{COLUMNS},prefill_tp_size,prefill_attention_dp_size,prefill_num_workers,decode_tp_size,"
        "decode_attention_dp_size,decode_num_workers"
    )
    row = (
        "r_{0},source_file=a.csv; silicon_concurrency={1}; measured=2026-03-23T13:00:07Z,trtllm,1,"
        "deepseek-ai/DeepSeek-R1,gb200,fp4,disagg,1024,1024,nvfp4,nvfp4,,,,,,,300,5,4,1,,8,1,"
    )
    file = tmp_path / "apart.csv"
    # 48 clients fit a drafting sweep of 4 to 48 and a plain one of 12 to 192: their neighbours tell which.
    lines = [row.format(*x) for x in ((1, 4), (2, 8), (3, 48), (20, 48), (21, 96), (22, 192))]
    file.write_text("\n".join((columns, *lines)) + "\n", encoding="utf-8")
    runs, unread = rows.read(file)
    assert not unread
    assert [run.drafted for run in runs] == [3] * 3 + [0] * 3
    assert {(run.prefill.count, run.prefill.layout[2], run.decode.count) for run in runs} == {(1, 4, 4)}
    assert not any(run.assumed for run in runs)


def test_rows_that_cannot_be_read_are_counted(rows: ModuleType, tmp_path: Path) -> None:
    """A row of an unknown model is reported with its id and mode, and does not stop the others."""
    tail = "h200_sxm,fp8,agg,1024,1024,fp8,fp8,8,1,1,1,1,1,100,10"
    file = _file(tmp_path, f"x,,vllm,1,nobody/nothing-9000B,{tail}", f"y,,vllm,1,Qwen/Qwen3-32B,{tail}")
    runs, unread = rows.read(file)
    assert [run.id for run in runs] == ["y"]
    assert unread[0].startswith("x (agg)")


def test_published_runs_are_met(rows: ModuleType, monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> None:
    """Median errors on published runs: a token 7.5% (dense), 10% (mixtures), 14% (apart); the first 18%, apart 30%."""
    monkeypatch.delitem(sys.modules, "fidelity_serving", raising=False)
    import fidelity_serving

    found = fidelity_serving.report(shared_data / "perf" / "serving_silicon.csv")
    for kind in ("dense", "moe"):
        assert found[kind]["tpot_median_error"] < {"dense": 0.075, "moe": 0.1}[kind]
        assert found[kind]["ttft_median_error"] < 0.18
        assert found[kind]["unpredicted"] == 0
    assert found["disaggregated"]["tpot_median_error"] < 0.14
    assert found["disaggregated"]["ttft_median_error"] < 0.3


def test_scripts_say_how_engines_were_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changed between two days, or few and many clients, is read so; an engine nobody knows has defaults."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from settings import Case, Settings, settings

    def of(engine: str, clients: int, date: str, variant: str = "fp8") -> Settings:
        case = Case(engine, "DeepSeek-R1", "B200-SXM", variant, (8, 1, 1), clients, 1024, 1024, False, date)
        return settings(case)

    early, late = of("trtllm", 64, "2025-11-02"), of("trtllm", 64, "2026-01-29")
    assert (early.tokens < 2048, early.graphs) == (True, False)
    assert (late.tokens, late.graphs) == (8192.0, True)
    assert of("sglang", 16, "2026-03-25").held == 3 * of("sglang", 4, "2026-03-25").held
    assert of("another", 4, "2026-03-25") == Settings()
