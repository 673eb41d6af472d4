"""Airflow: the plan's graph as the file of a DAG, by Bash on one machine or by pods of a cluster.

The file is text: Airflow is not needed to write it. It is for Airflow 3 (`airflow.sdk`).
"""

from __future__ import annotations

import json
from typing import ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.deployers.base import Deployer, Release, Rendered
from declarative_ml.deployers.graph_names import Task, by_steps, plan_of, tasks
from declarative_ml.deployers.image import CONFIG, PLAN_FILE, SPEC_FILE, STORE
from declarative_ml.deployers.manifests import training
from declarative_ml.deployers.manifests.order import in_order
from declarative_ml.deployers.manifests.pod import pod_template
from declarative_ml.deployers.sections import TrainWorkload

_BASH = """\
import shlex
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator

CONFIG = Path(__file__).parent / {name}
STORE = {store}


def task(name, *arguments):
    words = [str(CONFIG / word) if word in ({plan}, {spec}) else word for word in arguments]
    command = shlex.join([{executable}, *words, "--store", STORE])
    return BashOperator(task_id=name, bash_command=command, env={environment}, append_env=True)
"""

_PODS = """\
import copy
import json

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator

POD = json.loads({pod})


def task(name, *arguments):
    pod = copy.deepcopy(POD)
    words = [f"{config}/{{word}}" if word in ({plan}, {spec}) else word for word in arguments]
    pod["spec"]["containers"][0]["args"] = [*words, "--store", {store}]
    return KubernetesPodOperator(
        task_id=name,
        name={prefix} + name,
        namespace={namespace},
        pod_template_dict=pod,
        base_container_name={container},
        on_finish_action="delete_succeeded_pod",
        get_logs=True,
    )
"""

_DAG = """\


with DAG(
    dag_id={name},
    description={description},
    schedule={schedule},
    start_date=pendulum.datetime(2024, 1, 1, tz={time_zone}),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(seconds={deadline}),
    default_args={{"retries": {retries}, "retry_delay": timedelta(seconds=30)}},
    tags=["declarative-ml"],
) as dag:
"""


class Airflow(Deployer):
    """A file for the folder of DAGs; with Bash, spec and plan lie in a folder beside it."""

    type: Literal["airflow"] = "airflow"
    operator: Literal["kubernetes", "bash"] = Field(
        default="kubernetes",
        description="kubernetes: a pod for each step; bash: commands on Airflow's machine",
    )
    executable: str = Field(
        default="dml", min_length=1, description="bash: the command; not in Airflow's own environment"
    )
    store: str | None = Field(
        default=None, pattern="^/", description="bash: the workspace; absent: /var/lib/dml/NAME"
    )

    trains: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {
            *("image", "resources", "env", "labels", "annotations", "volumes", "pod", "grace"),
            *("schedule", "time_zone", "retries", "deadline"),
        }
    )

    def needs_plan(self, release: Release) -> bool:
        """Its graph is the DAG's."""
        return release.train is not None

    def render(self, release: Release) -> Rendered:
        """The DAG; with pods also the objects that have to be in the cluster before it runs."""
        if release.train is None:
            return Rendered()
        workload, release = release.train, by_steps(release)
        found = tasks(plan_of(release))
        bash = self.operator == "bash"
        head = self._bash(release) if bash else _pods(release)
        dag = _header(release) + head + _dag(release, workload) + _body(found)
        files = {f"{release.name}.py": dag}
        if bash:
            files[f"{release.name}/{SPEC_FILE}"] = release.spec_text
            files[f"{release.name}/{PLAN_FILE}"] = plan_of(release).model_dump_json(indent=1) + "\n"
            return Rendered(files=files)
        return Rendered(tuple(in_order(training.surroundings(release))), files)

    def _bash(self, release: Release) -> str:
        """Secrets come from the environment of Airflow's worker."""
        assert release.train is not None
        return _BASH.format(
            name=_text(release.name),
            store=_text(self.store or f"/var/lib/dml/{release.name}"),
            plan=_text(PLAN_FILE),
            spec=_text(SPEC_FILE),
            executable=_text(self.executable),
            environment=_literal(dict(sorted(release.train.env.items()))),
        )


def _pods(release: Release) -> str:
    template = pod_template(release, training.training_pod(release))
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    return _PODS.format(
        pod=_text(json.dumps(pod, sort_keys=True)),
        config=CONFIG,
        plan=_text(PLAN_FILE),
        spec=_text(SPEC_FILE),
        store=_text(STORE),
        prefix=_text(f"{release.name}-"),
        namespace=_text(release.namespace),
        container=_text(training.COMPONENT),
    )


def _header(release: Release) -> str:
    return (
        f'"""{release.name}: rendered by dml {release.dml_version} from the spec {release.spec_digest[:12]}; '
        'do not edit."""\n\nfrom datetime import timedelta\n\nimport pendulum\nfrom airflow.sdk import DAG\n'
    )


def _dag(release: Release, workload: TrainWorkload) -> str:
    return _DAG.format(
        name=_text(release.name),
        description=_text(f"The training of {release.name}"),
        schedule="None" if workload.schedule is None else _text(workload.schedule),
        time_zone=_text(workload.time_zone),
        deadline=seconds_of(workload.deadline),
        retries=workload.retries,
    )


def _body(found: list[Task]) -> str:
    lines = ["    steps = {"]
    for each in found:
        words = ("step", PLAN_FILE, each.step) if each.step else ("run", SPEC_FILE, "--collect")
        arguments = ", ".join(_text(word) for word in (each.name, *words))
        lines.append(f"        {_text(each.name)}: task({arguments}),")
    lines.append("    }")
    for each in found:
        lines += [f"    steps[{_text(other)}] >> steps[{_text(each.name)}]" for other in each.needs]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A literal of Python; whatever is in it stays text. JSON's escapes are Python's as well."""
    return json.dumps(value, ensure_ascii=False)


def _literal(value: dict[str, str]) -> str:
    return json.dumps(value, ensure_ascii=False)
