-- `attempts` only ever grows, so that it tells one start of a job from another; these of them count no more against it.
ALTER TABLE jobs ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0;
