-- What decides how long a step takes has the name that the code gives it.
ALTER TABLE jobs RENAME COLUMN look TO cost_key;
ALTER TABLE paces RENAME COLUMN look TO cost_key;
ALTER TABLE paces RENAME TO step_times;
