//! Losses, counted by cause, told, and mended; and lists of the kernel's sockets that fail.
//!
//! What comes in: the kernel side's counts, and the table's signs that an event is missing. What goes out: losses by cause.
//! What always holds: a loss is counted once; signs that a counted loss explains are not counted again.

use anyhow::Result;
use tcplife_core::table::CensusOutcome;

use super::Engine;
use crate::{
    clock,
    health::{Knowledge, List, LossCause},
    sink::Sink,
};

impl Engine {
    /// Reads the kernel side's counts, tells the sink of new losses, and looks whether what is selected is still there.
    pub(super) fn check_health<S: Sink>(&mut self, sink: &mut S) -> Result<()> {
        let live = &self.live;
        let counters = live.counters()?;
        // Events under way look like missed ones: what two readings agree on was missed.
        let ran = std::mem::replace(&mut self.counters, counters) != counters;
        // Where nothing ran nothing was missed; what the kernel says of each program costs more than all else when idle.
        let reading =
            if ran || !live.is_attached() { live.recursion_losses(&counters) } else { self.recursion };
        let agreed = std::mem::replace(&mut self.recursion, reading).min(reading);
        let told = self.health.lost;
        // An event may be under way for long, where a program can be preempted; what was told is not taken back.
        let recursion = if live.is_attached() { agreed } else { reading }.max(told.of(LossCause::Recursion));
        let lost = told
            .with(LossCause::RingFull, counters.lost_ring)
            .with(LossCause::Recursion, recursion)
            .with(LossCause::Malformed, self.malformed);
        let explained = self.health.knowledge == Knowledge::Incomplete
            || reading > recursion
            || lost.iter().any(|(cause, count)| count > told.of(cause));
        let signs = self.table.totals().mismatched;
        let new = if explained || self.filters_ports { 0 } else { signs - self.signs };
        self.signs = signs;
        let lost = lost.with(LossCause::Mismatch, told.of(LossCause::Mismatch) + new);
        let now = clock::monotonic_ns();
        for (cause, count) in lost.iter() {
            let new = count.saturating_sub(told.of(cause));
            if new > 0 {
                self.health.knowledge = Knowledge::Incomplete;
                sink.lost(now, new, cause);
            }
        }
        self.health.hits = counters.hits;
        self.health.filtered = counters.filtered;
        self.health.lost = lost;
        self.health.gone.extend(self.selected.gone());
        Ok(())
    }

    /// What a list of the kernel's sockets brought, if there was something to list. That one fails is told; the trace goes on, and to the
    /// next one.
    pub(super) fn listed<T>(&mut self, list: List, outcome: Result<Option<T>>) -> Option<T> {
        match outcome {
            Ok(None) => None,
            Ok(listed) => {
                self.health.unlisted.forget(list);
                listed
            }
            Err(error) => {
                self.table.give_up_census();
                self.health.unlisted.note(list, format!("{error:#}"));
                None
            }
        }
    }

    /// After a loss the table was compared with the kernel's sockets.
    pub(super) fn mended<S: Sink>(&mut self, outcome: &CensusOutcome, sink: &mut S) {
        self.health.knowledge = Knowledge::Mended;
        self.signs = self.table.totals().mismatched;
        sink.resynced(clock::monotonic_ns(), outcome);
    }
}
