-- Which chip painted a job last: only equal ones paint equally, bit by bit.
ALTER TABLE jobs ADD COLUMN device TEXT;
