//! The network namespaces that `--netns` selects: whether they are still there.
//!
//! What comes in: their inodes, when the trace begins. What goes out: those that are gone since, each once. What always holds: one is
//! told to be gone only if the kernel says so; a namespace that comes later and gets its number is another one.

use crate::source::{
    namespaces,
    pulse::{Pulse, Pulses},
};

pub(super) struct Selected {
    pulses: Pulses,
    there: Vec<u32>,
}

impl Selected {
    /// Those of `inodes` that this process may enter.
    pub(super) fn of(inodes: &[u32]) -> Self {
        let mut pulses = Pulses::new(!inodes.is_empty());
        pulses.learn(namespaces::find(inodes).iter());
        Self { pulses, there: inodes.to_vec() }
    }

    /// Those that are gone and were not told to be.
    pub(super) fn gone(&mut self) -> Vec<u32> {
        let Self { pulses, there } = self;
        there.extract_if(.., |inode| pulses.of(*inode) == Pulse::Gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::namespaces::Netns;

    #[test]
    fn what_is_there_or_never_was_is_not_gone() {
        let own = Netns::own().unwrap().inode;
        for inodes in [&[][..], &[1], &[own, 1]] {
            assert!(Selected::of(inodes).gone().is_empty());
        }
    }
}
