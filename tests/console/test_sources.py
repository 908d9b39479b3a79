"""Whatever lies in the folder, reading it never raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from eke.console.sources import Sources


def test_everything(full: Path) -> None:
    """A whole run gives plan, status, usage, training and logs."""
    sources = Sources(full)
    assert sources.plan().value is not None
    assert len((sources.status().value or {})["tasks"]) == 4
    assert {u.key["app"] for u in sources.usage("app").value or []} == {"answers", "console", "meeting"}
    assert sources.training()["hunyuan-next"].value is not None
    assert "model loaded" in (sources.log("customer-answers-0").value or "")


def test_nothing(tmp_path: Path) -> None:
    """A folder that is not there gives a word for everything."""
    sources = Sources(tmp_path / "none")
    assert sources.plan().why
    assert sources.usage("app").why
    assert sources.training() == {}
    assert sources.log("gateway").why
    assert (sources.status().value or {})["tasks"] == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "eke.plan/1"}', '{"format": "eke.plan/9"}'])
def test_half_a_plan(empty: Path, text: str) -> None:
    """A plan that is torn or of another format is said to be unreadable."""
    (empty / "plan.json").write_text(text)
    found = Sources(empty).plan()
    assert found.value is None
    assert found.why


@pytest.mark.parametrize("content", [b"", b"not a database"])
def test_half_a_database(empty: Path, content: bytes) -> None:
    """A database that is empty or none at all is no crash."""
    (empty / "eke.db").write_bytes(content)
    sources = Sources(empty)
    for found in (sources.status(), sources.usage("model")):
        assert found.value is not None or found.why


def test_half_a_job(empty: Path) -> None:
    """A training job that cannot be read is named, with the reason."""
    (empty / "train" / "next").mkdir(parents=True)
    (empty / "train" / "next" / "job.json").write_text("{")
    assert Sources(empty).training()["next"].why


@pytest.mark.parametrize("name", ["../plan", "..%2fplan", "/etc/passwd", ""])
def test_only_logs(full: Path, name: str) -> None:
    """Nothing outside the folder of logs is read."""
    (full / "plan.log").write_text("secret")
    assert Sources(full).log(name).value is None


def test_long_logs_are_cut_at_a_line(full: Path) -> None:
    """Only the end of a long log is shown, from a whole line on."""
    (full / "logs" / "a.log").write_text("".join(f"line {i:06d}\n" for i in range(9000)))
    text = Sources(full).log("a").value or ""
    assert text.startswith("line ")
    assert text.endswith("line 008999\n")
    assert len(text) < 30_000
