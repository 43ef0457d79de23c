"""Real things for requests to be about: without them nearly every generated request would end as a 404 or a 422.

A share of the generated requests gets ids of things that exist, and bodies that make sense with a part of the
generated one put in. What would take the fuzzer's own key away, or let it wait for minutes, is turned aside.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.planning import parse
from store import accounts, catalogue, uploads, webhooks
from store.blobs import DiskBlobs
from store.jobs import submit, wish
from store.tables import ApiKey, Job, Policy, User
from tests.fuzz.stage import Stage
from tests.hand import Hand

SHARE = 0.95
"""Of the requests that are seeded."""
TRAIN = {"kind": "train", "dataset": "digits", "architecture": "convnet", "epochs": 2}
STUDY = {"kind": "study", "preset": "digits"}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000002000000020802000000fdd49a730000001049444154789c63606060f80f0401049000ff"
    "05fe02fea72d9e3e0000000049454e44ae426082"
)


class Seeds:
    """What one identity's requests can be about."""

    def __init__(self, stage: Stage, name: str, rng: random.Random) -> None:
        self._stage = stage
        self._rng = rng
        self._count = 0
        with stage.database.transaction() as session:
            user = accounts.find_user(session, name)
            assert user is not None
            self.user: User = user
            self.own_keys = {row.id for row in accounts.keys(session, user)}
        self._blobs = DiskBlobs(stage.home / "blobs")
        self._hook = ""
        self._furnish()

    def _furnish(self) -> None:
        """Ended and waiting jobs of every sort, with what they make."""
        hand = Hand(self._stage.database, self._blobs)
        study, train = self._job(STUDY), self._job(TRAIN)
        hand.do_everything()
        with self._stage.database.transaction() as session:
            mine = session.query(Job).filter(Job.owner_id == self.user.id)
            evaluations = [job.id for job in mine.filter(Job.kind == "evaluate")]
            self._datasets = [row.id for row in catalogue.datasets(session, self.user) if row.artifact_id]
            self._models = [row.id for row in catalogue.models(session, self.user)]
        self._export = {"kind": "export", "dataset": self._datasets[0], "format": "npz"}
        with self._stage.database.transaction() as session:
            exported = submit.submit(session, owner=self.user, spec=parse(self._export)).job.id
        hand.take().succeed({}, picture=PNG)
        with self._stage.database.transaction() as session:
            session.execute(
                Job.__table__.metadata.tables["artifacts"]
                .update()
                .where(Job.__table__.metadata.tables["artifacts"].c.job_id == exported)
                .values(role="data", name="dataset.npz")
            )
            rows = Job.__table__.metadata.tables["artifacts"]
            own = rows.c.job_id.in_(select(Job.id).where(Job.owner_id == self.user.id))
            self._artifacts = list(session.scalars(select(rows.c.id).where(own)))
        self._study, self._ended = study, [study, train, *evaluations[:2]]
        self._waiting = [self._job(TRAIN) for _ in range(3)]
        self._file = self._upload(PNG)
        self._hook = self._webhook()

    def _job(self, spec: dict[str, Any]) -> str:
        with self._stage.database.transaction() as session:
            return submit.submit(session, owner=self.user, spec=parse(spec), labels={"seed": "yes"}).job.id

    def _upload(self, data: bytes, *, whole: bool = True) -> str:
        api = self._stage
        with api.database.transaction() as session:
            row = uploads.begin(session, self.user, name="file", size=len(data))
        if whole:
            from store.settings import Settings

            told = Settings(DATABASE_URL=api.database.url, REDIS_URL="redis://", home=api.home)
            uploads.add(told, row, 0, data)
            with api.database.transaction() as session:
                uploads.finish(session, told, self._blobs, uploads.get(session, self.user, row.id))
        return row.id

    # what is asked for ---------------------------------------------------------------------------------------------

    def id(self, operation: str, parameter: str) -> str | None:
        """Something that the path of an operation may name."""
        special: dict[str, Callable[[], str]] = {
            "delete_job": self._cancelled,
            "retry_job": self._cancelled,
            "resume_job": self._paused,
            "cancel_job": lambda: self._job(TRAIN),
            "pause_job": lambda: self._job(TRAIN),
            "move_job_to_the_front": lambda: self._job(TRAIN),
            "show_report": lambda: self._study,
            "list_events": lambda: self._rng.choice(self._ended),
            "revoke_key": self._key,
            "remove_webhook": self._webhook,
            "forget_upload": lambda: self._upload(PNG, whole=False),
            "send_piece": lambda: self._upload(PNG, whole=False),
        }
        if operation in special:
            return special[operation]()
        usual: dict[str, Callable[[], str]] = {
            "job_id": lambda: self._rng.choice([*self._ended, *self._waiting]),
            "dataset_id": lambda: self._rng.choice(self._datasets),
            "model_id": lambda: self._rng.choice(self._models),
            "artifact_id": lambda: self._rng.choice(self._artifacts),
            "key_id": self._key,
            "webhook_id": lambda: self._hook,
            "upload_id": lambda: self._file,
            "name": lambda: "spare",
        }
        return usual[parameter]() if parameter in usual else None

    def body(self, operation: str) -> Any:
        """A body that an operation takes; None where any is as good."""
        self._count += 1
        bodies: dict[str, Callable[[], Any]] = {
            "submit_job": self._submission,
            "create_key": lambda: {"name": "another"},
            "create_webhook": self._new_webhook,
            "change_webhook": lambda: {"description": "the lab's", "enabled": True},
            "change_job": lambda: {"labels": {"paper": "table-2"}},
            "change_dataset": lambda: {"shared": True},
            "change_model": lambda: {"shared": True},
            "create_user": lambda: {"name": f"user{self._count}-{self._rng.randrange(10**9)}"},
            "change_limits": lambda: {"max_running": 5},
            "change_policy": lambda: {"max_running": 100},
            "announce_upload": lambda: {"name": "pets.zip", "size": 100},
            "export_dataset": lambda: {"format": self._rng.choice(["npz", "parquet", "bundle"])},
            "register_folder": self._folder,
            "hold_slot": lambda: {"host": "nowhere", "slot": "cuda:1", "reason": "a fan"},
            "release_slot": lambda: {"host": "nowhere", "slot": "cuda:1"},
        }
        return bodies[operation]() if operation in bodies else None

    def _submission(self) -> dict[str, Any]:
        model, dataset = self._rng.choice(self._models), self._rng.choice(self._datasets)
        construction = {"method": "random_target", "epsilon": 0.5}
        return self._rng.choice(
            [
                TRAIN,
                TRAIN | {"dataset": dataset},
                {"kind": "synthesize", "dataset": "digits", "model": model, "construction": construction},
                {"kind": "evaluate", "dataset": "digits", "model": model, "readings": [dataset]},
                {"kind": "export", "dataset": dataset, "format": "webdataset"},
                {"kind": "ingest", "upload": self._file},
                STUDY,
            ]
        )

    def _folder(self) -> dict[str, str]:
        folder = self._stage.home / "folder"
        for split in ("train", "test"):
            for label in ("cat", "dog"):
                (folder / split / label).mkdir(parents=True, exist_ok=True)
                (folder / split / label / "0.png").write_bytes(PNG)
        return {"name": f"pets{self._count}-{self._rng.randrange(10**9)}", "folder": str(folder)}

    def _new_webhook(self) -> dict[str, str]:
        with self._stage.database.transaction() as session:
            self._forget_webhooks(session)
        return {"url": "https://hooks.invalid/sieve"}

    def _forget_webhooks(self, session: Session) -> None:
        """There may be so many of them; the one that is asked about stays."""
        for old in webhooks.of_owner(session, self.user)[5:]:
            if old.id != self._hook:
                session.delete(old)
        session.flush()

    def _webhook(self) -> str:
        with self._stage.database.transaction() as session:
            self._forget_webhooks(session)
            events = ["job.succeeded"]
            return webhooks.create(session, self.user, url="https://hooks.invalid/", events=events, description="").id

    def _key(self) -> str:
        with self._stage.database.transaction() as session:
            accounts.create_key(session, self.user, "to revoke")
            return accounts.keys(session, self.user)[0].id

    def _cancelled(self) -> str:
        return self._wished(wish.cancel)

    def _paused(self) -> str:
        return self._wished(wish.pause)

    def _wished(self, ask: Callable[..., Job]) -> str:
        id = self._job(TRAIN)
        with self._stage.database.transaction() as session:
            ask(session, session.get_one(Job, id))
        return id

    # what is turned aside ------------------------------------------------------------------------------------------

    def mend(self) -> None:
        """The lab's policy, and the limits and keys of who asks, as they were."""
        with self._stage.database.transaction() as session:
            policy = session.get_one(Policy, 1)
            policy.maintenance = policy.max_running = policy.max_queued = None
            policy.max_gpu_hours = policy.max_storage = None
            for row in session.query(ApiKey).filter(ApiKey.id.in_(self.own_keys)):
                row.revoked_at = None

    def seed(self, case: Any, *, negative: bool) -> None:
        """Put real things into a generated request, now and then."""
        operation = case.operation.definition.raw["operationId"]
        headers = case.headers or {}
        if re.search(r"wait\s*=", str(headers.get("prefer", ""))):
            headers["prefer"] = "wait=0"
        if operation == "revoke_key" and case.path_parameters.get("key_id") in self.own_keys:
            case.path_parameters["key_id"] = self._key()
        if operation in ("change_limits", "reset_keys"):
            case.path_parameters["name"] = "spare"
        if operation == "list_events":
            case.path_parameters["job_id"] = self._rng.choice(self._ended)
        if negative or self._rng.random() > SHARE:
            return
        self._draw_key(headers)
        for parameter in case.path_parameters or {}:
            found = self.id(operation, parameter)
            if found is not None:
                case.path_parameters[parameter] = found
        if operation == "send_piece":
            case.body, case.headers["upload-offset"] = PNG, "0"
        elif (body := self.body(operation)) is not None:
            case.body = self._grafted(body, case.body)
        for name in ("cursor", "user", "owner", "study", "label", "state", "kind"):
            if name in (case.query or {}):
                del case.query[name]

    def _draw_key(self, headers: Any) -> None:
        """Mostly a new Idempotency-Key: nearly every generated one has been used before, with another body."""
        for name in [name for name in headers if name.lower() == "idempotency-key"]:
            if self._rng.random() < SHARE:
                headers[name] = f"{self._rng.getrandbits(64):x}"

    def _grafted(self, body: Any, generated: Any) -> Any:
        """A body with one or two of the generated one's fields, often none."""
        if not isinstance(generated, dict) or not generated or self._rng.random() < 0.6:
            return body
        names = self._rng.sample(sorted(generated), k=min(len(generated), self._rng.choice([1, 1, 2])))
        return {**body, **{name: generated[name] for name in names if name != "kind"}}
