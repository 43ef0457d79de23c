"""How fast is a download over loopback? The API process, and a proxy that sends the file for it, beside nginx alone.

    python -m benchmarks.download --out out/bench/download.json

Needs nginx (Debian's `nginx-light`). One file of random bytes in the blob store of an API with a PostgreSQL of its own.
Each way is asked for the whole file with curl, in turn, so many rounds; a warm-up round puts it into the page cache. A
request for its headers comes just before: what it takes to wake processes that were idle is not measured.
`api`: from the API itself. `sent_by_proxy`: nginx in front, which the API tells to send the file. `through_proxy`:
nginx in front, which passes on what the API sends. `nginx`: the file as nginx serves it from its folder.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

import httpx

from benchmarks.record import FOLDER, record
from benchmarks.serving import Place, running, served, servers
from core.planning import parse
from store import accounts
from store.artifacts import StoredFile
from store.blobs import DiskBlobs
from store.database import Database
from store.jobs import submit
from store.tables import Artifact, Blob, Job

API, PLAIN, SENDING, PASSING = 8481, 8482, 8483, 8484
WAYS = ("nginx", "api", "sent_by_proxy", "through_proxy")
_NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; {user}
events {{}}
http {{
    access_log off; sendfile on; tcp_nopush on; client_body_temp_path {folder}/body; proxy_temp_path {folder}/temp;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{ listen 127.0.0.1:{plain}; location / {{ root {blobs}; }} }}
    server {{
        listen 127.0.0.1:{sending};
        location / {{ proxy_pass http://127.0.0.1:{api}; proxy_buffering off; }}
        location /blobs/ {{
            internal; alias {blobs}/; etag off;
            add_header ETag $upstream_http_etag; add_header Repr-Digest $upstream_http_repr_digest;
        }}
    }}
    server {{ listen 127.0.0.1:{passing};
        location / {{ proxy_pass http://127.0.0.1:{api_alone}; proxy_http_version 1.1; proxy_buffering off; }} }}
}}
"""


def stored(database: Database, blobs: DiskBlobs, size: int, folder: Path) -> tuple[str, str, str]:
    """A file of random bytes as an artifact: its id, its sha256, and its owner's key."""
    path = folder / "random"
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    sha256, size = blobs.put(path)
    path.unlink()
    with database.transaction() as session:
        owner = accounts.create_user(session, "reader", "member")
        spec = parse({"kind": "train", "dataset": "digits", "architecture": "convnet"})
        job: Job = submit.submit(session, owner=owner, spec=spec).job
        session.add(Blob(sha256=sha256, size=size, state="present"))
        session.flush()
        file_ = StoredFile("random", "data", "application/octet-stream", sha256, size)
        session.add(Artifact(id="art_random", job_id=job.id, **vars(file_)))
        return "art_random", sha256, accounts.create_key(session, owner)


def fetched(url: str, key: str) -> float:
    """Seconds that curl takes for the whole file."""
    curl = shutil.which("curl")
    assert curl is not None, "curl is needed"
    command = [
        curl,
        "-sS",
        "--fail",
        "-o",
        "/dev/null",
        "-H",
        f"Authorization: Bearer {key}",
        "-w",
        "%{time_total}",
        url,
    ]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - curl


def peak(pid: int) -> int:
    """Largest resident memory of a process so far, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def measure(place: Place, size: int, rounds: int) -> dict[str, Any]:
    """The figures."""
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    blobs = DiskBlobs(place.blobs)
    artifact, sha256, key = stored(place.database, blobs, size, place.folder)
    text = _NGINX.format(
        folder=place.folder, blobs=blobs.root, plain=PLAIN, sending=SENDING, passing=PASSING, api=API + 10,
        api_alone=API, user="user root;" if os.geteuid() == 0 else "",
    )  # fmt: skip
    configuration = place.folder / "nginx.conf"
    configuration.write_text(text)
    with (
        served(place, API) as (address, api),
        served(place, API + 10, SIEVE_SENDFILE="/blobs/"),
        running([nginx, "-c", str(configuration)], {}, f"http://127.0.0.1:{PLAIN}/"),
    ):
        path = f"/v1/artifacts/{artifact}"
        urls = {
            "nginx": f"http://127.0.0.1:{PLAIN}/{sha256[:2]}/{sha256}",
            "api": f"{address}{path}",
            "sent_by_proxy": f"http://127.0.0.1:{SENDING}{path}",
            "through_proxy": f"http://127.0.0.1:{PASSING}{path}",
        }
        for way, url in urls.items():
            check(way, url, key, sha256)
        before = peak(api)
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way in WAYS:
                httpx.head(urls[way], headers={"Authorization": f"Bearer {key}"}).raise_for_status()
                seconds[way].append(fetched(urls[way], key))
        return _figures(seconds, size, {"before": before, "after": peak(api)})


def check(way: str, url: str, key: str, sha256: str) -> None:
    """The whole file arrives, and a part of it with its hash as the tag. Raises `AssertionError`."""
    headers = {"Authorization": f"Bearer {key}"}
    digest = hashlib.sha256()
    with httpx.stream("GET", url, headers=headers, timeout=60) as response:
        assert response.status_code == 200, (way, response.status_code)
        for chunk in response.iter_raw():
            digest.update(chunk)
    assert digest.hexdigest() == sha256, way
    if way == "nginx":
        return
    part = httpx.get(url, headers=headers | {"Range": "bytes=5-9", "If-Range": f'"{sha256}"'})
    assert (part.status_code, len(part.content), part.headers["etag"]) == (206, 5, f'"{sha256}"'), (way, part.headers)
    assert part.headers["repr-digest"].startswith("sha-256=:"), way
    stale = httpx.get(url, headers=headers | {"Range": "bytes=5-9", "If-Range": '"other"'}, timeout=60)
    assert stale.status_code == 200, way


def _figures(seconds: dict[str, list[float]], size: int, memory: dict[str, int]) -> dict[str, Any]:
    rates = {way: [size / one / 1e9 for one in times] for way, times in seconds.items()}
    shares = {way: [mine / theirs for mine, theirs in zip(rates[way], rates["nginx"], strict=True)] for way in WAYS[1:]}
    return {
        "benchmark": "download",
        "bytes": size,
        "rounds": len(seconds["nginx"]),
        "gigabytes_a_second": {way: _spread(values) for way, values in rates.items()},
        "of_nginx": {way: _spread(values) for way, values in shares.items()},
        "asked": {"api": 0.60, "sent_by_proxy": 0.95},
        "api_resident_bytes": memory,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


def main() -> None:
    """Measure, record."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=FOLDER / "download.json")
    asked = parser.parse_args()
    with servers() as place:
        found = measure(place, asked.mib << 20, asked.rounds)
    record(asked.out, found, ("starlette", "uvicorn"))


if __name__ == "__main__":
    main()
