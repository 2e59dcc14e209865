"""A guarded retrain as an Airflow DAG: what the gate releases is trained, through `candor_guard`.

`rows` and `assistant` are parameters of the run. Values reach the commands as environment variables, never as a
part of their text.
"""

from __future__ import annotations

from airflow import DAG
from airflow.providers.standard.operators.bash import BashOperator

GIVEN = {"ROWS": "{{ params.rows }}", "ASSISTANT": "{{ params.assistant }}"}

with DAG("candor_guarded_retrain", schedule=None, params={"rows": "", "assistant": ""}):
    gate = BashOperator(
        task_id="gate",
        # Exit 10 releases a part of the rows; hold and block fail the task.
        bash_command=(
            'candor gate check "$ROWS" --assistant "$ASSISTANT" --key /keys/signing.pem'
            " --out /data/decision.json --released /data/released.jsonl || [ $? -eq 10 ]"
        ),
        env=GIVEN,
        append_env=True,
    )
    train = BashOperator(
        task_id="train",
        bash_command="python train.py /data/released.jsonl /data/decision.json",
        append_env=True,
    )
    gate >> train
