"""What a child does: one attempt at one job. It knows a scratch folder, its inputs and a pipe; no database, no Redis.

slot -> child   {"do": "run", ...} first; {"do": "stop", "why": "cancel" | "pause"}; {"do": "go_on"} to a checkpoint
child -> slot   started, progress, metrics, log, resumed, damaged, checkpoint; at the end done, failed or stopped

Or it measures a network for estimates: {"do": "measure", ...} first; started, and then measured or failed. Or it tries
its device out: {"do": "try", ...} first; then tried.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import platform
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from core.arithmetic import algorithms
from core.cards import DatasetCard, ModelCard
from core.checkpoints import load_checkpoint, save_checkpoint
from core.context import Checkpoint, FolderDataset, Inputs, Part, StoredDataset
from core.errors import CoreError, DamagedCheckpoint, DamagedFile, Stopped
from core.measuring import measure, peak_memory
from core.memory import ran_out
from core.planning import parse
from core.run import execute
from core.work import Network
from worker.fingerprint import changes, differences, fingerprint, hardware, software
from worker.pipe import Closed, Message, Pipe

MAY_PASS = (MemoryError, OSError, RuntimeError)
"""Errors that may not come again: torch says with a RuntimeError that memory ran out or a device failed."""

_PROGRESS_SECONDS = 0.2
_LISTEN_SECONDS = 0.05
_METRICS_SECONDS = 0.5


def main(pipe: Pipe) -> None:
    """Do the job that the first message describes, and say how it ended."""
    task = pipe.poll(None)
    assert task is not None
    if task["visible"] is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = task["visible"]  # heard when CUDA starts, which it has not yet
    if task["do"] == "try":
        pipe.send({"say": "tried", "wrong": _try(torch.device(task["device"]))})
        return
    pipe.send({"say": "started", "versions": {"python": platform.python_version(), "torch": torch.__version__}})
    try:
        pipe.send(_attempt(task, pipe) if task["do"] == "run" else _measure(task))
    except Closed:
        os._exit(1)  # nobody is left to tell


def _try(device: torch.device) -> str | None:
    """Compute something whose answer is known. What went wrong, or None."""
    try:
        ones = torch.ones(256, 256, device=device)
        found = (ones @ ones).sum().item()
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return None if found == 256**3 else f"256 x 256 x 256 is {found:.0f} there"


def _attempt(task: Message, pipe: Pipe) -> Message:
    began = time.monotonic()
    _set_up_torch(task)
    context = PipeContext(task, pipe)
    try:
        inputs = _inputs(task["inputs"])
        result = execute(parse(task["spec"]), inputs, context)
    except Stopped:
        return {"say": "stopped"}
    except Closed:
        raise
    except Exception as error:
        context.log(traceback.format_exc(limit=-8))
        name = type(error).__name__
        if ran_out(error):
            name = "OutOfMemory"
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            name = "DiskFull"
        code = error.code if isinstance(error, CoreError) else _snake(name)
        message = str(error).strip() or name
        again = isinstance(error, MAY_PASS) and not isinstance(error, CoreError)
        return {"say": "failed", "code": code, "message": message[:2000], "again": again}
    finally:
        context.flush()
    outputs = [
        {"name": output.name, "path": str(output.path), "role": output.role, "media_type": output.media_type}
        for output in result.outputs
    ]
    figures = dict(result.figures)
    if context.changes:
        figures["resumed_elsewhere"] = context.changes
    if task["spec"]["kind"] == "shard":
        figures["environment"] = context.environment
    figures |= differences([file["figures"] for file in task["inputs"]["parts"]])
    taken = {"seconds": time.monotonic() - began, "memory": peak_memory(context.device)}
    ran = {"software": software(), "hardware": hardware(context.device, task["threads"]), "contents": inputs.contents}
    made = _made(result.made)
    return {"say": "done", "figures": figures, "outputs": outputs, "made": made, "taken": taken, "ran": ran}


def _made(card: DatasetCard | ModelCard | None) -> Message | None:
    """The card of what nobody could know before, by what it is."""
    if card is None:
        return None
    values = dataclasses.asdict(card)
    if isinstance(card, DatasetCard):
        return {"dataset": values}
    return {"model": values | {"architecture": card.architecture and card.architecture.model_dump(mode="json")}}


def _set_up_torch(task: Message) -> None:
    """For this process: it does one thing and ends."""
    torch.set_num_threads(task["threads"])
    torch.backends.cudnn.allow_tf32 = False  # what is called fp32 is fp32


def _measure(task: Message) -> Message:
    """What passes through a network take, for estimates."""
    _set_up_torch(task)
    network, device = Network.model_validate(task["network"]), torch.device(task["device"])
    try:
        with algorithms(tried_out=True):
            rates = measure(network, device, Path(task["scratch"]))
    except Exception as error:
        return {"say": "failed", "message": f"{type(error).__name__}: {error}"[:2000]}
    return {"say": "measured", "rates": rates.model_dump(mode="json")}


def _inputs(given: Message) -> Inputs:
    """What the references of the spec stand for, each file looked at whole before it is used.

    Raises:
        DamagedFile: a file does not have the hash that it is named by.
    """
    shares = [(f"share {number} of its blocks", file) for number, file in enumerate(given["parts"], 1)]
    for name, file in [*given["datasets"].items(), *given["models"].items(), *given["uploads"].items(), *shares]:
        if _sha256(Path(file["path"])) != file["sha256"]:
            raise DamagedFile(f"the file of {name} is damaged: it does not have the sha256 {file['sha256']}")
    return Inputs(
        datasets={name: StoredDataset(Path(file["path"])) for name, file in given["datasets"].items()}
        | {name: FolderDataset(Path(path)) for name, path in given["folders"].items()},
        models={name: Path(file["path"]) for name, file in given["models"].items()},
        files={name: Path(file["path"]) for name, file in given["uploads"].items()},
        figures=given["figures"],
        parts=[Part(Path(file["path"]), file["figures"]) for file in given["parts"]],
        provenance=given["provenance"],
    )


class PipeContext:
    """`core.context.Context` of an attempt that runs under a slot."""

    def __init__(self, task: Message, pipe: Pipe) -> None:
        self.device = torch.device(task["device"])
        self.scratch = Path(task["scratch"])
        self.data_folder = Path(task["data_folder"])
        self.changes: list[str] = []
        """Where the job was resumed in another environment than before, and what was other."""
        self.environment = fingerprint(self.device, task["threads"])
        self._pipe = pipe
        self._checkpoints: list[Message] = task["checkpoints"]
        self._interval: float = task["checkpoint_seconds"]
        now = time.monotonic()
        self._saved_at = self._metrics_sent_at = now
        self._spoke_at = self._listened_at = now - 1
        self._phase: str | None = None
        self._metrics: list[tuple[str, int, float]] = []
        self._asked: str | None = None

    def progress(self, phase: str, step: int, total: int) -> None:
        """Pass it on, at most a few times a second; stop here if the job was cancelled."""
        now = time.monotonic()
        if now - self._listened_at >= _LISTEN_SECONDS:
            self._listen()
        if phase != self._phase or step >= total or now - self._spoke_at >= _PROGRESS_SECONDS:
            self._pipe.send({"say": "progress", "phase": phase, "step": step, "total": total})
            self._phase, self._spoke_at = phase, now
        if self._asked == "cancel":
            raise Stopped("cancelled")

    def metric(self, name: str, value: float, step: int) -> None:
        """Collect, and pass on in batches."""
        self._metrics.append((name, step, float(value)))
        if time.monotonic() - self._metrics_sent_at >= _METRICS_SECONDS:
            self.flush()

    def log(self, message: str) -> None:
        """Pass a line on."""
        self._pipe.send({"say": "log", "message": message})

    def resume(self) -> Checkpoint | None:
        """The newest checkpoint that is whole, or None."""
        chain = self.chain()
        return chain[-1] if chain else None

    def chain(self) -> list[Checkpoint]:
        """The newest checkpoint that is whole, after those that it continues. Behind a damaged one nothing is whole."""
        left = self._checkpoints
        while left:
            length = next(place for place, offered in enumerate(left, 1) if offered["continues"] is None)
            chain = self._whole(reversed(left[:length]))
            if chain:
                self._compare(chain[-1])
                self._pipe.send({"say": "resumed", "step": chain[-1].step, "changes": self.changes})
                return chain
            left = left[length:]
        return []

    def _whole(self, offers: Iterable[Message]) -> list[Checkpoint]:
        """The checkpoints that continue each other, up to the first that is damaged."""
        chain: list[Checkpoint] = []
        for offered in offers:
            path = Path(offered["path"])
            try:
                if _sha256(path) != offered["sha256"]:
                    raise DamagedCheckpoint(f"{path.name} does not have the hash that it is named by")
                chain.append(load_checkpoint(path))
            except (DamagedCheckpoint, FileNotFoundError):
                self._pipe.send({"say": "damaged", "fence": offered["fence"], "step": offered["step"]})
                break
        return chain

    def safe_point(self, step: int, state: Callable[[], Checkpoint]) -> None:
        """Save a checkpoint if one is due or the job is to pause; stop here if it is to stop."""
        self._listen()
        if self._asked == "cancel":
            raise Stopped("cancelled")
        if self._asked == "pause" or time.monotonic() - self._saved_at >= self._interval:
            self._save(step, state())
        if self._asked is not None:
            raise Stopped("asked to stop")

    def flush(self) -> None:
        """Pass on what was collected."""
        if self._metrics:
            self._pipe.send({"say": "metrics", "points": self._metrics})
        self._metrics, self._metrics_sent_at = [], time.monotonic()

    def _save(self, step: int, checkpoint: Checkpoint) -> None:
        """Write the file and wait until the slot has published it: then nothing that follows can be lost with it."""
        path = self.scratch / "checkpoint.safetensors"
        environment = {**self.environment, "changes": self.changes}
        save_checkpoint(path, dataclasses.replace(checkpoint, environment=environment))
        self.flush()
        self._pipe.send({"say": "checkpoint", "step": step, "continues": checkpoint.continues, "path": str(path)})
        published = False
        while not published:
            message = self._pipe.poll(None)
            assert message is not None
            published = message["do"] == "go_on"
            self._hear(message)
        self._saved_at = time.monotonic()

    def _compare(self, checkpoint: Checkpoint) -> None:
        """Note that the bits may be others than if the job had never stopped, and why."""
        saved = checkpoint.environment
        self.changes = list(saved.get("changes", []))
        if differing := changes(saved, self.environment):
            self.changes.append(f"at step {checkpoint.step}: {', '.join(differing)}")
            self.log(f"resumed in another environment ({', '.join(differing)}): the result may differ in its bits")

    def _listen(self) -> None:
        self._listened_at = time.monotonic()
        while (message := self._pipe.poll()) is not None:
            self._hear(message)

    def _hear(self, message: Message) -> None:
        if message["do"] == "stop":
            self._asked = message["why"]


def _sha256(path: Path) -> str:
    with path.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()


def _snake(name: str) -> str:
    """`ValueError` as `value_error`."""
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(name))
