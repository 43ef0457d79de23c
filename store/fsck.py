"""Looks whether everything that must hold between rows, and between rows and blobs, does. Changes nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Row, select, text

from store.blobs import CHUNK, BlobStore
from store.database import Database
from store.garbage import unreferenced
from store.lifecycle import TERMINAL, State, legal
from store.tables import Blob

Tick = Callable[[int, int], None]
"""Is told how much is done, of how much."""

_ENDED = ", ".join(f"'{state}'" for state in sorted(TERMINAL))

INVARIANTS: dict[str, str] = {
    "{0}: its file {1} has the blob {2}, which is marked for deletion": """
        select a.job_id, a.name, a.sha256 from artifacts a join blobs b using (sha256) where b.state <> 'present'""",
    "{0}: its checkpoint of step {1} has the blob {2}, which is marked for deletion": """
        select c.job_id, c.step, c.sha256 from checkpoints c join blobs b using (sha256) where b.state <> 'present'""",
    "{0}: its file {1} should have {2} bytes, and the blob has {3}": """
        select a.job_id, a.name, a.size, b.size from artifacts a join blobs b using (sha256) where a.size <> b.size""",
    "{0}: {2} files are called {1}": """
        select job_id, name, count(*) from artifacts group by 1, 2 having count(*) > 1""",
    "{0}: it made files and is {1}": """
        select distinct j.id, j.state from artifacts a join jobs j on j.id = a.job_id where j.state <> 'succeeded'""",
    "{0}: it succeeded, and has made {2} of what it should, a {1}": """
        select j.id, what, (select count(*) from datasets d where d.job_id = j.id and what = 'dataset')
                         + (select count(*) from models m where m.job_id = j.id and what = 'model') as made
        from jobs j, jsonb_object_keys(case jsonb_typeof(j.produces) when 'object' then j.produces end) what
        where j.state = 'succeeded' and (select count(*) from datasets d where d.job_id = j.id and what = 'dataset')
            + (select count(*) from models m where m.job_id = j.id and what = 'model') <> 1""",
    "{0}: its file is not a {1} of its job": """
        select m.id, 'model' from models m join artifacts a on a.id = m.artifact_id
        where a.role <> 'model' or a.job_id is distinct from m.job_id
        union all
        select d.id, 'dataset' from datasets d join artifacts a on a.id = d.artifact_id
        where a.role <> 'dataset' or a.job_id is distinct from d.job_id""",
    "{0}: it is {1} and has {2} checkpoints that continue no other": """
        select id, state, whole from (
            select j.id, j.state, count(*) filter (where c.continues is null) as whole
            from checkpoints c join jobs j on j.id = c.job_id
            group by 1, 2
        ) kept
        where whole not between 1 and 2 or state = 'succeeded'""",
    "{0}: it runs without a worker, a lease or a fence": """
        select id from jobs where state = 'running' and slot <> 'none'
        and (worker_id is null or lease_until is null or fence < 1)""",
    "{0}: it is {1} and has a lease": """
        select id, state from jobs where state <> 'running' and (worker_id is not null or lease_until is not null)""",
    "{0}: it is {1}, and finished_at says otherwise": f"""
        select id, state from jobs where (state in ({_ENDED})) <> (finished_at is not null)""",
    "{0}: it is {1} and waits for {2} jobs, in truth for {3}": """
        select * from (
            select j.id, j.state, j.waiting_for, (
                select count(*) from needs n join jobs i on i.id = n.needs_id
                where n.job_id = j.id and i.state <> 'succeeded') as truly
            from jobs j where j.state in ('blocked', 'queued', 'running') and j.slot <> 'none') waiting
        where waiting_for <> truly or (state = 'blocked') <> (truly > 0)""",
    "{0}: it is a study, {1}, of whose jobs {2} have not ended": f"""
        select s.id, s.state, count(*) filter (where j.state not in ({_ENDED})) as left_over
        from jobs s join jobs j on j.study_id = s.id group by 1, 2
        having (s.state in ({_ENDED})) <> (count(*) filter (where j.state not in ({_ENDED})) = 0)""",
    "{0}: it has the label {1}={2}, and is not found by it": """
        select id, key, value from (
            select id, key, value, owner_id from jobs, jsonb_each_text(labels)
            except select job_id, key, value, owner_id from job_labels) missing""",
    "{0}: it is found by the label {1}={2}, which it has not": """
        select job_id, key, value from job_labels join jobs on jobs.id = job_id
        where not labels @> jsonb_build_object(key, value)""",
    "{0}: its newest event is {2}, and the row says {1}": """
        select j.id, j.last_event, max(e.id) from jobs j join events e on e.job_id = j.id
        group by 1, 2 having max(e.id) > j.last_event""",
    "{0}: it is {1}, and its history ends with {2}": """
        select j.id, j.state, newest.state from jobs j left join lateral (
            select data ->> 'to' as state from events e where e.job_id = j.id and e.type = 'state'
            order by e.id desc limit 1) newest on true
        where newest.state is distinct from j.state""",
    "{0}: it went from {1} to {2} when it was {3}": """
        select * from (
            select job_id, data ->> 'from' as before, data ->> 'to' as after,
                   lag(data ->> 'to') over (partition by job_id order by id) as was
            from events where type = 'state') history
        where before is distinct from was""",
}
"""What is wrong with the rows that a query finds, which should find none."""

_TRANSITIONS = """
    select data ->> 'from' as before, data ->> 'to' as after, min(job_id) as job_id from events
    where type = 'state' and data ->> 'from' is not null group by 1, 2"""


@dataclass(frozen=True)
class Finding:
    """Something that `fsck` noticed."""

    message: str
    wrong: bool = True
    """False where nothing is lost and garbage collection will see to it."""


def rows(database: Database, tick: Tick = lambda *_: None) -> Iterator[Finding]:
    """What is wrong between rows, all seen at one moment."""
    total = len(INVARIANTS) + 1
    with database.transaction() as session:
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        for done, (message, query) in enumerate(INVARIANTS.items(), 1):
            yield from (Finding(message.format(*row)) for row in session.execute(text(query)))
            tick(done, total)
        for before, after, job_id in session.execute(text(_TRANSITIONS)):
            if not legal(State(before), State(after)):
                yield Finding(f"{job_id}: it went from {before} to {after}")
        tick(total, total)


def bytes_of(
    database: Database, blobs: BlobStore, *, hashes: bool = True, tick: Tick = lambda *_: None
) -> Iterator[Finding]:
    """What is wrong with blobs: missing, cut short, with `hashes` damaged; and, not wrong, what nobody knows of."""
    with database.transaction() as session:
        query = select(Blob.sha256, Blob.size, Blob.state, unreferenced().label("free")).order_by(Blob.sha256)
        known = session.execute(query).all()
    total, done = sum(row.size for row in known), 0
    for row in known:
        wrong = _wrong(blobs, row, hashes=hashes) if row.state == "present" else None
        if wrong and _still_there(database, row.sha256):
            yield Finding(f"the blob {row.sha256} {wrong}", wrong=not row.free)
        done += row.size
        tick(done, total)
    old = datetime.now(UTC) - timedelta(hours=1)  # what is younger may be about to be published
    names = {row.sha256 for row in known}
    strangers = [kept for kept in blobs.everything() if kept.sha256 not in names and kept.at < old]
    if strangers:
        size = sum(kept.size for kept in strangers)
        yield Finding(f"{len(strangers)} blobs ({size} bytes) were put and never published", wrong=False)


def _wrong(blobs: BlobStore, row: Row[str, int, str, bool], *, hashes: bool) -> str | None:
    if not blobs.holds(row.sha256, row.size):
        return "is missing or cut short"
    if hashes:
        try:
            digest = hashlib.sha256()
            with blobs.open(row.sha256) as reading:
                while chunk := reading.read(CHUNK):
                    digest.update(chunk)
        except OSError as error:
            return f"cannot be read: {error}"
        if digest.hexdigest() != row.sha256:
            return "is damaged: its bytes have another sha256"
    return None


def _still_there(database: Database, sha256: str) -> bool:
    """Garbage collection may have deleted it while we looked."""
    with database.transaction() as session:
        return session.scalar(select(Blob.state).where(Blob.sha256 == sha256)) == "present"
