-- A window of time in a busy function's log: without this its newest lines were found by walking back from the very newest one.
CREATE INDEX log_lines_window ON log_lines (function_id, ts);
