from __future__ import annotations

import re

import pytest

from eke.cost import Layouts, estimate
from eke.errors import InputError
from eke.fleet.chip import Chip
from eke.models.architecture import Architecture
from eke.models.variant import Variant


def test_serving_document_has_what_scripts_read(llama_70b: Architecture, h100: Chip, fp8: Variant) -> None:
    """The keys of eke.estimate/1 are there, and agree with each other."""
    found = estimate.serving(
        llama_70b, h100, fp8, Layouts.of(4), batch=16, prompt=1000, output=200, engine="vllm"
    ).document()
    assert found["format"] == "eke.estimate/1"
    assert {"ttft_s", "tpot_s", "tokens_per_s", "memory_bytes", "mfu", "basis", "interval", "operators"} <= set(found)
    low, high = found["interval"]["tpot_s"]
    assert low < found["tpot_s"] < high
    decode = [o["seconds"] for o in found["operators"] if o["phase"] == "decode"]
    assert sum(decode) == pytest.approx(found["step_s"])
    assert found["tokens_per_s"] == pytest.approx(16 * 200 / (found["ttft_s"] + 200 * found["tpot_s"]))
    assert {o["bound"] for o in found["operators"]} <= {"compute", "memory", "link", "overhead"}
    assert found["memory_bytes"] == pytest.approx(sum(found["memory"].values()))


def test_training_document_states_mfu(llama_8b: Architecture, h100: Chip) -> None:
    """Times of requests are null, MFU is a share, operators add up to the step."""
    found = estimate.training(
        llama_8b, h100, Layouts.of(2, dp=8), micro_batch=1, sequence=4096, global_batch_tokens=4e6,
        precision="bf16", engine="megatron",
    ).document()  # fmt: skip
    assert found["ttft_s"] is None
    assert 0.2 < found["mfu"] < 0.6
    assert sum(o["seconds"] for o in found["operators"]) == pytest.approx(found["step_s"])


def _advised(message: str) -> Layouts:
    tp, pp = re.search(r"--tp (\d+)", message), re.search(r"--pp (\d+)", message)
    return Layouts.of(int(tp[1]) if tp else 1, int(pp[1]) if pp else 1)


def test_what_does_not_fit_says_what_would(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """A 70B in bf16 on one 80 GB chip is an input error; following its advice works."""
    ask = {"batch": 8, "prompt": 1000, "output": 100, "engine": "vllm"}
    with pytest.raises(InputError, match=r"needs 1\d\d GB a chip; 77 GB") as caught:
        estimate.serving(llama_70b, h100, bf16, Layouts.of(1), **ask)
    assert estimate.serving(llama_70b, h100, bf16, _advised(caught.value.remedy), **ask).tokens_per_s > 0


def test_too_large_a_batch_says_the_largest(llama_70b: Architecture, h100: Chip, bf16: Variant) -> None:
    """Where the weights fit but not the batch, the advice is a batch, and it is the largest that works."""
    ask = {"prompt": 8000, "output": 100, "engine": "vllm"}
    with pytest.raises(InputError) as caught:
        estimate.serving(llama_70b, h100, bf16, Layouts.of(4), batch=4000, **ask)
    most = int(re.search(r"--batch (\d+)", caught.value.remedy)[1])
    estimate.serving(llama_70b, h100, bf16, Layouts.of(4), batch=most, **ask)
    with pytest.raises(InputError):
        estimate.serving(llama_70b, h100, bf16, Layouts.of(4), batch=most + 1, **ask)


def test_training_that_does_not_fit_says_what_would(llama_70b: Architecture, h100: Chip) -> None:
    """A 70B does not train on one chip; the layout it names does."""
    ask = {"micro_batch": 1, "sequence": 4096, "global_batch_tokens": 1e6, "precision": "bf16", "engine": "megatron"}
    with pytest.raises(InputError) as caught:
        estimate.training(llama_70b, h100, Layouts.of(1), **ask)
    assert estimate.training(llama_70b, h100, _advised(caught.value.remedy), **ask).mfu > 0


@pytest.mark.parametrize(("degrees", "what"), [({"tp": 0}, "at least 1"), ({"tp": 4, "ep": 3}, "ep 3 does not divide")])
def test_impossible_layouts_are_refused(degrees: dict[str, int], what: str) -> None:
    """No ranks, or expert ranks that do not divide tp*dp: an input error."""
    with pytest.raises(InputError, match=what):
        Layouts.of(**degrees)
