//! What has to hold for any records, in any order, complete or not. Single cases are in `tests/scenarios`.

mod census;
mod check;
mod ended;
mod heirs;
mod listeners;
mod minis;
mod overdue;
mod parked;
mod random;
mod requests;
mod traffic;
mod truth;
mod untimed;
mod wanted;
mod withdraw;

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use tcplife_common::wire::Record;

use super::{Config, Handshakes, MiniEndSource, Table};
use crate::{
    connection::{Connection, EndCause},
    observer::{Direction, Life, Observer, RetransmitKind, Transition},
    owner::Owner,
    state::State,
};

/// One call of an observer.
#[derive(Debug, PartialEq)]
enum Told {
    Transition(u64, Option<Owner>, Transition),
    Retransmit(u64, RetransmitKind, u64),
    Reset(u64, Direction, u64),
    Life(u64, Option<Owner>, Box<Life>),
}

#[derive(Debug, Default)]
struct Log(Vec<Told>);

impl Observer for Log {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, transition: &Transition) {
        assert_eq!(connection.state(), transition.to);
        self.0.push(Told::Transition(connection.id().0, owner, *transition));
    }

    fn retransmit(&mut self, connection: &Connection, _: Option<Owner>, kind: RetransmitKind, at: u64) {
        self.0.push(Told::Retransmit(connection.id().0, kind, at));
    }

    fn reset(&mut self, connection: &Connection, _: Option<Owner>, direction: Direction, at: u64) {
        self.0.push(Told::Reset(connection.id().0, direction, at));
    }

    fn life(&mut self, connection: &Connection, owner: Option<Owner>, life: &Life) {
        self.0.push(Told::Life(connection.id().0, owner, Box::new(*life)));
    }
}

impl Log {
    fn transitions(&self) -> impl Iterator<Item = (u64, &Transition)> {
        self.0.iter().filter_map(|told| match told {
            Told::Transition(id, _, transition) => Some((*id, transition)),
            _ => None,
        })
    }

    fn lives(&self) -> impl Iterator<Item = (u64, &Life)> {
        self.0.iter().filter_map(|told| match told {
            Told::Life(id, _, life) => Some((*id, &**life)),
            _ => None,
        })
    }

    /// What holds for everything that is ever told.
    fn check(&self, table: &Table) {
        let mut last: HashMap<u64, Transition> = HashMap::new();
        let mut lived = HashSet::new();
        let mut moves = 0;
        for told in &self.0 {
            match told {
                Told::Transition(id, _, transition) => {
                    moves += 1;
                    assert_ne!(transition.from, transition.to);
                    assert!(transition.elapsed.is_none_or(|elapsed| elapsed <= transition.at));
                    if let Some(before) = last.insert(*id, *transition) {
                        assert!(before.at <= transition.at, "time goes on: {before:?} {transition:?}");
                        assert_ne!(before.to, State::Closed, "CLOSED is the last: {before:?} {transition:?}");
                        let joined = before.to == transition.from;
                        assert!(joined || table.totals().mismatched > 0, "{before:?} {transition:?}");
                        if joined && let Some(elapsed) = transition.elapsed {
                            assert_eq!(elapsed, transition.at - before.at);
                        }
                    }
                }
                Told::Life(id, _, life) => {
                    assert!(lived.insert(*id), "a life is told once: {id}");
                    assert!(life.opened.is_none_or(|opened| opened <= life.closed));
                    if life.complete {
                        assert_eq!(life.duration, Some(life.spent.iter().flatten().sum()), "{life:?}");
                    }
                }
                Told::Retransmit(..) | Told::Reset(..) => {}
            }
        }
        assert_eq!(table.totals().moves, moves);
        assert_eq!(table.totals().lives, lived.len() as u64);
    }
}

/// Applies records, checking everything after each.
fn run(config: Config, records: &[Record]) -> (Table, Log) {
    let (mut table, mut log) = (Table::new(config), Log::default());
    for record in records {
        table.apply(record, &mut log);
        check::table(&table);
    }
    log.check(&table);
    (table, log)
}

