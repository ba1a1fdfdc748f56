//! What each command does.

pub mod ask;
pub mod compare;
pub mod completions;
pub mod config;
pub mod mock_model;
pub mod tools;

/// Waits for Ctrl-C; for ever where there is none to be had.
pub(super) async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
