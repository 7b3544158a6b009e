//! Threads for a piece of work: where the system allows no more of them, an error says so, and nothing panics.

use std::{
    panic::resume_unwind,
    thread::{self, Builder, JoinHandle, Scope, ScopedJoinHandle},
};

use anyhow::{Context, Result};

/// What the limits are of a system that refuses one (clone(2)).
const REFUSED: &str =
    "cannot start a thread; the limit may be pids.max of a cgroup, ulimit -u, or kernel.threads-max";

/// Starts a thread that may borrow from what is around `scope`.
///
/// # Errors
/// The system allows no more threads.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).context(REFUSED)
}

/// Starts a thread that nobody has to wait for.
///
/// # Errors
/// The system allows no more threads.
pub fn detach<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<JoinHandle<T>> {
    Builder::new().spawn(work).context(REFUSED)
}

/// Has a thread do `work` that ends with it: the namespaces it enters are its own.
///
/// # Errors
/// The system allows no more threads.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    thread::scope(|scope| Ok(start(scope, work)?.join().unwrap_or_else(|panic| resume_unwind(panic))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_another_thread() {
        let here = thread::current().id();
        assert_ne!(apart(|| thread::current().id()).unwrap(), here);
        assert_ne!(detach(|| thread::current().id()).unwrap().join().unwrap(), here);
    }

    #[test]
    fn a_panic_is_not_lost() {
        let panicked = std::panic::catch_unwind(|| apart(|| panic!("on purpose")));
        assert!(panicked.is_err());
    }
}
