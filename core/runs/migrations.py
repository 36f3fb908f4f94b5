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
)
