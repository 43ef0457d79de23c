"""The `sieve` command against the real service: what it prints where, and how it exits."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from sieve import Client
from sieve.cli import run
from store import accounts, workers
from store.database import Database
from tests.hand import Hand
from tests.rates import measured, worker_comes

ROOT = Path(__file__).parent.parent.parent
TRAIN = ("submit", "train", "--dataset", "digits", "--architecture", "convnet", "--epochs", "2")


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """The command in this process, with an address and a key."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        code = run(arguments)
        return Said(code, *self._capsys.readouterr())


@pytest.fixture
def sieve(
    address: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    monkeypatch.setenv("SIEVE_URL", address)
    monkeypatch.setenv("SIEVE_API_KEY", key)
    monkeypatch.setenv("SIEVE_CONFIG", str(tmp_path / "config.toml"))
    return Command(capsys)


def test_submit_prints_the_id_and_hints_on_stderr(sieve: Command, client: Client) -> None:
    said = sieve(*TRAIN, "--name", "first", "--label", "paper=2", "--priority", "high", "--adversary.epsilon", "1")
    job = client.job(said.out.strip())
    assert (job.name, job.labels, job.priority) == ("first", {"paper": "2"}, 1)
    assert (job.spec["epochs"], job.spec["adversary"]["epsilon"]) == (2, 1.0)
    assert f"sieve watch {job.id}" in said.err
    assert sieve(*TRAIN, "--quiet").err == ""
    assert json.loads(sieve(*TRAIN, "--json").out)["state"] == "queued"


def test_submit_takes_a_file_and_lets_options_win(sieve: Command, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "kind: train\nname: of the file\ndataset: digits\narchitecture: convnet\nepochs: 7\nlabels: {a: b}\n"
    )
    job = client.job(sieve("submit", "-f", str(file), "-q").out.strip())
    assert (job.name, job.labels, job.spec["epochs"]) == ("of the file", {"a": "b"}, 7)
    over = ("--epochs", "3", "--dataset.options", "size=16", "--name", "mine")
    job = client.job(sieve("submit", "train", "-f", str(file), *over, "-q").out.strip())
    assert (job.name, job.spec["epochs"], job.spec["dataset"]["options"]) == ("mine", 3, {"size": 16})
    file.write_text("- no\n- mapping\n")
    assert sieve("submit", "-f", str(file)).code == 2
    assert sieve("submit").code == 2


def test_a_dry_run_submits_nothing(sieve: Command, client: Client) -> None:
    said = sieve("submit", "study", "--preset", "digits", "--seed", "3", "--dry-run")
    assert "3/synthesize/D_R" in said.out
    assert list(client.jobs()) == []


def test_a_dry_run_says_what_a_study_takes(sieve: Command, database: Database) -> None:
    worker_comes(database)
    threading.Thread(target=measured, args=(database,)).start()
    said = sieve("submit", "study", "--preset", "digits", "--dry-run")  # asks again until it is measured
    lines = said.out.splitlines()
    assert lines[0].split() == ["kind", "node", "time", "between", "memory", "disk"]
    assert lines[1].split()[:2] == ["train", "0/train/D_adv"]
    total = lines[-1].split()
    assert total[0] == "total"
    assert total[-1] == "MiB"
    assert "on 2 free slots of desk (cpu)" in said.err


def test_what_is_refused_names_field_and_option_and_exits_with_2(sieve: Command) -> None:
    said = sieve("submit", "train", "--dataset", "digit", "--architecture", "convnet")
    assert (said.code, said.out) == (2, "")
    assert "/dataset/name: there is no dataset 'digit'; did you mean 'digits'?" in said.err
    assert "see --dataset in `sieve submit train --help`" in said.err
    assert sieve(*TRAIN, "--epochs", "many").code == 2
    assert sieve("submit", "trian").code == 2


def test_jobs_show_and_verbs(sieve: Command, hand: Hand) -> None:
    first, second = (sieve(*TRAIN, "-q").out.strip() for _ in range(2))
    table = sieve("jobs").out.splitlines()
    assert table[0].split()[:3] == ["id", "kind", "name"]
    assert [line.split()[0] for line in table[1:]] == [second, first]
    assert sieve("jobs", "--state", "failed", "-q").out == ""
    assert [row["id"] for row in json.loads(sieve("jobs", "--json", "-n", "1").out)] == [second]
    assert sieve("cancel", second).out.split()[-1] == "cancelled"
    assert sieve("retry", second).out.split()[-1] == "queued"
    assert sieve("pause", first, second).code == 0
    assert sieve("resume", first, second).code == 0
    queue = sieve("queue")
    assert first in queue.out
    assert "no worker" in queue.out
    attempt = hand.take()
    attempt.record(("log", {"message": "[bold]as it is[/bold]"}))
    attempt.fail("the loss is not a number")
    shown = sieve("show", attempt.claim.job_id)
    assert "the loss is not a number" in shown.out
    assert shown.code == 0
    assert sieve("logs", attempt.claim.job_id).out == "[bold]as it is[/bold]\n"
    assert sieve("logs", "--follow", attempt.claim.job_id).out == "[bold]as it is[/bold]\n"
    assert json.loads(sieve("show", attempt.claim.job_id, "--json").out)["state"] == "failed"


def test_watch_exits_as_the_job_ends(sieve: Command, hand: Hand) -> None:
    good, bad = (sieve(*TRAIN, "-q").out.strip() for _ in range(2))
    attempt = hand.take()
    threading.Timer(0.7, attempt.succeed, args=({},), kwargs={"model": b"weights"}).start()
    assert sieve("watch", good)[:2] == (0, "succeeded\n")
    hand.take().fail("broken")
    said = sieve("watch", bad)
    assert said[:2] == (1, "failed\n")
    assert "broken" in said.err
    assert sieve("watch", bad, "--quiet").out == ""


def test_watching_a_study_tells_of_its_jobs(sieve: Command, hand: Hand, answered: Callable[[str], None]) -> None:
    study = sieve("submit", "study", "--preset", "digits", "-q").out.strip()
    attempt = hand.take()
    attempt.progress("training", 1, 4)

    def work() -> None:
        answered(f"GET /v1/jobs/{study} 200")  # it watches
        attempt.succeed({}, model=b"weights")
        hand.do_everything()

    assert sieve("jobs", "-q").out.split() == [study]
    assert len(sieve("jobs", "-q", "--all").out.split()) == 20
    threading.Thread(target=work).start()
    said = sieve("watch", study)
    assert said[:2] == (0, "succeeded\n")
    assert "0/train/D_adv" in said.err


def test_report_and_download(sieve: Command, hand: Hand, tmp_path: Path) -> None:
    study = sieve("submit", "study", "--preset", "digits", "-q").out.strip()
    assert "not_ready" not in sieve("report", study).out
    assert sieve("report", study).code == 1
    hand.do_everything()
    assert sieve("report", study).out == "# Report\n"
    assert json.loads(sieve("report", study, "--json").out) == {"rows": []}
    assert sieve("report", study, "-o", str(tmp_path / "r.html")).code == 0
    assert (tmp_path / "r.html").read_text() == "<h1/>"
    assert sieve("report", study, "-o", str(tmp_path / "r.xlsx")).code == 2
    said = sieve("download", study, str(tmp_path / "all"), "--role", "dataset")
    rows = [Path(line).relative_to(tmp_path / "all").as_posix() for line in said.out.splitlines()]
    assert sorted(rows) == [f"0/synthesize/{row}/dataset.safetensors" for row in ("D_NR", "D_R", "D_det", "D_rand")]
    datasets = [line.split()[0] for line in sieve("datasets").out.splitlines()[1:]]
    made = [name for name in datasets if name.startswith("ds_")]
    assert len(made) == 4
    assert "digits" in datasets
    path = Path(sieve("download", made[0], str(tmp_path)).out.strip())
    assert path == tmp_path / f"{made[0]}.safetensors"
    assert path.read_bytes().startswith(b"job_")
    (model, *_) = sieve("models", "-q").out.split()
    assert Path(sieve("download", model, str(tmp_path)).out.strip()).exists()


def test_exit_codes(sieve: Command, address: str) -> None:
    assert sieve("show", "job_none").code == 4
    refused = sieve("jobs", "--key", "sieve_wrong_key")
    assert (refused.code, refused.out) == (3, "")
    assert "the key is unknown" in refused.err
    assert sieve("jobs", "--nonsense").code == 2
    assert sieve("--version").code == 0


def test_login_keeps_what_works(
    sieve: Command, address: str, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIEVE_URL")
    monkeypatch.delenv("SIEVE_API_KEY")
    config = tmp_path / "config.toml"
    assert sieve("jobs").code == 2
    assert sieve("login", "--url", address, "--key", "sieve_wrong_key").code == 3
    assert not config.exists()
    said = sieve("login", "--url", address, "--key", key)
    assert (said.code, said.out) == (0, "ada (member)\n")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert sieve("jobs").code == 0
    assert sieve("jobs", "--url", "http://127.0.0.1:1").code == 1, "the file's key is for the file's address"


def laptop(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command where only what the wheel ships can be imported, and what it needs."""
    (tmp_path / "wheel").mkdir(exist_ok=True)
    if not (tmp_path / "wheel" / "sieve").exists():
        (tmp_path / "wheel" / "sieve").symlink_to(ROOT / "sieve")
    paths = [str(tmp_path / "wheel"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    program = f"import sys; sys.path[:0] = {paths!r}; from sieve.cli import main; main()"
    command = [sys.executable, "-S", "-P", "-c", program, *arguments]
    environment = {**os.environ, "PYTHONPATH": ""}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["up", "demo", "admin"])
def test_on_a_laptop_the_servers_commands_say_what_is_missing(tmp_path: Path, name: str) -> None:
    done = laptop(tmp_path, name)
    assert done.returncode == 1
    assert "the server is not installed here" in done.stderr
    assert f"`sieve {name}`" in done.stderr


def test_in_a_checkout_they_are_the_servers_own() -> None:
    command = [sys.executable, "-c", "from sieve.cli import main; main()", "up", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--host" in done.stdout


def test_piped_output_has_no_colours(sieve: Command) -> None:
    sieve(*TRAIN)
    assert "\x1b" not in sieve("jobs").out


def test_slots_are_shown_held_and_released(sieve: Command, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    card = {"uuid": "GPU-a", "name": "H200", "total": 139 << 30, "used": 20 << 30, "utilisation": 97, "celsius": 61}
    others = [{"pid": 77, "name": "python", "bytes": 19 << 30, "foreign": True}]
    gpu = {"name": "cuda:0", "device": "cuda:0", "takes": ["accelerator"], "job": None, "avoided": "others hold 20 GiB"}
    with database.transaction() as session:
        slots = [
            gpu | {"card": card | {"watts": None, "holders": others}},
            {"name": "cpu:0", "device": "cpu", "takes": []},
        ]
        workers.register(session, "wrk_1", host="gpu01", pid=1, version="0", slots=slots)
        admin = accounts.create_key(session, accounts.create_user(session, "root", "admin"))
    shown = sieve("slots").out
    assert "avoided" in shown
    assert "20.0 of 139 GiB" in shown
    assert "97 %" in shown
    assert "python (77)" in shown
    assert "others hold 20 GiB" in shown
    assert sieve("slots", "-q").out.splitlines() == ["gpu01 cuda:0", "gpu01 cpu:0"]
    assert sieve("slots", "hold", "gpu01").code == 3
    monkeypatch.setenv("SIEVE_API_KEY", admin)
    assert sieve("slots", "hold", "gpu02").code == 4
    assert "new fan" in sieve("slots", "hold", "gpu01", "cuda:0", "--drain", "-m", "new fan").out
    assert "held by root: new fan" in sieve("slots").out
    assert json.loads(sieve("slots", "release", "gpu01", "cuda:0", "--json").out) == []


def test_a_large_job_is_shared_out(sieve: Command, client: Client) -> None:
    model = sieve(*TRAIN, "-q").out.strip()
    synthesize = ("submit", "synthesize", "--dataset", "digits", "--model", model, "--construction.method", "robust")
    whole = client.job(sieve(*synthesize, "--shards", "4", "-q").out.strip())
    assert [child.node for child in whole.children] == [f"{number} of 4" for number in (1, 2, 3, 4)]
    assert client.job(whole.children[0].id).shard_of == whole.id
    assert client.job(sieve(*synthesize, "--shards", "auto", "-q").out.strip()).children == []
    assert sieve(*synthesize, "--shards", "many").code == 2
    assert sieve(*synthesize, "--shards", "0").code == 2
    assert "cannot be shared out" in sieve(*TRAIN, "--shards", "2").err


def test_a_log_is_lines_of_json_where_it_is_asked_for(sieve: Command, hand: Hand) -> None:
    job = sieve(*TRAIN, "-q").out.strip()
    attempt = hand.take()
    attempt.record(("log", {"message": "one"}), ("log", {"message": "two"}))
    attempt.fail()
    for options in ((), ("--follow",)):
        said = sieve("logs", job, "--json", *options).out.splitlines()
        assert [json.loads(line)["message"] for line in said] == ["one", "two"]
        assert json.loads(said[0])["at"]


def test_what_is_watched_for_too_long_exits_with_5(sieve: Command, client: Client) -> None:
    job = sieve(*TRAIN, "-q").out.strip()
    assert sieve("watch", job, "--timeout", "1s").code == 5
    assert sieve("watch", job, "--timeout", "1s", "--quiet").code == 5
    assert sieve("watch", job, "--timeout", "soon").code == 2
    assert sieve(*TRAIN, "--watch", "--timeout", "1").code == 5
    assert client.job(job).state == "queued", "it goes on"


def test_wrong_words_are_told_the_nearest(sieve: Command) -> None:
    def near(*arguments: str) -> str:
        said = sieve(*arguments)
        assert said.code == 2
        return said.err

    assert "'jobs'" in near("jbos")
    assert "'train'" in near("submit", "trian")
    assert "--dataset" in near("submit", "train", "--datset", "digits")
    assert "did you mean 'cifar10'?" in near("submit", "study", "--preset", "cifar")
    assert "did you mean 'cifar10'?" in near("submit", "train", "--dataset", "cifr10", "--architecture", "convnet")
    assert "did you mean 'convnet'?" in near("submit", "train", "--dataset", "digits", "--architecture", "convnt")


def test_a_field_of_a_file_is_told_the_nearest(sieve: Command, tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("kind: train\ndataset: digits\narchitecture: convnet\nepoch: 3\n")
    assert "did you mean 'epochs'?" in sieve("submit", "-f", str(file)).err


def test_show_knows_datasets_and_models(sieve: Command, hand: Hand) -> None:
    sieve(*TRAIN)
    hand.take().succeed({}, model=b"weights")
    model = sieve("models", "-q").out.strip()
    assert json.loads(sieve("show", model, "--json").out)["id"] == model
    assert json.loads(sieve("show", "digits", "--json").out)["id"] == "digits"
    assert sieve("show", "ds_none").code == 4
    assert sieve("download", "digits").code == 2


def test_everything_answers_as_json(
    sieve: Command, hand: Hand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, waits = (sieve(*TRAIN, "-q").out.strip() for _ in range(2))
    hand.take().succeed({}, model=b"weights")
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "spec.yaml"
    spec.write_text("kind: train\ndataset: digits\narchitecture: convnet\n")
    lines = [
        "jobs",
        "queue",
        "slots",
        "datasets",
        "models",
        "login",
        f"submit -f {spec} --dry-run",
        f"submit -f {spec}",
    ]
    lines += [f"{verb} {waits}" for verb in ("show", "pause", "resume", "cancel", "retry", "cancel")]
    lines += [f"{verb} {ended}" for verb in ("watch", "download --role model", "delete")]
    for line in lines:
        said = sieve(*line.split(), "--json")
        assert said.code == 0, (line, said)
        json.loads(said.out)
        assert said.err == "", line
