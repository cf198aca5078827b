-- The schema after all migrations, to be read and compared, never run. `go test ./store -run TestSchema -update` writes it.

-- columns
access_keys.id text not null
access_keys.secret bytea not null
access_keys.kind text not null
access_keys.arn text not null
access_keys.name text not null
access_keys.user_id bigint
access_keys.created_at timestamp with time zone not null
access_keys.used_at timestamp with time zone
aliases.function_id bigint not null
aliases.name text collate C not null
aliases.version text not null
aliases.weights jsonb not null
aliases.description text not null
aliases.revision_id uuid not null
aliases.updated_at timestamp with time zone not null
audit.id bigint not null identity
audit.at timestamp with time zone not null
audit.by_name text not null
audit.by_arn text not null
audit.from_address text not null
audit.action text not null
audit.resource text not null
audit.denied boolean not null
audit.detail jsonb not null
code.sha256 text not null
code.upload bigint not null identity
code.size bigint not null
code.created_at timestamp with time zone not null
code_chunks.upload bigint not null
code_chunks.n integer not null
code_chunks.data bytea not null storage e
dead_letters.id bigint not null identity
dead_letters.function_id bigint not null
dead_letters.request_id uuid not null
dead_letters.function text not null
dead_letters.qualifier text not null
dead_letters.digest text not null
dead_letters.source text not null
dead_letters.by_name text not null
dead_letters.client_context text not null
dead_letters.trace_id text not null
dead_letters.replay_of text not null
dead_letters.payload bytea not null
dead_letters.accepted_at timestamp with time zone not null
dead_letters.attempts integer not null
dead_letters.target text not null
dead_letters.reason text not null
dead_letters.error_type text not null
dead_letters.error_text text not null
dead_letters.response bytea
dead_letters.at timestamp with time zone not null
documents.kind text not null
documents.id text collate C not null
documents.function_id bigint
documents.qualifier text not null
documents.body jsonb not null
documents.updated_at timestamp with time zone not null
draft_files.user_id bigint not null
draft_files.function_id bigint not null
draft_files.path text collate C not null
draft_files.data bytea not null
draft_files.deleted boolean not null
draft_pins.user_id bigint not null
draft_pins.function_id bigint not null
draft_pins.digest text not null
draft_pins.pinned_at timestamp with time zone not null
drafts.user_id bigint not null
drafts.function_id bigint not null
drafts.base bigint not null
drafts.seq bigint not null
drafts.saved_at timestamp with time zone not null
event_invoke_configs.function_id bigint not null
event_invoke_configs.qualifier text not null
event_invoke_configs.max_retries integer
event_invoke_configs.max_age_sec integer
event_invoke_configs.on_success text not null
event_invoke_configs.on_failure text not null
event_invoke_configs.updated_at timestamp with time zone not null
event_queue.id bigint not null identity
event_queue.function_id bigint not null
event_queue.request_id uuid not null
event_queue.function text not null
event_queue.qualifier text not null
event_queue.digest text not null
event_queue.source text not null
event_queue.by_name text not null
event_queue.client_context text not null
event_queue.trace_id text not null
event_queue.replay_of text not null
event_queue.payload bytea not null storage e
event_queue.accepted_at timestamp with time zone not null
event_queue.state smallint not null default 0
event_queue.claim bigint not null default 0
event_queue.node text not null default ''::text
event_queue.attempt integer not null default 0
event_queue.throttles integer not null default 0
event_queue.run_at timestamp with time zone not null
event_queue.lease_until timestamp with time zone
function_names.id bigint not null
function_names.name text not null
functions.id bigint not null identity
functions.name text collate C not null
functions.runtime text not null
functions.handler text not null
functions.role text not null
functions.description text not null
functions.memory_mb integer not null
functions.timeout_sec integer not null
functions.ephemeral_mb integer not null
functions.env bytea
functions.layers jsonb not null
functions.dead_letter text not null
functions.log_format text not null
functions.app_log_level text not null
functions.sys_log_level text not null
functions.tracing_mode text not null
functions.architectures jsonb not null
functions.code_sha256 text not null
functions.code_size bigint not null
functions.layer_code jsonb not null
functions.digest text not null
functions.revision bigint not null
functions.revision_id uuid not null
functions.reserved integer
functions.tags jsonb not null
functions.last_version bigint not null default 0
functions.log_days integer
functions.created_at timestamp with time zone not null
functions.updated_at timestamp with time zone not null
functions.updated_by text not null
invocation_bodies.request_id uuid not null
invocation_bodies.function_id bigint not null
invocation_bodies.ts timestamp with time zone not null
invocation_bodies.attempt integer not null
invocation_bodies.keep boolean not null
invocation_bodies.cut_event boolean not null
invocation_bodies.cut_response boolean not null
invocation_bodies.event bytea
invocation_bodies.response bytea
invocation_bodies_default.request_id uuid not null
invocation_bodies_default.function_id bigint not null
invocation_bodies_default.ts timestamp with time zone not null
invocation_bodies_default.attempt integer not null
invocation_bodies_default.keep boolean not null
invocation_bodies_default.cut_event boolean not null
invocation_bodies_default.cut_response boolean not null
invocation_bodies_default.event bytea
invocation_bodies_default.response bytea
invocations.request_id uuid not null
invocations.function_id bigint not null
invocations.ts timestamp with time zone not null
invocations.accepted_at timestamp with time zone not null
invocations.attempt integer not null
invocations.queued_us bigint not null
invocations.init_us bigint not null
invocations.duration_us bigint not null
invocations.billed_ms bigint not null
invocations.memory_mb integer not null
invocations.max_memory_mb integer not null
invocations.event_size integer not null
invocations.response_size integer not null
invocations.status smallint not null
invocations.cold boolean not null
invocations.async boolean not null
invocations.version text not null
invocations.alias text not null
invocations.source text not null
invocations.by_name text not null
invocations.replay_of text not null
invocations.error_type text not null
invocations.error_message text not null
invocations.worker text not null
invocations.trace_id text not null
invocations_default.request_id uuid not null
invocations_default.function_id bigint not null
invocations_default.ts timestamp with time zone not null
invocations_default.accepted_at timestamp with time zone not null
invocations_default.attempt integer not null
invocations_default.queued_us bigint not null
invocations_default.init_us bigint not null
invocations_default.duration_us bigint not null
invocations_default.billed_ms bigint not null
invocations_default.memory_mb integer not null
invocations_default.max_memory_mb integer not null
invocations_default.event_size integer not null
invocations_default.response_size integer not null
invocations_default.status smallint not null
invocations_default.cold boolean not null
invocations_default.async boolean not null
invocations_default.version text not null
invocations_default.alias text not null
invocations_default.source text not null
invocations_default.by_name text not null
invocations_default.replay_of text not null
invocations_default.error_type text not null
invocations_default.error_message text not null
invocations_default.worker text not null
invocations_default.trace_id text not null
layer_versions.layer text collate C not null
layer_versions.number bigint not null
layer_versions.description text not null
layer_versions.license text not null
layer_versions.runtimes jsonb not null
layer_versions.architectures jsonb not null
layer_versions.code_sha256 text not null
layer_versions.code_size bigint not null
layer_versions.at timestamp with time zone not null
layers.name text collate C not null
layers.last_number bigint not null
log_lines.function_id bigint not null
log_lines.ts timestamp with time zone not null
log_lines.epoch bigint not null
log_lines.seq bigint not null
log_lines.request_id uuid
log_lines.stream smallint not null
log_lines.level smallint not null
log_lines.cut boolean not null
log_lines.version text not null
log_lines.worker text not null
log_lines.line text not null
log_lines_default.function_id bigint not null
log_lines_default.ts timestamp with time zone not null
log_lines_default.epoch bigint not null
log_lines_default.seq bigint not null
log_lines_default.request_id uuid
log_lines_default.stream smallint not null
log_lines_default.level smallint not null
log_lines_default.cut boolean not null
log_lines_default.version text not null
log_lines_default.worker text not null
log_lines_default.line text not null
login_tokens.hash bytea not null
login_tokens.user_id bigint not null
login_tokens.expires_at timestamp with time zone not null
metric_hour.function_id bigint not null
metric_hour.at timestamp with time zone not null
metric_hour.n bigint not null
metric_hour.errors bigint not null
metric_hour.throttles bigint not null
metric_hour.cold bigint not null
metric_hour.sum_us bigint not null
metric_hour.min_us bigint not null
metric_hour.max_us bigint not null
metric_hour.init_sum_us bigint not null
metric_hour.init_max_us bigint not null
metric_hour.billed_ms bigint not null
metric_hour.gb_ms bigint not null
metric_hour.max_memory_mb integer not null
metric_hour.memory_mb integer not null
metric_hour.max_running integer not null
metric_hour.retries bigint not null
metric_hour.dead_letters bigint not null
metric_hour.hist bytea
metric_minute.function_id bigint not null
metric_minute.at timestamp with time zone not null
metric_minute.n bigint not null
metric_minute.errors bigint not null
metric_minute.throttles bigint not null
metric_minute.cold bigint not null
metric_minute.sum_us bigint not null
metric_minute.min_us bigint not null
metric_minute.max_us bigint not null
metric_minute.init_sum_us bigint not null
metric_minute.init_max_us bigint not null
metric_minute.billed_ms bigint not null
metric_minute.gb_ms bigint not null
metric_minute.max_memory_mb integer not null
metric_minute.memory_mb integer not null
metric_minute.max_running integer not null
metric_minute.retries bigint not null
metric_minute.dead_letters bigint not null
metric_minute.hist bytea
policies.function_id bigint
policies.layer text collate C
policies.qualifier text not null
policies.revision_id uuid not null
policies.statements jsonb not null
preferences.user_id bigint not null
preferences.name text not null
preferences.value text not null
revisions.function_id bigint not null
revisions.number bigint not null
revisions.cause text not null
revisions.runtime text not null
revisions.handler text not null
revisions.role text not null
revisions.description text not null
revisions.memory_mb integer not null
revisions.timeout_sec integer not null
revisions.ephemeral_mb integer not null
revisions.env bytea
revisions.layers jsonb not null
revisions.dead_letter text not null
revisions.log_format text not null
revisions.app_log_level text not null
revisions.sys_log_level text not null
revisions.tracing_mode text not null
revisions.architectures jsonb not null
revisions.code_sha256 text not null
revisions.code_size bigint not null
revisions.layer_code jsonb not null
revisions.by_name text not null
revisions.at timestamp with time zone not null
revisions.from_number bigint not null
revisions.note text not null
roles.arn text not null
roles.name text not null
roles.description text not null
roles.trust text not null
roles.policies jsonb not null
roles.created_at timestamp with time zone not null
runnables.digest text not null
runnables.function_id bigint not null
runnables.version text not null
runnables.runtime text not null
runnables.handler text not null
runnables.role text not null
runnables.description text not null
runnables.memory_mb integer not null
runnables.timeout_sec integer not null
runnables.ephemeral_mb integer not null
runnables.env bytea
runnables.layers jsonb not null
runnables.dead_letter text not null
runnables.log_format text not null
runnables.app_log_level text not null
runnables.sys_log_level text not null
runnables.tracing_mode text not null
runnables.architectures jsonb not null
runnables.code_sha256 text not null
runnables.code_size bigint not null
runnables.layer_code jsonb not null
runnables.made_at timestamp with time zone not null
schema_migrations.name text not null
schema_migrations.checksum text not null
schema_migrations.applied_at timestamp with time zone not null default now()
server.only_row boolean not null default true
server.epoch bigint not null default 0
server.key_check bytea
sessions.id bigint not null identity
sessions.user_id bigint not null
sessions.secret_hash bytea not null
sessions.created_at timestamp with time zone not null
sessions.seen_at timestamp with time zone not null
sessions.from_address text not null
sessions.agent text not null
settings.name text not null
settings.value jsonb not null
settings.updated_at timestamp with time zone not null
settings.updated_by text not null
test_events.function_id bigint not null
test_events.name text collate C not null
test_events.body bytea not null
test_events.by_name text not null
test_events.at timestamp with time zone not null
url_configs.id text not null
url_configs.function_id bigint not null
url_configs.qualifier text not null
url_configs.auth_type text not null
url_configs.invoke_mode text not null
url_configs.cors jsonb
url_configs.created_at timestamp with time zone not null
url_configs.updated_at timestamp with time zone not null
users.id bigint not null identity
users.name text not null
users.email text not null default ''::text
users.role text not null
users.password_hash text not null default ''::text
users.created_at timestamp with time zone not null
versions.function_id bigint not null
versions.number bigint not null
versions.runtime text not null
versions.handler text not null
versions.role text not null
versions.description text not null
versions.memory_mb integer not null
versions.timeout_sec integer not null
versions.ephemeral_mb integer not null
versions.env bytea
versions.layers jsonb not null
versions.dead_letter text not null
versions.log_format text not null
versions.app_log_level text not null
versions.sys_log_level text not null
versions.tracing_mode text not null
versions.architectures jsonb not null
versions.code_sha256 text not null
versions.code_size bigint not null
versions.layer_code jsonb not null
versions.digest text not null
versions.version_description text not null
versions.revision_id uuid not null
versions.by_name text not null
versions.at timestamp with time zone not null

