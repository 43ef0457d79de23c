"""Proves docker-compose.yml without an engine: `make compose-check`, as root on Debian.

Debian's docker-compose must accept the file. Then every service's command, environment, health check, order and way of
stopping are taken from it and run as plain processes, on the PostgreSQL and the Redis of Debian's packages:

    apt install docker-compose postgresql redis-server

Only what a container would give is put in its place: host names, ports, /run/secrets and /data.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from local.home import CHECKOUT
from local.servers import Unprivileged, start, stop
from sieve import Client

Service = dict[str, Any]

JOB = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 1}


class Stage:
    """Stands in for the engine: runs a compose file's services as processes below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.postgres_programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.ports = {name: _free_port() for name in ("postgres", "redis", "api")}
        subprocess.run([CHECKOUT / "deploy" / "make-secrets.sh", self.secrets], check=True)
        for file in self.secrets.iterdir():  # where a container would find its neighbours by name
            file.write_text(self.translated(file.read_text()))
        self.services: dict[str, Service] = _compose()["services"]

    def translated(self, value: Any) -> Any:
        """A value of the file as it must read outside a container."""
        if isinstance(value, list):
            return [self.translated(item) for item in value]
        if isinstance(value, dict):
            return {key: self.translated(item) for key, item in value.items()}
        places = {
            "@postgres:5432": f"@127.0.0.1:{self.ports['postgres']}",
            "@redis:6379": f"@127.0.0.1:{self.ports['redis']}",
            "8420": str(self.ports["api"]),
            "0.0.0.0": "127.0.0.1",  # noqa: S104
            "/run/secrets": str(self.secrets),
            "/tmp/redis.conf": str(self.folder / "redis.conf"),  # noqa: S108
            "--appendonly no": f"--appendonly no --port {self.ports['redis']}",
            "redis-cli": f"redis-cli -p {self.ports['redis']}",
            "$$": "$",  # docker-compose config escapes dollars once more
        }
        text = str(value)
        for before, after in places.items():
            text = text.replace(before, after)
        return str(self.folder / "data") if text == "/data" else text

    def environment(self, name: str) -> dict[str, str]:
        """What the service is told, and where the image would have its programs."""
        path = f"{CHECKOUT / '.venv' / 'bin'}:{self.postgres_programs}:{os.defpath}"
        told: dict[str, str] = self.translated(self.services[name].get("environment", {}))
        return {"PATH": path, "LC_ALL": "C.UTF-8", "PGPORT": str(self.ports["postgres"]), **told}

    def bring_up(self, name: str) -> None:
        """Start a service after those that it depends on, as far as they must be."""
        if name in self.running:
            return
        for needed, condition in self.services[name].get("depends_on", {}).items():
            self.bring_up(needed)
            if condition["condition"] == "service_completed_successfully":
                status = self.running[needed].wait(120)
                assert status == 0, f"{needed} ended with {status}:\n{self.log(needed).read_text()}"
            else:
                self.wait_until_healthy(needed)
        print(f"starting {name}", flush=True)
        self.running[name] = self.postgres() if name == "postgres" else self.launch(name)

    def launch(self, name: str) -> subprocess.Popen[bytes]:
        """Run a service's own command."""
        command: list[str] = self.translated(self.services[name]["command"])
        environment = self.environment(name)
        program = shutil.which(command[0], path=environment["PATH"])
        assert program, f"{name} runs {command[0]}, which is not there"
        return start(
            [program, *command[1:]],
            log=self.log(name),
            ends_by=signal.SIGKILL,
            environment=environment,
            folder=CHECKOUT,
        )

    def postgres(self) -> subprocess.Popen[bytes]:
        """What the image's entry script does with its environment, done with Debian's programs."""
        told = self.environment("postgres")
        user = Unprivileged(pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
        cluster, sockets = self.folder / "postgres", self.folder / "sockets"
        for path in (cluster, sockets):
            path.mkdir()
            os.chown(path, user.uid, user.gid)
        password = self.folder / "pwfile"
        shutil.copy(told["POSTGRES_PASSWORD_FILE"], password)
        os.chown(password, user.uid, user.gid)
        made = start(
            [
                str(self.postgres_programs / "initdb"),
                f"--pgdata={cluster}",
                f"--username={told['POSTGRES_USER']}",
                f"--pwfile={password}",
                "--auth-local=trust",
                *told["POSTGRES_INITDB_ARGS"].split(),
            ],
            log=self.log("postgres"),
            ends_by=signal.SIGKILL,
            user=user,
        ).wait()
        assert made == 0, self.log("postgres").read_text()
        with (cluster / "postgresql.conf").open("a") as file:
            file.write(f"port = {self.ports['postgres']}\nunix_socket_directories = '{sockets}'\n")
        server = start(
            [str(self.postgres_programs / "postgres"), "-D", str(cluster)],
            log=self.log("postgres"),
            ends_by=signal.SIGQUIT,
            user=user,
        )
        createdb = str(self.postgres_programs / "createdb")
        create = [createdb, f"--host={sockets}", f"--username={told['POSTGRES_USER']}", told["POSTGRES_DB"]]
        _until(lambda: subprocess.run(create, env=told, capture_output=True, check=False).returncode == 0, 30)
        return server

    def wait_until_healthy(self, name: str) -> None:
        """Run the service's own health check until it passes."""
        how, *test = self.translated(self.services[name]["healthcheck"]["test"])
        command = ["sh", "-c", *test] if how == "CMD-SHELL" else test
        told = self.environment(name)
        command[0] = shutil.which(command[0], path=told["PATH"]) or command[0]

        def healthy() -> bool:
            assert self.running[name].poll() is None, f"{name} died:\n{self.log(name).read_text()}"
            return subprocess.run(command, env=told, capture_output=True, check=False).returncode == 0

        _until(healthy, 60)
        print(f"{name} is healthy", flush=True)

    def log(self, name: str) -> Path:
        """Where a service writes."""
        return self.folder / f"{name}.log"

    def bring_down(self) -> None:
        """Stop everything as the engine would, the last first."""
        for name in reversed(self.running):
            grace = float(self.services[name].get("stop_grace_period", "10s").removesuffix("s"))
            status = stop(self.running[name], (signal.SIGTERM, grace))
            print(f"{name} ended with {status}", flush=True)
            assert status in (0, -signal.SIGTERM), f"{name} did not stop in {grace:g} s:\n{self.log(name).read_text()}"


def main() -> None:
    """Run the whole of it."""
    with tempfile.TemporaryDirectory(prefix="sieve-compose-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        stage = Stage(folder)
        try:
            for service in stage.services:
                stage.bring_up(service)
            for service in ("api", "worker"):
                stage.wait_until_healthy(service)
            add_user = [sys.executable, "-m", "local", "admin", "add-user", "alice", "--role", "admin"]
            key = subprocess.run(
                add_user, env=stage.environment("api"), cwd=CHECKOUT, capture_output=True, text=True, check=True
            ).stdout.strip()
            with Client(f"http://127.0.0.1:{stage.ports['api']}", key) as client:
                job = client.submit(JOB).wait(timeout=120)
                print(f"{job.id} {job.state}", flush=True)
        except BaseException:
            for service in stage.running:
                print(f"--- {service}\n{stage.log(service).read_text()[-4000:]}", file=sys.stderr)
            with contextlib.suppress(AssertionError):
                stage.bring_down()
            raise
        stage.bring_down()
    print("docker-compose.yml: accepted, and everything that it runs works")


def _compose() -> dict[str, Any]:
    shown = subprocess.run(["docker-compose", "config"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if shown.returncode != 0:
        sys.exit(f"docker-compose refuses docker-compose.yml:\n{shown.stderr}")
    loaded: dict[str, Any] = yaml.safe_load(shown.stdout)
    return loaded


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _until(condition: Any, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
