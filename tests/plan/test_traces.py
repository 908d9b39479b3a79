"""Recorded arrivals."""

from __future__ import annotations

from pathlib import Path

import pytest

from eke.errors import InputError
from eke.plan import traces


def test_mooncake_is_read(shared_data: Path) -> None:
    """Rate, lengths and prefix hits of Mooncake's trace are the known ones: 3.40/s, 12,035 and 343 tokens, 37.4%."""
    trace = traces.read(shared_data / "traces" / "mooncake_conversation.jsonl")
    assert trace.rate_per_s == pytest.approx(3.401, rel=0.01)
    assert (trace.prompt.mean, trace.output.mean) == (pytest.approx(12035, rel=0.01), pytest.approx(342.6, rel=0.01))
    assert trace.prefix_hit == pytest.approx(0.374, abs=0.01)


def test_azure_is_read(shared_data: Path) -> None:
    """Dates and Azure's column names are understood: 5.53 requests/s of 1,155 and 211 tokens."""
    trace = traces.read(shared_data / "traces" / "azure_2023_conversation.csv")
    assert trace.rate_per_s == pytest.approx(5.53, rel=0.01)
    assert trace.prompt.mean == pytest.approx(1154.7, rel=0.01)


def test_a_recording_of_days_has_a_shape(tmp_path: Path) -> None:
    """More than a day of arrivals gives the rate of each hour: here ten times as many at noon."""
    file = tmp_path / "day.csv"
    at = [h * 3600 + i for d in (0, 24) for h in range(d, d + 24) for i in range(100 if h % 24 == 12 else 10)]
    file.write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n" + "".join(f"{t},100,10\n" for t in at))
    trace = traces.read(file)
    assert trace.hours.index(1.0) == 12
    assert trace.hours[3] == pytest.approx(0.1)
    assert trace.rate_per_s == pytest.approx(100 / 3600)


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n3,4\n", "arrived_at,num_prefill_tokens,num_decode_tokens\n1,x,2\n2,3,4\n"]
)
def test_refuses_other_files(tmp_path: Path, text: str) -> None:
    """A file without known columns, or with words for numbers, is an input error that names it."""
    file = tmp_path / "odd.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=r"odd\.csv"):
        traces.read(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A trace that is not there is an input error."""
    with pytest.raises(InputError, match="gone"):
        traces.read(tmp_path / "gone.csv")
