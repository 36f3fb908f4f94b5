"""The store's schema as numbered steps. Append only: a step that has been released is never edited."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        preset TEXT NOT NULL,
        model TEXT NOT NULL,
        data_name TEXT NOT NULL,
        created REAL NOT NULL,          -- seconds since 1970, as every time here
        started REAL,                   -- the last time a worker took it
        ended REAL,
        seconds REAL NOT NULL DEFAULT 0,-- summed over every time it ran
        pid INTEGER,
        pid_started REAL,               -- tells a worker from a later process with the same pid
        progress TEXT,
        error TEXT,
        summary TEXT
    );
    CREATE INDEX runs_by_state ON runs (state, created);
    CREATE INDEX runs_by_time ON runs (created DESC);
    CREATE TABLE metrics (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        step INTEGER NOT NULL,
        value REAL NOT NULL,
        time REAL NOT NULL,
        PRIMARY KEY (run, name, step)
    ) WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        detail TEXT NOT NULL
    );
    CREATE INDEX events_by_run ON events (run, id);
    CREATE TABLE drafts (
        id TEXT PRIMARY KEY,
        changed REAL NOT NULL,
        content TEXT NOT NULL
    );
    """,
    """
    ALTER TABLE runs ADD COLUMN shared INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE api_tokens (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        run TEXT REFERENCES runs (id) ON DELETE CASCADE,    -- NULL: every shared run
        digest TEXT NOT NULL,
        created REAL NOT NULL
    );
    CREATE TABLE limits (
        name TEXT PRIMARY KEY,
        value INTEGER NOT NULL          -- bytes or rows, as core/sharing/allowance.py says
    );
    """,
    """
    ALTER TABLE runs ADD COLUMN heartbeat REAL
    """,
    """
    -- The order of the queue. Triggers keep it, so that whatever changes a run's state keeps it too: a new run and a
    -- resumed one go to the end, one that its worker puts back (to go on in a fresh process) goes first.
    CREATE TABLE queue (
        run TEXT PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
        place INTEGER NOT NULL
    );
    INSERT INTO queue (run, place)
        SELECT id, row_number() OVER (ORDER BY created, id) FROM runs WHERE state = 'queued';
    CREATE TRIGGER run_is_queued AFTER INSERT ON runs WHEN new.state = 'queued'
        BEGIN INSERT INTO queue SELECT new.id, coalesce(max(place), 0) + 1 FROM queue; END;
    CREATE TRIGGER run_is_queued_again AFTER UPDATE OF state ON runs WHEN new.state = 'queued' AND old.state <> 'queued'
        BEGIN INSERT INTO queue SELECT new.id, CASE WHEN old.state IN ('running', 'stopping')
            THEN coalesce(min(place), 0) - 1 ELSE coalesce(max(place), 0) + 1 END FROM queue; END;
    CREATE TRIGGER run_leaves_the_queue AFTER UPDATE OF state ON runs
        WHEN old.state = 'queued' AND new.state <> 'queued' BEGIN DELETE FROM queue WHERE run = old.id; END;
    -- Which GPU an active run has. A device has one run at most.
    CREATE TABLE devices (
        device TEXT PRIMARY KEY,        -- as CUDA_VISIBLE_DEVICES names it; empty: whatever the worker finds
        run TEXT NOT NULL UNIQUE REFERENCES runs (id) ON DELETE CASCADE
    );
    INSERT INTO devices (device, run)
        SELECT '', id FROM runs WHERE state IN ('running', 'stopping') ORDER BY created LIMIT 1;
    CREATE TRIGGER run_leaves_its_device AFTER UPDATE OF state ON runs WHEN new.state NOT IN ('running', 'stopping')
        BEGIN DELETE FROM devices WHERE run = new.id; END;
    """,
    """
    -- A group of runs that try several settings, and which run tries which.
    CREATE TABLE sweeps (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        state TEXT NOT NULL,            -- searching, stopped, finished
        reason TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        ended REAL,
        base TEXT NOT NULL,             -- the RunSpec that every run starts from, JSON
        plan TEXT NOT NULL              -- the SweepSpec, JSON
    );
    CREATE TABLE trials (
        sweep TEXT NOT NULL REFERENCES sweeps (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,        -- from 0
        run TEXT NOT NULL UNIQUE,       -- kept when the run is deleted: it was tried
        made REAL NOT NULL,
        submitted INTEGER NOT NULL DEFAULT 0,
        settings TEXT NOT NULL,         -- key -> value, JSON
        judged INTEGER NOT NULL DEFAULT 0,  -- evaluations after which it was asked whether it is hopeless
        pruned TEXT NOT NULL DEFAULT '',-- why it was stopped early
        PRIMARY KEY (sweep, number)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE label_marks (
        id INTEGER PRIMARY KEY,
        data TEXT NOT NULL,             -- which file, by its content; see core.correcting.marks
        row INTEGER NOT NULL,           -- 0-based, as in split.parquet
        verdict TEXT NOT NULL,          -- wrong, ambiguous or right; of a row's marks the newest counts
        classes TEXT NOT NULL,          -- JSON list: what is right, where the label is wrong
        run TEXT NOT NULL,              -- where it was marked; marks outlive runs
        time REAL NOT NULL
    );
    CREATE INDEX label_marks_by_row ON label_marks (data, row, id);
    """,
    """
    -- What finished runs took: the speed table, and forecasts beside what came of them (core/training/speed.py). Kept
    -- when the run is deleted. Made from the run's event, so that a store made again from the folders has it too.
    CREATE TABLE measurements (
        run TEXT PRIMARY KEY,
        time REAL NOT NULL,
        device TEXT NOT NULL,           -- its name
        content TEXT NOT NULL           -- a Measurement, JSON
    );
    CREATE INDEX measurements_by_device ON measurements (device, time);
    CREATE TRIGGER run_is_measured AFTER INSERT ON events WHEN new.kind = 'measured'
        BEGIN INSERT OR REPLACE INTO measurements (run, time, device, content)
        VALUES (new.run, new.time, json_extract(new.detail, '$.device'), new.detail); END;
    """,
)