-- tables
access_keys
aliases
audit
code
code_chunks
dead_letters
documents
draft_files
draft_pins
drafts
event_invoke_configs
event_queue with (fillfactor=80, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=2000, autovacuum_vacuum_cost_delay=0)
function_names
functions
invocation_bodies partition by RANGE (ts)
invocation_bodies_default partition of invocation_bodies DEFAULT
invocations partition by RANGE (ts)
invocations_default partition of invocations DEFAULT
layer_versions
layers
log_lines partition by RANGE (ts)
log_lines_default partition of log_lines DEFAULT
login_tokens
metric_hour with (fillfactor=70)
metric_minute with (fillfactor=70)
policies
preferences
revisions
roles
runnables
schema_migrations
server
sessions
settings
test_events
url_configs
users
versions

-- indexes
CREATE UNIQUE INDEX access_keys_pkey ON access_keys USING btree (id)
CREATE UNIQUE INDEX aliases_pkey ON aliases USING btree (function_id, name)
CREATE INDEX audit_at ON audit USING brin (at)
CREATE UNIQUE INDEX audit_pkey ON audit USING btree (id)
CREATE UNIQUE INDEX code_pkey ON code USING btree (sha256)
CREATE UNIQUE INDEX code_upload_key ON code USING btree (upload)
CREATE UNIQUE INDEX code_chunks_pkey ON code_chunks USING btree (upload, n)
CREATE INDEX dead_letters_function ON dead_letters USING btree (function_id, id DESC)
CREATE UNIQUE INDEX dead_letters_pkey ON dead_letters USING btree (id)
CREATE INDEX dead_letters_target ON dead_letters USING btree (target, id) WHERE (target <> ''::text)
CREATE INDEX documents_function ON documents USING btree (function_id, kind)
CREATE UNIQUE INDEX documents_pkey ON documents USING btree (kind, id)
CREATE UNIQUE INDEX draft_files_pkey ON draft_files USING btree (user_id, function_id, path)
CREATE INDEX draft_pins_function ON draft_pins USING btree (function_id)
CREATE UNIQUE INDEX draft_pins_pkey ON draft_pins USING btree (user_id, function_id)
CREATE INDEX drafts_function ON drafts USING btree (function_id)
CREATE UNIQUE INDEX drafts_pkey ON drafts USING btree (user_id, function_id)
CREATE UNIQUE INDEX event_invoke_configs_pkey ON event_invoke_configs USING btree (function_id, qualifier)
CREATE INDEX event_queue_due ON event_queue USING btree (function_id, run_at, id) WHERE (state = 0)
CREATE INDEX event_queue_lease ON event_queue USING btree (lease_until) WHERE (state = 1)
CREATE UNIQUE INDEX event_queue_pkey ON event_queue USING btree (id)
CREATE UNIQUE INDEX function_names_pkey ON function_names USING btree (id)
CREATE INDEX functions_code ON functions USING btree (code_sha256)
CREATE UNIQUE INDEX functions_name_key ON functions USING btree (name)
CREATE UNIQUE INDEX functions_pkey ON functions USING btree (id)
CREATE INDEX invocation_bodies_function ON public.invocation_bodies USING btree (function_id, ts DESC) WHERE (NOT keep)
CREATE UNIQUE INDEX invocation_bodies_request ON public.invocation_bodies USING btree (request_id, attempt, ts)
CREATE INDEX invocation_bodies_default_function_id_ts_idx ON invocation_bodies_default USING btree (function_id, ts DESC) WHERE (NOT keep)
CREATE UNIQUE INDEX invocation_bodies_default_request_id_attempt_ts_idx ON invocation_bodies_default USING btree (request_id, attempt, ts)
CREATE INDEX invocations_failed ON public.invocations USING btree (ts DESC, request_id DESC) WHERE (status >= 3)
CREATE INDEX invocations_function ON public.invocations USING btree (function_id, ts DESC, request_id DESC)
CREATE UNIQUE INDEX invocations_request ON public.invocations USING btree (request_id, attempt, ts)
CREATE INDEX invocations_ts ON public.invocations USING btree (ts DESC, request_id DESC)
CREATE INDEX invocations_default_function_id_ts_request_id_idx ON invocations_default USING btree (function_id, ts DESC, request_id DESC)
CREATE UNIQUE INDEX invocations_default_request_id_attempt_ts_idx ON invocations_default USING btree (request_id, attempt, ts)
CREATE INDEX invocations_default_ts_request_id_idx ON invocations_default USING btree (ts DESC, request_id DESC)
CREATE INDEX invocations_default_ts_request_id_idx1 ON invocations_default USING btree (ts DESC, request_id DESC) WHERE (status >= 3)
CREATE INDEX layer_versions_code ON layer_versions USING btree (code_sha256)
CREATE UNIQUE INDEX layer_versions_pkey ON layer_versions USING btree (layer, number)
CREATE UNIQUE INDEX layers_pkey ON layers USING btree (name)
CREATE INDEX log_lines_function ON public.log_lines USING btree (function_id, epoch, seq)
CREATE UNIQUE INDEX log_lines_id ON public.log_lines USING btree (epoch, seq, ts)
CREATE INDEX log_lines_ts ON public.log_lines USING brin (ts) WITH (pages_per_range='32', autosummarize='on')
CREATE INDEX log_lines_window ON public.log_lines USING btree (function_id, ts)
CREATE UNIQUE INDEX log_lines_default_epoch_seq_ts_idx ON log_lines_default USING btree (epoch, seq, ts)
CREATE INDEX log_lines_default_function_id_epoch_seq_idx ON log_lines_default USING btree (function_id, epoch, seq)
CREATE INDEX log_lines_default_function_id_ts_idx ON log_lines_default USING btree (function_id, ts)
CREATE INDEX log_lines_default_ts_idx ON log_lines_default USING brin (ts) WITH (pages_per_range='32', autosummarize='on')
CREATE UNIQUE INDEX login_tokens_pkey ON login_tokens USING btree (hash)
CREATE INDEX metric_hour_at ON metric_hour USING brin (at)
CREATE UNIQUE INDEX metric_hour_pkey ON metric_hour USING btree (function_id, at)
CREATE INDEX metric_minute_at ON metric_minute USING brin (at)
CREATE UNIQUE INDEX metric_minute_pkey ON metric_minute USING btree (function_id, at)
CREATE UNIQUE INDEX policies_function ON policies USING btree (function_id, qualifier) WHERE (function_id IS NOT NULL)
CREATE UNIQUE INDEX policies_layer ON policies USING btree (layer, qualifier) WHERE (layer IS NOT NULL)
CREATE UNIQUE INDEX preferences_pkey ON preferences USING btree (user_id, name)
CREATE INDEX revisions_at ON revisions USING btree (at DESC)
CREATE INDEX revisions_code ON revisions USING btree (code_sha256)
CREATE UNIQUE INDEX revisions_pkey ON revisions USING btree (function_id, number)
CREATE UNIQUE INDEX roles_name_key ON roles USING btree (name)
CREATE UNIQUE INDEX roles_pkey ON roles USING btree (arn)
CREATE INDEX runnables_code ON runnables USING btree (code_sha256)
CREATE INDEX runnables_function ON runnables USING btree (function_id)
CREATE UNIQUE INDEX runnables_pkey ON runnables USING btree (digest)
CREATE UNIQUE INDEX schema_migrations_pkey ON schema_migrations USING btree (name)
CREATE UNIQUE INDEX server_pkey ON server USING btree (only_row)
CREATE UNIQUE INDEX sessions_pkey ON sessions USING btree (id)
CREATE UNIQUE INDEX sessions_secret_hash_key ON sessions USING btree (secret_hash)
CREATE INDEX sessions_user ON sessions USING btree (user_id, id DESC)
CREATE UNIQUE INDEX settings_pkey ON settings USING btree (name)
CREATE UNIQUE INDEX test_events_pkey ON test_events USING btree (function_id, name)
CREATE UNIQUE INDEX url_configs_function_id_qualifier_key ON url_configs USING btree (function_id, qualifier)
CREATE UNIQUE INDEX url_configs_pkey ON url_configs USING btree (id)
CREATE UNIQUE INDEX users_email ON users USING btree (lower(email)) WHERE (email <> ''::text)
CREATE UNIQUE INDEX users_pkey ON users USING btree (id)
CREATE INDEX versions_code ON versions USING btree (code_sha256)
CREATE UNIQUE INDEX versions_pkey ON versions USING btree (function_id, number)

-- constraints
access_keys FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
aliases FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
documents FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
draft_files FOREIGN KEY (user_id, function_id) REFERENCES drafts(user_id, function_id) ON DELETE CASCADE
draft_pins FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
drafts FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
drafts FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
event_invoke_configs FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
layer_versions FOREIGN KEY (layer) REFERENCES layers(name)
login_tokens FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
policies CHECK ((num_nonnulls(function_id, layer) = 1))
policies FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
preferences FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
revisions FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
runnables FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
server CHECK (only_row)
sessions FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
test_events FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
url_configs FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
users CHECK ((role = ANY (ARRAY['owner'::text, 'developer'::text, 'viewer'::text])))
versions FOREIGN KEY (function_id) REFERENCES functions(id) ON DELETE CASCADE
