"""Taking jobs in: what a spec stands for is written whole, or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import func, select

from core.errors import DataUnavailable, SpecRefused
from sieve.specs import DatasetRef, StudySpec
from store.catalogue import DatabaseCatalogue, register_folder
from store.database import Database
from store.errors import Conflict, IdempotencyConflict
from store.jobs import submit, wish
from store.tables import Job, Need
from tests.jobs import STUDY, TRAIN, events, parts, person, submitted


def test_a_study_becomes_its_jobs(database: Database) -> None:
    study = submitted(database, person(database, "ada"), STUDY, labels={"paper": "1"}, priority=1)
    children = parts(database, study)
    assert study.state == "blocked"
    assert len(children) == 19
    assert [node for node, job in children.items() if job.state == "queued"] == ["0/train/D_adv", "0/train/D"]
    assert children["0/train/D_R"].spec["dataset"]["name"] == children["0/synthesize/D_R"].id
    assert children["0/train/D_R"].waiting_for == 1
    assert children["0/evaluate/D"].waiting_for == 5
    assert children["0/synthesize/D_R"].produces == {
        "dataset": {
            "shape": [1, 8, 8],
            "classes": [str(digit) for digit in range(10)],
            "train_images": 1437,
            "test_images": 0,
        }
    }
    assert list(children)[-1] == "report"
    assert all(job.priority == 1 and job.labels == {"paper": "1"} for job in children.values())
    assert study.id < min(job.id for job in children.values())
    assert [event.data for event in events(database, study.id)] == [{"from": None, "to": "blocked"}]


def test_a_study_that_chooses_learning_rates_waits_for_its_candidates(database: Database) -> None:
    rates = StudySpec.model_validate({"preset": "digits-rates", "sources": 2})
    children = parts(database, submitted(database, person(database, "ada"), rates))
    choice, model = children["0/train/D_rand"], children["0/train/D_rand"].produces["model"]
    assert (choice.kind, choice.waiting_for) == ("choose", 4)
    candidate = children["0/candidate/D_rand.1"]
    assert candidate.spec["validate_on"]["name"] == "digits"
    assert candidate.produces["model"] == model, "what comes after may refer to the choice as to a training"
    assert children["0/evaluate/D_rand"].spec["model"]["name"] == choice.id
    further = children["0/source/D.2"]
    assert [ref["name"] for ref in children["0/synthesize/D_rand"].spec["further_models"]] == [further.id]


REFUSED = {
    "/dataset/name": {"dataset": "job_01jd3h7v0c8k2m4n6p8q0r2s4t"},
    "/dataset/options": {"dataset": {"name": "folder", "options": {"size": 16}}},
    "/architecture/options/widths": {"architecture": {"name": "convnet", "options": {"widths": []}}},
    "/batch_size": {"dataset": {"name": "digits", "limit_train": 100}, "batch_size": 64},
}


@pytest.mark.parametrize("pointer", REFUSED)
def test_a_refusal_names_the_field_and_leaves_nothing(database: Database, pointer: str) -> None:
    ada = person(database, "ada")
    with pytest.raises(SpecRefused) as refused:
        submitted(database, ada, TRAIN.model_dump(mode="json") | REFUSED[pointer])
    assert refused.value.pointer == pointer
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_what_only_a_part_of_a_study_refuses_is_refused_too(database: Database) -> None:
    training = STUDY.training.model_copy(update={"batch_size": 1000})
    with pytest.raises(SpecRefused, match="0/train/D cannot be: /batch_size: digits has only 1437"):
        submitted(database, person(database, "ada"), STUDY.model_copy(update={"training": training}))


def test_other_peoples_jobs_do_not_exist(database: Database) -> None:
    source = submitted(database, person(database, "ada"))
    spec = {"kind": "evaluate", "dataset": "digits", "model": source.id}
    with pytest.raises(SpecRefused, match="there is no job"):
        submitted(database, person(database, "bob"), spec)
    assert submitted(database, person(database, "root", "admin"), spec).state == "blocked"


def test_a_source_that_cannot_succeed_any_more_is_refused(database: Database) -> None:
    ada = person(database, "ada")
    source = submitted(database, ada)
    with database.transaction() as session:
        wish.cancel(session, session.get_one(Job, source.id))
    with pytest.raises(SpecRefused, match=f"^/model/name: {source.id} was cancelled$"):
        submitted(database, ada, {"kind": "evaluate", "dataset": "digits", "model": source.id})
    with pytest.raises(SpecRefused, match="makes no dataset"):
        submitted(database, ada, TRAIN.model_dump() | {"dataset": submitted(database, ada).id})


def test_one_key_makes_one_job(database: Database) -> None:
    ada = person(database, "ada")

    def once(_: int) -> tuple[str, bool]:
        with database.transaction() as session:
            made = submit.submit(session, owner=ada, spec=TRAIN, idempotency=("key", "body"))
        return made.job.id, made.created

    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(once, range(32)))
    assert len({id for id, _ in made}) == 1
    assert sum(created for _, created in made) == 1
    with database.transaction() as session, pytest.raises(IdempotencyConflict):
        submit.submit(session, owner=ada, spec=TRAIN, idempotency=("key", "another body"))
    assert submitted(database, person(database, "bob"), idempotency=("key", "another body")).id != made[0][0]


def test_a_plan_writes_nothing(database: Database) -> None:
    ada = person(database, "ada")
    with database.transaction() as session:
        plan = submit.plan(session, owner=ada, spec=STUDY)
    assert plan.jobs[-1].node == "report"
    assert plan.jobs[2].needs == ("@0/train/D",)
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
        assert session.scalar(select(func.count()).select_from(Need)) == 0


def picture(path: Path, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def test_a_registered_folder_is_a_dataset_for_everyone(database: Database, tmp_path: Path) -> None:
    root, ada = person(database, "root", "admin"), person(database, "ada")
    for name in ("train/b/1.png", "train/b/2.png", "train/a/1.png", "train/.hidden/1.png", "test/a/1.png"):
        picture(tmp_path / name)
    with database.transaction() as session:
        register_folder(session, root, "leaves", tmp_path)
        card = DatabaseCatalogue(session, ada).dataset(DatasetRef(name="leaves", limit_train=2))
        assert (card.shape, card.classes, card.train_images, card.test_images) == ((3, 4, 6), ("a", "b"), 2, 1)
        with pytest.raises(Conflict):
            register_folder(session, root, "leaves", tmp_path)
        with pytest.raises(Conflict):
            register_folder(session, root, "digits", tmp_path)
        with pytest.raises(SpecRefused, match="did you mean 'leaves'"):
            DatabaseCatalogue(session, ada).dataset(DatasetRef(name="leavs"))


def test_a_folder_laid_out_otherwise_is_refused(database: Database, tmp_path: Path) -> None:
    root = person(database, "root", "admin")
    with database.transaction() as session:
        with pytest.raises(DataUnavailable, match="there is no folder"):
            register_folder(session, root, "leaves", tmp_path)
        picture(tmp_path / "train/a/1.png")
        picture(tmp_path / "train/b/1.png", (7, 7))
        with pytest.raises(DataUnavailable, match="different shapes"):
            register_folder(session, root, "leaves", tmp_path)
        picture(tmp_path / "train/b/1.png")
        picture(tmp_path / "test/c/1.png")
        with pytest.raises(DataUnavailable, match="lacks: c"):
            register_folder(session, root, "leaves", tmp_path)
