//! The set-up of most tests: a network namespace, and in sight of it alone `tcplife trace` and `tcplife lives`.

use anyhow::{Result, bail, ensure};

use crate::{
    actor::{Actor, Ends},
    namespace::{Family, Namespace, in_our_machine},
    record::{Record, Retransmit, Transition},
    tracer::{Output, Tracer, hooks},
    verdict::{Outcome, check_lives, check_trace},
};

/// A network namespace with tracers.
#[derive(Debug)]
pub struct Lab {
    /// Which loopback address the test uses.
    pub family: Family,
    /// Where the actors are.
    pub namespace: Namespace,
    /// `tcplife trace`.
    pub trace: Tracer,
    /// `tcplife lives`.
    pub lives: Tracer,
}

impl Lab {
    /// Makes the namespace and starts both tracers.
    ///
    /// # Errors
    ///
    /// Something does not start.
    pub fn new(family: Family) -> Result<Self> {
        Self::with(family, Namespace::new()?, &[])
    }

    /// Starts both tracers, with more arguments, in sight of `namespace`, where from now on no connection's FIN waits for a timer
    /// outside our machines ([`Namespace::acknowledge_at_once`]).
    ///
    /// # Errors
    ///
    /// Something does not start.
    pub fn with(family: Family, namespace: Namespace, more: &[&str]) -> Result<Self> {
        namespace.acknowledge_at_once()?;
        let trace = watch(&namespace, "trace", more)?;
        let lives = watch(&namespace, "lives", more)?;
        Ok(Self { family, namespace, trace, lives })
    }

    /// Starts an application.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub fn actor(&self, comm: &str) -> Result<Actor> {
        self.namespace.actor(comm)
    }

    /// Waits until `trace` has told that the connection between `ends` entered `state`.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub fn reached(&self, ends: Ends, state: &str) -> Result<Transition> {
        let what = format!("{} - {} in {state}", ends.local, ends.remote);
        self.trace.wait_for(&what, |records| {
            records.iter().find_map(|record| match record {
                Record::Transition(t) if t.connection.is_between(ends) && t.to == state => Some(t.clone()),
                _ => None,
            })
        })
    }

    /// As [`Lab::reached`], for what a timer of the kernel does. Where a timer's softirq may run no BPF program
    /// ([`in_our_machine`]) it may wait in vain: what was told has then to pass [`Lab::finish_after_timers`].
    ///
    /// # Errors
    ///
    /// As for [`Lab::reached`].
    pub fn reached_by_timer(&self, ends: Ends, state: &str) -> Result<()> {
        match self.reached(ends, state) {
            Err(missing) if !in_our_machine() => eprintln!("perhaps not to be seen here: {missing:#}"),
            reached => drop(reached?),
        }
        Ok(())
    }

    /// Waits until `trace` has told of a retransmission between `ends`.
    ///
    /// # Errors
    ///
    /// Not in time.
    pub fn retransmitted(&self, ends: Ends) -> Result<Retransmit> {
        let what = format!("{} - {} sends again", ends.local, ends.remote);
        self.trace.wait_for(&what, |records| {
            records.iter().find_map(|record| match record {
                Record::Retransmit(r) if r.connection.is_between(ends) => Some(r.clone()),
                _ => None,
            })
        })
    }

    /// Ends the tracers and checks what always holds of what they printed.
    ///
    /// # Errors
    ///
    /// They do not end well, or something does not hold.
    pub fn finish(self) -> Result<Outcome> {
        let netns = self.namespace.inode();
        let (trace, lives): (Output, Output) = (self.trace.stop()?, self.lives.stop()?);
        check_trace(&trace, netns)?;
        check_lives(&lives, netns)?;
        Ok(Outcome { trace, lives })
    }

    /// As [`Lab::finish`], after changes that a timer of the kernel made: on some hosts its softirq now and then runs no BPF
    /// program ([`in_our_machine`]). `None` if that happened: it then happened to both tracers, and both have noticed it and said
    /// so. A test then is to be run again: [`until_seen`]. What only one noticed is a fault of its own.
    ///
    /// # Errors
    ///
    /// As for [`Lab::finish`]; or a tracer noticed a loss and did not say so.
    pub fn finish_after_timers(self) -> Result<Option<Outcome>> {
        let netns = self.namespace.inode();
        let may_miss = !in_our_machine();
        // A tracer looks at the kernel's sockets when it ends: what it has not noticed by then it never will.
        let [trace, lives]: [Output; 2] = [self.trace.stop()?, self.lives.stop()?];
        if may_miss && has_missed(&trace) && has_missed(&lives) {
            for output in [&trace, &lives] {
                let told = tells_of_it(&output.records).is_some();
                ensure!(told && output.summary.is_balanced(), "a loss that was not told: {output:?}");
            }
            eprintln!(
                "a timer's softirq ran no BPF program; the loss was noticed and told: {:?}",
                lives.summary
            );
            return Ok(None);
        }
        check_trace(&trace, netns)?;
        check_lives(&lives, netns)?;
        Ok(Some(Outcome { trace, lives }))
    }
}

/// How often a test of what is not to be seen each time is run at most.
const RUNS: u32 = 5;

/// Runs a test, and again if what it is about was not to be seen ([`Lab::finish_after_timers`], for one).
///
/// # Errors
///
/// It fails; or nothing was seen of it, however often it was run.
pub fn until_seen(test: impl Fn() -> Result<Option<()>>) -> Result<()> {
    for _ in 0..RUNS {
        if test()?.is_some() {
            return Ok(());
        }
    }
    bail!("what it is about was not to be seen in {RUNS} runs")
}

/// State changes that one softirq makes at most: the end of a handshake, or of a connection whose ends both closed.
const IN_ONE_SOFTIRQ: u64 = 4;

/// Whether all that a tracer missed is what nothing counts but the tracer itself, and no more than one softirq's.
fn has_missed(output: &Output) -> bool {
    let lost = output.summary.lost;
    (1..=IN_ONE_SOFTIRQ).contains(&lost) && lost == output.summary.lost_by_cause.mismatch
}

/// Found if such a loss was told.
fn tells_of_it(records: &[Record]) -> Option<()> {
    let is_it = |record: &Record| matches!(record, Record::Lost(lost) if lost.cause == "mismatch");
    records.iter().any(is_it).then_some(())
}

/// Starts `tcplife COMMAND -o json`, with more arguments, in sight of `namespace` alone.
///
/// # Errors
///
/// It does not start.
pub fn watch(namespace: &Namespace, command: &str, more: &[&str]) -> Result<Tracer> {
    let inode = namespace.inode().to_string();
    let hooks = hooks();
    let mut arguments = vec![command, "-o", "json", "--netns", &inode];
    arguments.extend(hooks.iter().map(String::as_str));
    arguments.extend(more);
    Tracer::start(&arguments)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_test_that_saw_nothing_is_run_again_and_does_not_pass() -> Result<()> {
        let runs = Cell::new(0);
        let seen_in = |run: u32| {
            runs.set(0);
            until_seen(|| {
                runs.set(runs.get() + 1);
                Ok((runs.get() == run).then_some(()))
            })
        };
        seen_in(2)?;
        ensure!(runs.get() == 2 && seen_in(RUNS + 1).is_err() && runs.get() == RUNS, "{} runs", runs.get());
        ensure!(until_seen(|| bail!("it fails")).is_err(), "a failure is one");
        Ok(())
    }
}
