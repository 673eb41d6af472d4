"""What is doubtful about `monitor.apm`: a secret that others can read on its way, options without effect."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from declarative_ml.spec.document import Spec
from declarative_ml.spec.tuned import Fault

_HERE = ("localhost", "::1")


def apm_doubts(spec: Spec) -> Iterator[tuple[str, Fault]]:
    """Each with its code."""
    apm = spec.monitor.apm
    if apm is None or apm.url is None or not apm.url.startswith("http:"):
        return
    place = ("monitor", "apm")
    host = urlsplit(apm.url).hostname or ""
    secrets = [name for name, given in (("token", apm.token), ("api_key", apm.api_key)) if given is not None]
    if not (host in _HERE or host.startswith("127.")):
        for name in secrets:
            message = f"monitor.apm.{name} goes to {host} in clear: the url begins with http"
            hint = "use https, or leave the secret out inside of a network that you trust"
            yield "DML145", Fault((*place, name), message, hint)
    idle = {"ca": apm.ca is not None, "verify": not apm.verify}
    for name in (name for name, given in idle.items() if given):
        message = f"monitor.apm.{name} has no effect: the url begins with http"
        yield "DML109", Fault((*place, name), message, "use https, or delete it")
