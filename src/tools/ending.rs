//! The end of the process, where nothing is dropped any more.

/// Ends what tools have running outside of this process, and what they would begin: nothing outlives
/// it.
pub(crate) fn end_processes() {
    #[cfg(unix)]
    super::group::kill_all();
}