fn configs() -> impl Strategy<Value = Config> {
    let mini_ends = prop::sample::select(vec![
        MiniEndSource::Computed,
        MiniEndSource::Dumped,
        MiniEndSource::Told,
        MiniEndSource::Ignored,
    ]);
    let handshakes = prop::sample::select(vec![Handshakes::Hidden, Handshakes::Told]);
    (1..40_usize, any::<bool>(), mini_ends, handshakes, any::<bool>()).prop_map(
        |(capacity, life_after_time_wait, mini_ends, handshakes, takes_up_ended)| Config {
            capacity,
            hz: 250,
            life_after_time_wait: life_after_time_wait && mini_ends != MiniEndSource::Ignored,
            mini_ends,
            handshakes,
            takes_up_ended,
            onlooker: [b'o'; 16],
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_leave_a_sound_table(config in configs(), records in random::records(200)) {
        let (mut table, mut log) = run(config, &records);
        prop_assert!(table.len() <= config.capacity);
        table.finish(u64::MAX, &mut log);
        check::table(&table);
        log.check(&table);
    }

    #[test]
    fn ticks_change_nothing(
        config in configs(),
        records in random::records(150),
        parts in prop::collection::vec(0..=100_u64, 150),
    ) {
        let (mut plain, mut wanted) = run(config, &records);
        let (mut ticked, mut log) = (Table::new(config), Log::default());
        let mut now = 0;
        for (record, part) in records.iter().zip(parts) {
            let next = record.head().time_ns;
            let between = now + next.saturating_sub(now) / 100 * part;
            ticked.tick(between, &mut log);
            ticked.tick(between, &mut log);
            ticked.apply(record, &mut log);
            now = next;
        }
        plain.finish(now + 1_000, &mut wanted);
        ticked.finish(now + 1_000, &mut log);
        prop_assert_eq!(wanted.0, log.0);
        prop_assert_eq!(plain.totals(), ticked.totals());
    }

    #[test]
    fn traffic_is_told_completely(traffic in traffic::traffic(40), after_time_wait in any::<bool>()) {
        let config = Config { life_after_time_wait: after_time_wait, ..Config::default() };
        let (mut table, mut log) = run(config, &traffic.records);
        table.finish(traffic.end + 300_000_000_000, &mut log);
        log.check(&table);
        prop_assert!(table.is_empty());
        let totals = table.totals();
        prop_assert_eq!(totals.opened, traffic.connections);
        prop_assert_eq!(totals.closed, traffic.connections);
        prop_assert_eq!(totals.lives, traffic.connections);
        prop_assert_eq!((totals.mismatched, totals.evicted, totals.unmatched_notes), (0, 0, 0));
        prop_assert_eq!(totals.unattributed, traffic.without_owner);
        for (_, life) in log.lives() {
            // Nobody tells how an orphan's FIN_WAIT_2 ends.
            prop_assert!(life.complete || after_time_wait && life.end == EndCause::Unknown);
        }
    }

    #[test]
    fn lives_are_the_same_whoever_asks_about_mini_sockets(traffic in traffic::traffic(40)) {
        let [wanted, told] = [MiniEndSource::Computed, MiniEndSource::Ignored].map(|mini_ends| {
            let (mut table, mut log) = run(Config { mini_ends, ..Config::default() }, &traffic.records);
            table.finish(traffic.end + 300_000_000_000, &mut log);
            prop_assert!(table.is_empty());
            log.0.retain(|told| matches!(told, Told::Life(..)));
            Ok(log.0)
        });
        prop_assert_eq!(wanted?, told?);
    }

    #[test]
    fn lost_records_are_survived(
        traffic in traffic::traffic(60),
        lost in prop::collection::vec(0..4_u8, 600),
        config in configs(),
    ) {
        let left: Vec<Record> = traffic.records.iter().zip(lost).filter(|(_, lost)| *lost > 0).map(|(r, _)| *r).collect();
        let (mut table, mut log) = run(config, &left);
        table.finish(traffic.end, &mut log);
        check::table(&table);
        log.check(&table);
    }
}
