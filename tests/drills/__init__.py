"""Drills: the service is hurt, and an auditor that reads only the database and the blobs says what held.

    python -m tests.drills                    every drill at its full n, then each without its protection
    python -m tests.drills --short            a reduced n, three minutes altogether: part of CI
    python -m tests.drills cancel drain --n 40
    python -m tests.drills cancel --off       without the protection: must say that it did not hold

Each prints one line of JSON, {"drill", "n", "held", "figure"}. Trials are appended to out/drills/NAME.jsonl as they
are done, with the commit that they were done on; a drill that is asked for n = 300 and has 120 goes on. `--fresh`
forgets them.

To add a drill: one file in `tests/drills/rows` that holds `DRILL = Drill(...)` (see `drill.py`), nothing else. Its
`run(stage, n)` yields a `Trial` for every trial, or for every few; it is closed once there are enough. What it has:

    stage.at_work()       a database, a data folder and a worker with two slots, shared by drills that leave it alive
    stage.place()         a database and a data folder of its own; `place.start(...)`, `place.working(...)` for workers
    stage.postgres, stage.redis     the servers, to be hurt; leave them running
    load                  jobs: rehearsals, real trainings and syntheses, sized to be hit in the middle
    saboteur              kill, stop, go on; a strike remembers when, and which jobs ran
    audit                 what the database and the blobs say of some jobs: what is wrong, or nothing

A protection is switched off, and a process made to die at a failpoint, from outside of the product: the process is
started through `entry.py`, which replaces one function of it. A drill names these patches in `without`: functions of
`protections.py`, or of a module of its own. `stage.patches` hands them to every worker while `--off` is on.
"""
