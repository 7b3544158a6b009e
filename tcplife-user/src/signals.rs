//! Which signals ask for the end of a run.
//!
//! What comes in: what this process has inherited. What goes out: numbers of signals. What always holds: SIGINT and
//! SIGTERM are among them, whatever was inherited; SIGHUP is not where it is ignored, so that nohup(1) works.

use std::{ffi::c_int, mem::MaybeUninit, ptr};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals that ask for the end. A shell without job control starts `tcplife trace &` with SIGINT ignored, and it
/// is the one that scripts then send.
pub fn of_the_end() -> impl Iterator<Item = c_int> {
    [SIGINT, SIGTERM].into_iter().chain(hangup())
}

/// SIGHUP, unless it is ignored.
pub fn hangup() -> Option<c_int> {
    (!is_ignored(SIGHUP)).then_some(SIGHUP)
}

fn is_ignored(signal: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing changes, and when it succeeds the one in force was written (sigaction(2)).
    unsafe {
        libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(test)]
mod tests {
    use signal_hook::consts::{SIGCHLD, SIGPIPE};

    use super::*;

    #[test]
    fn what_is_ignored_is_known() {
        // The Rust runtime ignores the one; nobody here touches the other.
        assert!(is_ignored(SIGPIPE));
        assert!(!is_ignored(SIGCHLD));
        // No such signal.
        assert!(!is_ignored(-1));
    }

    #[test]
    fn the_keyboard_always_ends_it() {
        assert!([SIGINT, SIGTERM].iter().all(|signal| of_the_end().any(|ends| ends == *signal)));
    }
}
