# SPDX-License-Identifier: Apache-2.0
"""The engine on a Ray cluster: an actor with a network per device, and tasks that read and write beside them."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.archive.engine import Lost, network_threads
from scripts.archive.stages import Device, Note, Settings, Stage, perform
from scripts.errors import KneeSynthError, UsageError

if TYPE_CHECKING:
    from ray import ObjectRef

# Seconds: until an address answers at all, until it has answered as Ray does, and until all devices have a network.
_CONNECT = 5.0
_ANSWER = 40.0
_START = 600.0

# What the run is going to do, in a process that can be ended: Ray itself waits for minutes, and longer on a port that
# is open but not its own.
_PROBE = "import logging, ray, sys; ray.init(address=sys.argv[1], logging_level=logging.CRITICAL); ray.shutdown()"


@dataclass(frozen=True)
class _Call:
    note: ObjectRef
    product: ObjectRef


class Network:
    """The actor. Ray ends it when the run ends; when it dies, another one is started."""

    def __init__(self, settings: Settings, device: str, threads: int) -> None:
        self.device = Device(settings, device, threads)

    def prepare(self) -> Note:
        """See `Device.prepare`."""
        return perform(self.device.prepare)[0]

    def infer(self, target: str, data: Any) -> tuple[Note, Any]:
        """See `Device.infer`."""
        return perform(self.device.infer, target, data)


class RayEngine:
    """Runs everything on a cluster, or on processes of this machine that are started for the run and end with it.

    Args:
        settings: what all series of a run share.
        device: ``auto`` (GPUs where the cluster has some), ``cpu`` or ``cuda``.
        workers: networks; by default one per GPU, or one per machine where there is none.
        address: ``host:port`` of a cluster that this machine belongs to, or ``auto`` for the one that runs here; None
            for processes of this machine alone, which listen on the loopback interface only.

    Raises:
        UsageError: Ray is not installed, nothing answers at the address, or more workers than GPUs.
        KneeSynthError: the workers cannot start, or cannot use their weights.
    """

    def __init__(self, settings: Settings, device: str, workers: int | None = None, address: str | None = None) -> None:
        self._cleanup = contextlib.ExitStack()
        try:
            self._ray = _connected(address, device, self._cleanup)
            resources = self._ray.cluster_resources()
            gpus = 0 if device == "cpu" else int(resources.get("GPU", 0))
            if device == "cuda" and not gpus:
                raise UsageError("--device cuda: no GPU in this Ray cluster; need one; use --device cpu")
            if gpus and workers is not None and workers > gpus:
                raise UsageError(f"--workers {workers}: {gpus} GPUs in this Ray cluster; need one each; give fewer")
            machines = sum(bool(node["Alive"]) for node in self._ray.nodes())
            self.workers = workers or gpus or machines
            threads = network_threads(int(resources.get("CPU", 1)), self.workers)
            # No processor is reserved for a network, or on a small machine none would be left to read and write.
            self._new_network = lambda: (
                self._ray.remote(Network)
                .options(num_cpus=0, num_gpus=1 if gpus else 0, max_restarts=0, scheduling_strategy="SPREAD")
                .remote(settings, "cuda" if gpus else "cpu", threads)
            )
            # Another attempt is the run's own decision, which it counts and writes down.
            self._perform = self._ray.remote(num_cpus=1, max_retries=0, num_returns=2)(perform)
            self._networks = [self._new_network() for _ in range(self.workers)]
            self._check_started()
        except BaseException:
            self.close()
            raise

    def _check_started(self) -> None:
        try:
            notes = self._ray.get([network.prepare.remote() for network in self._networks], timeout=_START)
        except self._ray.exceptions.GetTimeoutError as error:
            raise KneeSynthError(
                f"Ray: {self.workers} workers have not started within {_START:.0f} s; need that many free devices; "
                "wait for others to end, or give fewer --workers"
            ) from error
        except self._ray.exceptions.RayError as error:
            raise KneeSynthError(
                f"Ray: a worker did not start ({type(error).__name__}); need the same checkout at the same path and "
                "the same packages on every machine; see Ray's logs there"
            ) from error
        for note in notes:
            if note.failure is not None:
                raise note.failure.error()

    def call(self, stage: Stage, *arguments: Any) -> _Call:
        """Run a stage as a task on some processor."""
        products = [argument.product if isinstance(argument, _Call) else argument for argument in arguments]
        return _Call(*self._perform.remote(stage, *products))

    def infer(self, worker: int, target: str, data: _Call) -> _Call:
        """Queue a series for an actor."""
        return _Call(*self._networks[worker].infer.options(num_returns=2).remote(target, data.product))

    def first_done(self, calls: Collection[_Call]) -> _Call:
        """Wait for any call."""
        (done,), _ = self._ray.wait([call.note for call in calls], num_returns=1)
        return next(call for call in calls if call.note == done)

    def note(self, call: _Call) -> Note:
        """What it has to say.

        Raises:
            Lost: its process, its machine, or what it was given is gone.
        """
        try:
            note: Note = self._ray.get(call.note)
        except self._ray.exceptions.RayError as error:
            raise Lost(type(error).__name__) from error
        return note

    def renew(self, worker: int) -> None:
        """Start another actor."""
        self._ray.kill(self._networks[worker])  # whatever is left of it
        self._networks[worker] = self._new_network()

    def close(self) -> None:
        """End the actors, leave the cluster, and end the one that was started for this run."""
        self._cleanup.close()


def _connected(address: str | None, device: str, cleanup: contextlib.ExitStack) -> Any:
    """Import Ray and connect it, or start it here; what undoes that goes on the stack."""
    local = address is None or address.rpartition(":")[0] in ("127.0.0.1", "localhost")
    environment = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        # Ray takes the loopback interface for a mistake and listens on all, unless told that there is no cluster.
        **({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if local else {}),
        # A secret for this run alone; else Ray keeps one in the home folder.
        **({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)} if address is None else {}),
    }
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--engine ray: Ray is not installed; need the extra `ray`; pip install ray, or --engine local"
        ) from error
    if address is not None:
        _check_answers(address)
    options: dict[str, Any] = {}
    if address is None:
        scratch = tempfile.TemporaryDirectory(prefix="kneesynth-ray-", ignore_cleanup_errors=True)
        cleanup.enter_context(scratch)
        options = {
            "num_cpus": max(2, os.cpu_count() or 1),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "_temp_dir": scratch.name,
            **({"num_gpus": 0} if device == "cpu" else {}),
        }
    # Ray tells on stdout what became of its processes; stdout is the report's, and our own words on it are in results.
    cleanup.enter_context(contextlib.redirect_stdout(cleanup.enter_context(Path(os.devnull).open("w"))))
    cleanup.callback(ray.shutdown)
    # Actors and tasks import this very code, which lies at the same path on each machine.
    path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])])
    ray.init(
        address=address or "local",
        runtime_env={"env_vars": {"PYTHONPATH": path}},
        log_to_driver=False,
        configure_logging=False,
        logging_level=logging.CRITICAL,
        **options,
    )
    return ray


def _check_answers(address: str) -> None:
    """Refuse an address where no cluster answers, within seconds.

    Raises:
        UsageError: nothing is there, or something else.
    """
    what_to_do = "need a running cluster that this machine belongs to (`ray start`); start it or correct --address"
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or "/" in host:
            raise UsageError(f"--address {address}: need host:port, or auto; correct it")
        try:
            socket.create_connection((host, int(port)), _CONNECT).close()
        except (OSError, OverflowError) as error:
            raise UsageError(f"--address {address}: no Ray cluster answers there; {what_to_do}") from error
    command = [sys.executable, "-c", _PROBE, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(
            f"--address {address}: something answers, but not as a Ray cluster within {_ANSWER:.0f} s; {what_to_do}"
        ) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise UsageError(f"--address {address}: no Ray cluster answers there ({last[:200]}); {what_to_do}")
