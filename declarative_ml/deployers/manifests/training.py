"""The training: one pod that runs the plan, by a schedule or once; or one job for each step."""

from __future__ import annotations

from declarative_ml.core.digest import digest_json
from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Object, Release
from declarative_ml.deployers.image import CONFIG, PLAN_FILE, SPEC_FILE, STORE, Image
from declarative_ml.deployers.manifests import ground, jobs
from declarative_ml.deployers.manifests.names import LONGEST, OWN, hashed, metadata, name_of, value
from declarative_ml.deployers.manifests.pod import Pod
from declarative_ml.deployers.manifests.serving import mounted, store_claim
from declarative_ml.deployers.sections import TrainWorkload

COMPONENT = "train"


def training(release: Release) -> tuple[TrainWorkload, Image]:
    """The workload and its image. Raises UsageError for a release without an image."""
    if release.train is None or release.train_image is None:
        raise UsageError(
            "the spec names no image of the training",
            hint="add deploy.image, or deploy.train.image",
        )
    return release.train, release.train_image


def config_map(release: Release) -> Object:
    """The spec, and the plan where each step is a pod."""
    workload, image = training(release)
    data = {SPEC_FILE: release.spec_text}
    if workload.parallel == "steps" and release.plan is not None:
        data[PLAN_FILE] = release.plan.model_dump_json(indent=1) + "\n"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(
            release, COMPONENT, hashed(release, COMPONENT, data), version=image.version, workload=workload
        ),
        "immutable": True,
        "data": data,
    }


def surroundings(release: Release) -> list[Object]:
    """What the pods of a training need, whoever starts them: an account, the spec, the store."""
    workload, image = training(release)
    volume = ground.store_volume(release)
    return [
        *([ground.namespace(release)] if release.create_namespace else []),
        ground.service_account(release, COMPONENT, workload, image.version),
        config_map(release),
        *([volume] if volume is not None else []),
    ]


def name_by_content(release: Release, spec: Object, *, longest: int = LONGEST) -> str:
    """The name of what is not changed once it has run: another spec is another object."""
    digest = digest_json(spec)[:8]
    return f"{name_of(release, COMPONENT, longest=longest - len(digest) - 1)}-{digest}"


def training_jobs(release: Release) -> list[Object]:
    """A CronJob, a Job, or a Job for each step and one that makes the run of them."""
    workload, _ = training(release)
    whole = training_pod(release, "run", f"{CONFIG}/{SPEC_FILE}", "--store", STORE)
    if workload.schedule is not None:
        return [jobs.cron_job(release, whole)]
    if workload.parallel == "none":
        return [jobs.job(release, whole)]
    steps = [step.id for step in release.plan.ordered()] if release.plan is not None else []
    collecting = training_pod(release, "run", f"{CONFIG}/{SPEC_FILE}", "--collect", "--store", STORE)
    return [
        *(jobs.job(release, step_pod(release, step), step) for step in steps),
        _last_job(release, collecting, steps),
    ]


def _last_job(release: Release, whole: Pod, steps: list[str]) -> Object:
    """The job that makes the run: it waits for the last step, and finds the others in the store."""
    last = jobs.job(release, whole, "run")
    pod = last["spec"]["template"]["spec"]
    main = next(each for each in pod["containers"] if each["name"] == COMPONENT)
    for step in steps[-1:]:
        waits = {**main, "name": "wait", "args": list(step_pod(release, step).arguments)}
        pod["initContainers"] = [*pod.get("initContainers", []), waits]
    return last


def _waiting(workload: TrainWorkload) -> tuple[str, ...]:
    return ("--wait", workload.deadline)


def step_pod(release: Release, step: str) -> Pod:
    """The pod of one step: it waits until the steps before it have left their results in the store."""
    workload, _ = training(release)
    plan = f"{CONFIG}/{PLAN_FILE}"
    return training_pod(release, "step", plan, step, "--store", STORE, *_waiting(workload), step=step)


def training_pod(release: Release, *arguments: str, step: str = "") -> Pod:
    """What is particular to a pod of the training; other targets that run our container start from it."""
    workload, image = training(release)
    config = config_map(release)
    return Pod(
        component=COMPONENT,
        workload=workload,
        image=image,
        arguments=arguments,
        secrets=release.train_secrets,
        config={CONFIG: config["metadata"]["name"]},
        config_digest=digest_json(config["data"]),
        claims=(("store", store_claim(release), STORE, False), *mounted(workload)),
        spec={
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": seconds_of(workload.grace),
        },
        labels={f"{OWN}/step": value(step)} if step else {},
    )


def head(release: Release, name: str) -> Object:
    """The metadata of what runs the training whole; Kueue finds its queue there."""
    return jobs.head(release, training_pod(release), name)
