//! What every line-oriented output does alike: select, write, tell of losses and of the end.
//!
//! What comes in: changes, in order. What goes out: a [`Format`]'s bytes on the output, notes on standard error. What
//! always holds: all that was seen is written by the end of each flush.

use std::{io, ops::ControlFlow};

use tcplife_core::{
    connection::Connection,
    filter::Filter,
    observer::{Direction, Life, Observer, RetransmitKind, Transition},
    owner::Owner,
    suspect::Suspect,
    table::{CensusOutcome, Table},
};

use super::{notes::Notes, out::Out, select::Selector};
use crate::{
    health::{Health, LossCause},
    sink::{Confirm, Sink},
};

/// A change of one connection, whose it is, and to what it is appended.
pub struct Change<'a> {
    /// The connection, after the change.
    pub connection: &'a Connection,
    /// Its owner.
    pub owner: Option<Owner>,
    /// The output.
    pub out: &'a mut Vec<u8>,
}

/// The end of a run.
pub struct Ending<'a> {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub now: u64,
    /// Every connection left.
    pub table: &'a Table,
    /// How the trace went.
    pub health: &'a Health,
    /// What was selected.
    pub selector: &'a Selector,
    /// The output.
    pub out: &'a mut Out,
}

/// How one kind of output looks. What it does not define it does not show.
pub trait Format {
    /// Losses and the summary are records of the output; if not, the summary is told on standard error, where losses are
    /// told in any case.
    const TELLS_ALL: bool = false;
    /// It shows transitions.
    const TRANSITIONS: bool = false;
    /// When it wants to know the suspects.
    const CONFIRM: Confirm = Confirm::Never;

    /// Before anything else.
    fn begin(&mut self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// A selected connection moved; states are selected already.
    fn transition(&mut self, change: Change<'_>, transition: &Transition) {
        let _ = (change, transition);
    }

    /// On a selected connection in a selected state, something was sent again.
    fn retransmit(&mut self, change: Change<'_>, kind: RetransmitKind, at: u64) {
        let _ = (change, kind, at);
    }

    /// On a selected connection in a selected state, there was a reset.
    fn reset(&mut self, change: Change<'_>, direction: Direction, at: u64) {
        let _ = (change, direction, at);
    }

    /// A selected connection that was in a selected state has finished.
    fn life(&mut self, change: Change<'_>, life: &Life) {
        let _ = (change, life);
    }

    /// The suspects, as the kernel has them at `at`.
    fn suspects(&mut self, at: u64, filter: &Filter, suspects: Vec<Suspect>) {
        let _ = (at, filter, suspects);
    }

    /// Events were lost, which is told on standard error as well.
    fn lost(&mut self, out: &mut Vec<u8>, at: u64, count: u64, cause: LossCause) {
        let _ = (out, at, count, cause);
    }

    /// After losses, the table is whole again; as [`Format::lost`].
    fn resynced(&mut self, out: &mut Vec<u8>, at: u64, outcome: &CensusOutcome) {
        let _ = (out, at, outcome);
    }

    /// Some time has passed.
    ///
    /// # Errors
    /// Writing to something else than the output failed.
    fn tick(&mut self, now: u64) -> io::Result<()> {
        let _ = now;
        Ok(())
    }

    /// The end.
    ///
    /// # Errors
    /// As [`Format::tick`].
    fn end(&mut self, ending: Ending<'_>) -> io::Result<()> {
        let _ = ending;
        Ok(())
    }
}

/// A sink of lines.
pub struct Stream<F> {
    format: F,
    out: Out,
    notes: Notes,
    selector: Selector,
}

impl<F: Format> Stream<F> {
    /// `format`, of what is selected, on `out`.
    pub fn new(mut format: F, mut out: Out, notes: Notes, selector: Selector) -> Self {
        format.begin(&mut out.buffer);
        Self { format, out, notes, selector }
    }

    /// The format.
    pub const fn format(&self) -> &F {
        &self.format
    }

    fn change<'a>(out: &'a mut Out, connection: &'a Connection, owner: Option<Owner>) -> Change<'a> {
        Change { connection, owner, out: &mut out.buffer }
    }
}

impl<F: Format> Observer for Stream<F> {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        if !F::TRANSITIONS {
            return;
        }
        let Self { format, out, selector, .. } = self;
        let states = selector.filter().states;
        selector.transition(connection, owner, transition, |transition| {
            if states.wants(transition.from) || states.wants(transition.to) {
                format.transition(Self::change(out, connection, owner), transition);
            }
        });
        out.relieve();
    }

    fn retransmit(&mut self, connection: &Connection, owner: Option<Owner>, kind: RetransmitKind, at: u64) {
        if self.selector.wants_segment(connection, owner) {
            self.format.retransmit(Self::change(&mut self.out, connection, owner), kind, at);
            self.out.relieve();
        }
    }

    fn reset(&mut self, connection: &Connection, owner: Option<Owner>, direction: Direction, at: u64) {
        if self.selector.wants_segment(connection, owner) {
            self.format.reset(Self::change(&mut self.out, connection, owner), direction, at);
            self.out.relieve();
        }
    }

    fn life(&mut self, connection: &Connection, owner: Option<Owner>, life: &Life) {
        if self.selector.wants_life(connection, owner) {
            self.format.life(Self::change(&mut self.out, connection, owner), life);
            self.out.relieve();
        }
    }
}

impl<F: Format> Sink for Stream<F> {
    fn ready(&mut self) {
        self.out.begin();
        self.notes.ready();
    }

    fn lost(&mut self, at: u64, count: u64, cause: LossCause) {
        self.format.lost(&mut self.out.buffer, at, count, cause);
        // On standard error too: the records may be read much later, or never.
        self.notes.lost(count, cause);
    }

    fn resynced(&mut self, at: u64, outcome: &CensusOutcome) {
        self.format.resynced(&mut self.out.buffer, at, outcome);
        self.notes.resynced(outcome);
    }

    fn confirm(&self) -> Confirm {
        F::CONFIRM
    }

    fn suspects(&mut self, at: u64, suspects: Vec<Suspect>) {
        self.format.suspects(at, self.selector.filter(), suspects);
    }

    fn flush(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<ControlFlow<()>> {
        if !F::TELLS_ALL {
            self.notes.hooks(health);
        }
        self.notes.changes(health);
        self.selector.tidy(table);
        self.format.tick(now)?;
        self.out.flush()?;
        Ok(ControlFlow::Continue(()))
    }

    fn detached(&mut self) {
        self.out.detached();
    }

    fn finish(&mut self, now: u64, table: &Table, health: &Health) -> io::Result<()> {
        let Self { format, out, selector, .. } = self;
        let ended = format.end(Ending { now, table, health, selector, out });
        self.out.finish()?;
        ended?;
        self.notes.changes(health);
        self.notes.unfinished(table, &self.selector);
        if !F::TELLS_ALL {
            self.notes.summary(table, health);
        }
        Ok(())
    }
}
