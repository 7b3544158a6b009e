//! The comparison of what tcplife printed with what the test did.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    actor::{Actor, Ends},
    record::{Connection, Id, Life, Owner, Record, Reset, Retransmit, Transition},
    tracer::Output,
};

/// What both tracers of a test printed.
#[derive(Debug)]
pub struct Outcome {
    /// `tcplife trace`.
    pub trace: Output,
    /// `tcplife lives`.
    pub lives: Output,
}

/// What one end of a connection must look like.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Every state, as `closed > syn_sent > established`. One written `~time_wait` is entered by a mini-socket that
    /// took over in another state: it must be told where a hook on that can be attached; elsewhere it is found some
    /// time later, perhaps after the end of the test.
    pub path: &'a str,
    /// `client` or `server`.
    pub role: &'a str,
    /// Process id and name of the owner.
    pub owner: (u32, &'a str),
    /// How that may be known.
    pub via: &'a [&'a str],
    /// `local`, `remote`, `both` or `none`.
    pub first_close: &'a str,
    /// `fin`, `reset_sent`, `reset_received`, `timeout`, `refused` or `aborted`.
    pub end: &'a str,
}

impl<'a> Expected<'a> {
    /// The end that `actor` opened.
    pub fn client(actor: &'a Actor, path: &'a str, first_close: &'a str, end: &'a str) -> Self {
        let owner = (actor.pid(), actor.comm());
        Self { path, role: "client", owner, via: &["connect"], first_close, end }
    }

    /// The end that `actor` listened for.
    pub fn server(actor: &'a Actor, path: &'a str, first_close: &'a str, end: &'a str) -> Self {
        let owner = (actor.pid(), actor.comm());
        Self {
            path,
            role: "server",
            owner,
            via: &["listener", "accept", "close", "holder"],
            first_close,
            end,
        }
    }
}

/// All records about one end of a connection.
#[derive(Debug, Default)]
pub struct Story<'a> {
    /// In the order of the output.
    pub moves: Vec<&'a Transition>,
    /// In the order of the output.
    pub retransmits: Vec<&'a Retransmit>,
    /// In the order of the output.
    pub resets: Vec<&'a Reset>,
}

impl<'a> Story<'a> {
    /// Those of `records` that are about `id`.
    pub fn of(records: &'a [Record], id: &Id) -> Self {
        let mut story = Self::default();
        for record in records.iter().filter(|r| r.connection().is_some_and(|c| c.id == *id)) {
            match record {
                Record::Transition(t) => story.moves.push(t),
                Record::Retransmit(r) => story.retransmits.push(r),
                Record::Reset(r) => story.resets.push(r),
                _ => {}
            }
        }
        story
    }

    /// Every state, as `closed > syn_sent > established`.
    pub fn path(&self) -> String {
        let first = self.moves.first().map(|t| t.from.as_str());
        let states: Vec<&str> = first.into_iter().chain(self.moves.iter().map(|t| t.to.as_str())).collect();
        states.join(" > ")
    }

    /// The move out of `from` into `to`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn step(&self, from: &str, to: &str) -> Result<&'a Transition> {
        let found = self.moves.iter().find(|t| t.from == from && t.to == to);
        found.copied().with_context(|| format!("no {from} -> {to} in {}", self.path()))
    }
}

impl Outcome {
    /// The records of `trace` about the one connection between `ends`.
    ///
    /// # Errors
    ///
    /// There is none, or more than one.
    pub fn story(&self, ends: Ends) -> Result<Story<'_>> {
        let mut all = self.stories(ends);
        match (all.pop(), all.pop()) {
            (Some(story), None) => Ok(story),
            (None, _) => bail!("{ends:?} is not in the trace"),
            (Some(_), Some(_)) => bail!("{ends:?} is more than one connection in the trace"),
        }
    }

    /// The records of `trace` about every connection between `ends`, in the order of their beginning.
    pub fn stories(&self, ends: Ends) -> Vec<Story<'_>> {
        ids(&self.trace.records, ends).iter().map(|id| Story::of(&self.trace.records, id)).collect()
    }

    /// Every life between `ends`, in the order of their end.
    pub fn lives(&self, ends: Ends) -> Vec<&Life> {
        let lives = self.lives.records.iter().filter_map(|record| match record {
            Record::Life(life) => Some(life),
            _ => None,
        });
        lives.filter(|life| life.connection.is_between(ends)).collect()
    }

    /// The one life between `ends`.
    ///
    /// # Errors
    ///
    /// There is none, or more than one.
    pub fn life(&self, ends: Ends) -> Result<&Life> {
        match self.lives(ends).as_slice() {
            [life] => Ok(life),
            lives => bail!("{ends:?} has {} lives", lives.len()),
        }
    }

    /// Checks one end of a connection in both outputs.
    ///
    /// # Errors
    ///
    /// It does not look as expected.
    pub fn check(&self, ends: Ends, expected: &Expected<'_>) -> Result<(Story<'_>, &Life)> {
        let (story, life) = (self.story(ends)?, self.life(ends)?);
        check_story(&story, expected, self.trace.hooks_mini_sockets())
            .with_context(|| format!("trace of {ends:?}"))?;
        check_life(life, expected).with_context(|| format!("life of {ends:?}"))?;
        Ok((story, life))
    }
}

/// The connections between `ends`, in the order of their beginning.
pub fn ids(records: &[Record], ends: Ends) -> Vec<Id> {
    let mut found = Vec::new();
    for connection in records.iter().filter_map(Record::connection) {
        if connection.is_between(ends) && !found.contains(&connection.id) {
            found.push(connection.id.clone());
        }
    }
    found
}

