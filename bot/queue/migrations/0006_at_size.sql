-- What is asked at every start and at every request is found without looking through everything.
CREATE INDEX jobs_unannounced ON jobs (seq)
    WHERE delivered_at IS NULL AND state IN ('rendered', 'cancelled', 'failed');
CREATE INDEX jobs_without_message ON jobs (seq)
    WHERE message_id IS NULL AND state IN ('queued', 'running', 'rendered');
CREATE INDEX asked_by_time ON asked (at);

-- What is remembered of the ledger itself.
CREATE TABLE notes (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;
