//! What the table tells, as lines.

use tcplife_core::{
    connection::Connection,
    observer::{Direction, Life, Observer, RetransmitKind, Transition},
    owner::Owner,
    state::State,
    table::Totals,
};

/// Lines told so far.
#[derive(Default)]
pub struct Told(pub Vec<String>);

/// Nanoseconds in the largest unit without a fraction.
fn span(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        ns if ns % 1_000_000 == 0 => format!("{}ms", ns / 1_000_000),
        ns if ns % 1_000 == 0 => format!("{}us", ns / 1_000),
        ns => format!("{ns}ns"),
    }
}

fn maybe(ns: Option<u64>) -> String {
    ns.map_or_else(|| "?".to_owned(), span)
}

fn who(connection: &Connection, owner: Option<Owner>) -> String {
    let role = connection.role().map_or("-", |role| role.name());
    let owner = owner.map_or_else(
        || "-".to_owned(),
        |owner| format!("{}({})/{}", owner.process.comm_text(), owner.process.pid, owner.via.name()),
    );
    format!("{}>{} {role} {owner}", connection.local(), connection.remote())
}

impl Observer for Told {
    fn transition(&mut self, connection: &Connection, owner: Option<Owner>, t: &Transition) {
        let id = connection.id().0;
        let mut marks = String::new();
        for (yes, mark) in [
            (connection.is_orphan(), " orphan"),
            (connection.awaits_accept(), " unaccepted"),
            (connection.in_mini_socket(), " mini"),
            (connection.end_computed(), " computed"),
        ] {
            if yes {
                marks.push_str(mark);
            }
        }
        if let Some(cause) = connection.cause() {
            marks.push_str(" by ");
            marks.push_str(cause);
        }
        assert_eq!(connection.state(), t.to, "shown in the state after the change");
        self.0.push(format!(
            "#{id} {} {} -> {} after {} {}{marks}",
            span(t.at),
            t.from,
            t.to,
            maybe(t.elapsed),
            who(connection, owner)
        ));
    }

    fn retransmit(&mut self, connection: &Connection, owner: Option<Owner>, kind: RetransmitKind, at: u64) {
        let (id, state) = (connection.id().0, connection.state());
        self.0.push(format!(
            "#{id} {} retransmit {} in {state} {}",
            span(at),
            kind.name(),
            who(connection, owner)
        ));
    }

    fn reset(&mut self, connection: &Connection, owner: Option<Owner>, direction: Direction, at: u64) {
        let (id, state) = (connection.id().0, connection.state_of_segment());
        self.0.push(format!(
            "#{id} {} reset {} in {state} {}",
            span(at),
            direction.name(),
            who(connection, owner)
        ));
    }

    fn life(&mut self, connection: &Connection, owner: Option<Owner>, life: &Life) {
        let stay =
            |state: State| life.spent[state.index()].map(|ns| format!(" {}={}", state.lower(), span(ns)));
        let spent: String = State::ALL.into_iter().filter_map(stay).collect();
        if life.complete {
            assert_eq!(life.duration, Some(life.spent.iter().flatten().sum()), "stays add up");
        }
        self.0.push(format!(
            "#{} life {}..{} = {} :{spent} : first {}, end {}, sent {}, received {}, retransmits {}{} {}",
            connection.id().0,
            maybe(life.opened),
            span(life.closed),
            maybe(life.duration),
            life.first_close.name(),
            life.end.name(),
            life.bytes_sent.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string()),
            life.bytes_received.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string()),
            life.retransmits,
            if life.complete { "" } else { ", incomplete" },
            who(connection, owner)
        ));
    }
}

/// The counts that are not 0.
pub fn totals(t: &Totals) -> String {
    let counts = [
        ("opened", t.opened),
        ("listeners", t.listeners),
        ("closed", t.closed),
        ("lives", t.lives),
        ("moves", t.moves),
        ("evicted", t.evicted),
        ("unattributed", t.unattributed),
        ("mismatched", t.mismatched),
        ("lapsed", t.lapsed),
        ("unmatched_notes", t.unmatched_notes),
        ("invalid", t.invalid),
    ];
    let live = State::ALL.map(|state| (state.upper(), t.live[state.index()]));
    let all = counts.into_iter().chain(live);
    let shown = all.filter(|(_, count)| *count > 0).map(|(name, count)| format!(" {name}={count}"));
    format!("totals{}", shown.collect::<String>())
}