/// Whether a path is as expected; `hooked`: a hook tells of moves inside mini-sockets.
fn fits(path: &str, expected: &str, hooked: bool) -> bool {
    let whole = expected.replace('~', "");
    let early = expected.split(" > ~").next().unwrap_or(expected);
    path == whole || !hooked && path == early
}

fn check_story(story: &Story<'_>, expected: &Expected<'_>, hooked: bool) -> Result<()> {
    let path = story.path();
    ensure!(fits(&path, expected.path, hooked), "went {path}, expected {}", expected.path);
    for step in &story.moves {
        let (about, at) = (&step.connection, format!("at {} -> {}", step.from, step.to));
        ensure!(about.role.as_deref() == Some(expected.role), "the role is {:?} {at}", about.role);
        if let Some(owner) = &about.owner {
            check_owner(owner, expected).with_context(|| at)?;
        }
    }
    let last = story.moves.last().context("no move")?;
    check_owner(last.connection.owner.as_ref().context("no owner at the end")?, expected)
}

fn check_owner(owner: &Owner, expected: &Expected<'_>) -> Result<()> {
    let right = (owner.pid, owner.comm.as_str()) == expected.owner;
    ensure!(right, "the owner is {owner:?}, expected {:?}", expected.owner);
    ensure!(expected.via.contains(&owner.via.as_str()), "known by {}", owner.via);
    Ok(())
}

fn check_life(life: &Life, expected: &Expected<'_>) -> Result<()> {
    ensure!(life.first_close == expected.first_close, "first_close is {}", life.first_close);
    ensure!(life.end == expected.end, "end is {}, expected {}", life.end, expected.end);
    ensure!(life.connection.role.as_deref() == Some(expected.role), "role {:?}", life.connection.role);
    check_owner(life.connection.owner.as_ref().context("no owner")?, expected)?;
    ensure!(life.complete, "not complete");
    Ok(())
}

/// What always holds of a trace in which nothing is lost.
///
/// # Errors
///
/// It does not hold.
pub fn check_trace(output: &Output, netns: u64) -> Result<()> {
    check_whole(output)?;
    let mut last: BTreeMap<&Id, &Transition> = BTreeMap::new();
    for record in &output.records {
        let about = record.connection().context("a record about no connection")?;
        check_namespace(about, netns)?;
        match record {
            Record::Transition(step) => {
                if let Some(previous) = last.insert(&about.id, step) {
                    check_step(previous, step, output.hooks_mini_sockets())
                        .with_context(|| format!("{step:?}"))?;
                }
            }
            Record::Retransmit(_) | Record::Reset(_) => {}
            other => bail!("`trace` printed {other:?}"),
        }
    }
    Ok(())
}

/// What always holds of two moves of a connection. `hooked`: the end of a mini-socket is told when it happens.
fn check_step(previous: &Transition, step: &Transition, hooked: bool) -> Result<()> {
    ensure!(previous.to == step.from, "it was in {}", previous.to);
    ensure!(previous.mono_ns <= step.mono_ns, "before the last one");
    let seen = step.mono_ns - previous.mono_ns;
    let of_mini = matches!(step.from.as_str(), "fin_wait_2" | "time_wait") && step.to == "closed";
    let is_early = of_mini && matches!(step.cause.as_deref(), None | Some("netns_gone"));
    match step.elapsed_ns {
        Some(elapsed) => ensure!(elapsed == seen, "{seen} ns passed"),
        // The time of a passive open's handshake is not in the socket; and a mini-socket that is not listed any more ended at any time
        // since it was.
        None => ensure!(step.from == "syn_received" || is_early && !hooked, "no time given"),
    }
    let (a, b) = (&previous.connection, &step.connection);
    let kept = |a: u16, b: u16| a == 0 || a == b;
    ensure!(kept(a.local_port, b.local_port) && kept(a.remote_port, b.remote_port), "a port changed");
    Ok(())
}

/// What always holds of `lives` in which nothing is lost.
///
/// # Errors
///
/// It does not hold.
pub fn check_lives(output: &Output, netns: u64) -> Result<()> {
    check_whole(output)?;
    let mut seen = BTreeSet::new();
    for record in &output.records {
        let Record::Life(life) = record else { bail!("`lives` printed {record:?}") };
        check_namespace(&life.connection, netns)?;
        ensure!(seen.insert(&life.connection.id), "twice: {life:?}");
        let ends = life.connection.ends();
        ensure!(ends.local.port() != 0 && ends.remote.port() != 0, "a port is missing: {life:?}");
        let spent: u64 = life.states.values().flatten().sum();
        ensure!(life.duration_ns == Some(spent), "the states do not add up: {life:?}");
    }
    Ok(())
}

/// Nothing lost, and each hit of a hook accounted for.
fn check_whole(output: &Output) -> Result<()> {
    let s = &output.summary;
    ensure!(s.lost == 0, "lost: {s:?}");
    ensure!(s.is_balanced(), "hits are not accounted for: {s:?}");
    ensure!(output.notes.len() == 1, "more notes than the ready line: {:?}", output.notes);
    Ok(())
}

fn check_namespace(connection: &Connection, netns: u64) -> Result<()> {
    ensure!(connection.netns == netns, "another namespace: {connection:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mini_sockets_own_moves_need_a_hook() {
        let (early, whole) = ("established > fin_wait_2", "established > fin_wait_2 > time_wait");
        let expected = "established > fin_wait_2 > ~time_wait";
        assert!(fits(whole, expected, true) && !fits(early, expected, true));
        assert!(fits(whole, expected, false) && fits(early, expected, false));
        assert!(fits(early, early, true) && !fits(early, whole, false));
    }
}
