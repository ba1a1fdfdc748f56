//! One binary for all integration tests; a module per behaviour.

mod actix_facts;
mod admission;
mod answered_outside;
mod approvals;
#[cfg(all(feature = "cli", unix))]
mod approving_at_a_terminal;
mod bad_results;
#[cfg(feature = "cli")]
mod bench_command;
mod bfcl;
mod blocking_tools;
mod budgets;
mod cancelling;
mod cancelling_one_call;
mod changing_tools;
#[cfg(all(feature = "cli", unix))]
mod chat;
mod circuits;
#[cfg(feature = "cli")]
mod commands;
mod compaction;
mod crashes;
mod deadlines;
#[cfg(feature = "cli")]
mod doctor;
mod early_dispatch;
mod early_in_trouble;
mod events;
mod failing_tools;
mod fuzzed_streams;
mod given_histories;
mod hard_cases;
mod histories;
mod http_addresses;
#[cfg(feature = "cli")]
mod http_settings;
mod http_tools;
#[cfg(all(feature = "cli", feature = "sqlite", unix))]
mod killing;
mod large_results;
mod loops;
mod many_threads;
#[cfg(all(feature = "mcp", unix))]
mod mcp;
mod model_client;
mod model_retries;
mod moving;
mod observing;
mod orphans;
#[cfg(feature = "cli")]
mod panics;
#[cfg(all(feature = "cli", target_os = "linux"))]
mod programs;
mod random_approvals;
mod random_histories;
mod reports;
mod request_settings;
mod restarting_tools;
mod resuming;
mod retries;
mod reused_results;
mod secrets;
#[cfg(feature = "server")]
mod server;
#[cfg(all(feature = "cli", feature = "server", target_os = "linux"))]
mod serving;
#[cfg(all(feature = "cli", feature = "mcp", unix))]
mod serving_mcp;
mod sessions;
mod shutdown;
#[cfg(all(feature = "cli", unix))]
mod signals;
mod simulation;
mod sleeping;
#[cfg(all(feature = "cli", unix))]
mod stored_sessions;
mod stores;
mod support;
mod tool_names;
mod trace_parents;
mod tracing_spans;
mod turns;
mod waiting_in_line;
mod watchdog;
mod watching;
mod wrapped_calls;
