"""systemd: the service and the training as units of one machine, without containers.

https://www.freedesktop.org/software/systemd/man/latest/systemd.exec.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from declarative_ml.core.duration import seconds_of
from declarative_ml.core.errors import UsageError
from declarative_ml.deployers.base import Deployer, Release, Rendered
from declarative_ml.deployers.calendar import calendar_events
from declarative_ml.deployers.host import clear_environment, options_file, stop_seconds
from declarative_ml.deployers.manifests.names import fit
from declarative_ml.deployers.model import model_words, scoring_words, uses_store
from declarative_ml.deployers.quantity import amount
from declarative_ml.deployers.sections import JobWorkload, PodResources, PredictWorkload

_UNITS = "etc/systemd/system"
_PERCENT = 100
_LONGEST_USER = 31

_LOCKED_DOWN = (
    "DynamicUser=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectSystem=strict",
    "ProtectHome=read-only",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectKernelTunables=yes",
    "ProtectKernelModules=yes",
    "ProtectControlGroups=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
    "RestrictNamespaces=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    "UMask=0077",
)


class Systemd(Deployer):
    """Units for `cp -r DIR/etc /`: the service, and the training with a timer."""

    type: Literal["systemd"] = "systemd"
    executable: str = Field(
        default="/srv/dml/env/bin/dml", pattern="^/", description="The command `dml` on that machine"
    )
    model: str | None = Field(
        default=None, pattern="^/", description="The bundle there; absent: /srv/dml/NAME/model"
    )

    serves: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    predicts: ClassVar[bool] = True
    honours: ClassVar[frozenset[str]] = frozenset(
        {"resources", "env", "drain", "schedule", "time_zone", "deadline", "grace", "model", "keep_columns"}
    )

    def render(self, release: Release) -> Rendered:
        """Units below etc/systemd/system, and what they read below etc/dml/NAME."""
        files: dict[str, str] = {}
        own = f"etc/dml/{release.name}"
        if release.serve is not None:
            files[f"{_UNITS}/{release.name}.service"] = self._service(release)
            options = release.serve_options
            files[f"{own}/serve.json"] = options_file(
                release, host=str(options["host"]), port=int(options["port"])
            )
        if release.train is not None:
            files[f"{_UNITS}/{release.name}-train.service"] = self._training(release)
            if release.train.schedule is not None:
                files[f"{_UNITS}/{release.name}-train.timer"] = _timer(release, "train")
        if release.predict is not None:
            files[f"{_UNITS}/{release.name}-predict.service"] = self._scoring(release, release.predict)
            if release.predict.schedule is not None:
                files[f"{_UNITS}/{release.name}-predict.timer"] = _timer(release, "predict")
        if uses_store(release):
            files[f"{own}/spec.yaml"] = release.spec_text
        return Rendered(files=files)

    def _service(self, release: Release) -> str:
        workload = release.serve
        assert workload is not None
        # The service reads what the training of the same machine has written.
        own, spec = self.model or f"/srv/dml/{release.name}/model", f"/etc/dml/{release.name}/spec.yaml"
        model = model_words(release, own=own, spec=spec, store=_store(release))
        command = [self.executable, "serve", *model, "--options", f"/etc/dml/{release.name}/serve.json"]
        return _unit(
            [f"Description={_plain(release.name)}: the model over HTTP", *_AFTER_NETWORK],
            [
                "Type=exec",
                _exec([*command, "--quiet"]),
                "Restart=on-failure",
                "RestartSec=2",
                f"TimeoutStopSec={stop_seconds(release)}",
                *_process(release, "serve", workload.resources),
            ],
            ["WantedBy=multi-user.target"],
        )

    def _training(self, release: Release) -> str:
        workload = release.train
        assert workload is not None
        command = [self.executable, "run", f"/etc/dml/{release.name}/spec.yaml", "--store", _store(release)]
        return _unit(
            [f"Description={_plain(release.name)}: the training", *_AFTER_NETWORK],
            [
                "Type=oneshot",
                _exec(command),
                f"TimeoutStartSec={seconds_of(workload.deadline)}",
                f"TimeoutStopSec={seconds_of(workload.grace)}",
                *_process(release, "train", workload.resources),
            ],
        )

    def _scoring(self, release: Release, workload: PredictWorkload) -> str:
        own, spec = self.model or f"/srv/dml/{release.name}/model", f"/etc/dml/{release.name}/spec.yaml"
        words = scoring_words(release, own=own, spec=spec, store=_store(release))
        return _unit(
            [f"Description={_plain(release.name)}: batch scoring", *_AFTER_NETWORK],
            [
                "Type=oneshot",
                _exec([self.executable, *words]),
                f"TimeoutStartSec={seconds_of(workload.deadline)}",
                f"TimeoutStopSec={seconds_of(workload.grace)}",
                *_process(release, "predict", workload.resources),
            ],
        )


_AFTER_NETWORK = ("Wants=network-online.target", "After=network-online.target")


_TIMED = {"train": "the training", "predict": "batch scoring"}


def _timer(release: Release, name: str) -> str:
    workload: JobWorkload = getattr(release, name)
    assert workload.schedule is not None
    try:
        events = calendar_events(workload.schedule, workload.time_zone)
    except ValueError as error:
        raise UsageError(f"deploy.{name}.schedule: {error}", hint='for example "0 3 * * 1"') from None
    return _unit(
        [f"Description={_plain(release.name)}: when {_TIMED[name]} runs"],
        [*(f"OnCalendar={event}" for event in events), "Persistent=yes"],
        ["WantedBy=timers.target"],
        middle="Timer",
    )


def _process(release: Release, workload: str, resources: PodResources) -> list[str]:
    """Environment, ceilings, and what the process may not do. Secrets come from a file of the machine."""
    lines = [
        f"Environment={_quoted(f'{name}={text}')}"
        for name, text in {"HOME": "/tmp", **clear_environment(release, workload)}.items()
    ]
    secrets: Mapping[str, object] = getattr(release, f"{workload}_secrets")
    if secrets:
        lines += [f"# It sets {', '.join(sorted(secrets))}", f"EnvironmentFile=/etc/dml/{release.name}/env"]
    # One user for both units: what the training writes the service may read.
    lines += [f"User={fit(f'dml-{release.name}', _LONGEST_USER)}", f"StateDirectory=dml/{release.name}"]
    lines.append(f"MemoryMax={int(amount(resources.limits.memory or resources.memory))}")
    if resources.limits.cpu is not None:
        lines.append(f"CPUQuota={int(amount(resources.limits.cpu) * _PERCENT)}%")
    return [*lines, *_LOCKED_DOWN]


def _store(release: Release) -> str:
    return f"/var/lib/dml/{release.name}"


def _unit(head: list[str], body: list[str], install: list[str] | None = None, middle: str = "Service") -> str:
    parts = [("Unit", head), (middle, body), ("Install", install or [])]
    return "\n".join("\n".join([f"[{name}]", *lines, ""]) for name, lines in parts if lines)


def _exec(command: list[str]) -> str:
    return "ExecStart=" + " ".join(_quoted(word).replace("$", "$$") for word in command)


def _quoted(word: str) -> str:
    """A word as systemd reads it back: specifiers, variables and quotes stand for themselves."""
    plain = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return plain if plain == word and " " not in word and "$" not in word else f'"{plain}"'


def _plain(text: str) -> str:
    return text.replace("%", "%%")
