CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of arrival; clocks jump
    id TEXT NOT NULL UNIQUE,
    interaction_id INTEGER NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    spec TEXT NOT NULL, -- JSON
    steps INTEGER NOT NULL, -- these two repeat the spec, for the expected waiting time
    look TEXT NOT NULL,
    prompt TEXT NOT NULL,
    user_id INTEGER NOT NULL,
    guild_id INTEGER,
    channel_id INTEGER NOT NULL,
    message_id INTEGER,
    parent_id TEXT REFERENCES jobs (id) ON DELETE SET NULL,
    state TEXT NOT NULL DEFAULT 'queued'
        CHECK (state IN ('queued', 'running', 'rendered', 'delivered', 'cancelled', 'failed')),
    notify INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    notices TEXT NOT NULL DEFAULT '[]', -- JSON
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    delivered_at REAL,
    step INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    seconds REAL
) STRICT;

CREATE INDEX jobs_by_state ON jobs (state, seq);
CREATE INDEX jobs_by_user ON jobs (user_id, seq);
CREATE INDEX jobs_by_parent ON jobs (parent_id);

-- A job may be shown in several messages: the first one, a reply after an hour, /show.
CREATE TABLE messages (
    message_id INTEGER PRIMARY KEY,
    channel_id INTEGER NOT NULL,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX messages_by_job ON messages (job_id);

-- Whose turn it was when: a count, not a time.
CREATE TABLE served (
    user_id INTEGER PRIMARY KEY,
    turn INTEGER NOT NULL
) STRICT;

-- Seconds per step of paintings that cost alike, for the expected waiting time.
CREATE TABLE paces (
    look TEXT PRIMARY KEY,
    seconds REAL NOT NULL
) STRICT;

CREATE TABLE guild_settings (
    guild_id INTEGER PRIMARY KEY,
    settings TEXT NOT NULL -- JSON
) STRICT;

CREATE TABLE user_settings (
    user_id INTEGER PRIMARY KEY,
    settings TEXT NOT NULL -- JSON
) STRICT;
