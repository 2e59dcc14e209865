from __future__ import annotations

from monitor.launch.job import job_environment


def test_a_job_inherits_an_allow_list() -> None:
    kept = job_environment(
        {"PATH": "/bin", "CANDOR_JUDGE_URL": "x", "AWS_SECRET": "y", "HOME": "/h"}
    )
    assert kept["PATH"] == "/bin"
    assert not {"CANDOR_JUDGE_URL", "AWS_SECRET"} & set(kept)
