-- When somebody had a job deleted: its words and files are gone, the row says that there was one.
ALTER TABLE jobs ADD COLUMN deleted_at REAL;

-- Who asked when, for cooldowns and daily limits. It outlives the job, or deleting would give the day back.
CREATE TABLE asked (
    user_id INTEGER NOT NULL,
    at REAL NOT NULL
) STRICT;

CREATE INDEX asked_by_user ON asked (user_id, at);

-- Who sent which file of the folder inputs. Equal contents are one file, and several people's.
CREATE TABLE uploads (
    path TEXT NOT NULL,
    user_id INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (path, user_id)
) STRICT;

CREATE INDEX uploads_by_user ON uploads (user_id);

-- Only the latest are looked at, and there is one for every size that anybody has tried.
DELETE FROM step_times WHERE rowid NOT IN (SELECT rowid FROM step_times ORDER BY rowid DESC LIMIT 256);
