//! Work on many things by two threads: it mostly waits, for memory that no cache has or for the kernel.
//!
//! What comes in: things, and what to make of one. What goes out: what was made of each, in their order.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

/// What `of` makes of each. Each thread does `turn` of them at a time, one at least; so few need no second thread.
///
/// # Panics
/// Where `of` does.
pub fn by_two<T: Sync, R: Send>(
    all: &[T],
    turn: usize,
    of: impl Fn(&T) -> Option<R> + Sync,
) -> Vec<Option<R>> {
    let turn = turn.max(1);
    let mut made: Vec<Option<R>> = Vec::new();
    made.resize_with(all.len(), || None);
    // Who is done takes the next turn: systems may let the second thread wait for milliseconds.
    let turns = Mutex::new(all.chunks(turn).zip(made.chunks_mut(turn)));
    let next = || turns.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((some, places)) = next() {
            for (one, place) in some.iter().zip(places) {
                *place = of(one);
            }
        }
    };
    thread::scope(|scope| {
        if all.len() > turn {
            // Where the system allows no other thread, this one does all.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    made
}

#[cfg(test)]
mod tests {
    use std::{panic::catch_unwind, sync::Barrier};

    use super::*;

    #[test]
    fn each_is_made_once_and_in_order() {
        let all: Vec<usize> = (0..1000).collect();
        for turn in [0, 1, 7, 999, 1000, 5000] {
            let made = by_two(&all, turn, |&n| (n % 3 > 0).then_some(2 * n));
            let expected: Vec<Option<usize>> = all.iter().map(|n| (n % 3 > 0).then_some(2 * n)).collect();
            assert_eq!(made, expected, "{turn}");
        }
        assert!(by_two(&[(); 0], 1, |()| Some(())).is_empty());
    }

    #[test]
    fn what_panics_in_either_thread_is_not_lost() {
        for of_first in [true, false] {
            let (here, both) = (thread::current().id(), Barrier::new(2));
            let told = catch_unwind(|| {
                by_two(&[(); 2], 1, |()| {
                    // Each thread has one then.
                    both.wait();
                    assert_ne!(thread::current().id() == here, of_first, "that one panics");
                    Some(())
                })
            });
            assert!(told.is_err(), "{of_first}");
        }
    }
}
