//! What the kernel side lets through, decided here where it cannot: of what was listed, and of what it knew too late.

use tcplife_common::wire::{Found, Record, Tuple};
use tcplife_core::{
    connection::Ends,
    filter::{Families, Filter, PortSet},
};

/// Brings what the kernel side would not let through into a last piece, and returns the others. The order of both is kept.
pub(super) fn wanted<'a>(found: &'a mut Vec<Vec<Found>>, filter: &Filter) -> &'a [Vec<Found>] {
    if takes_all(filter) {
        return found;
    }
    let mut others = Vec::new();
    for piece in found.iter_mut() {
        piece.retain(|found| {
            let stays = is_wanted(found, filter);
            if !stays {
                others.push(*found);
            }
            stays
        });
    }
    found.push(others);
    &found[..found.len() - 1]
}

/// Whether the kernel side leaves nothing out.
fn takes_all(filter: &Filter) -> bool {
    filter.families == Families::Both
        && filter.netns.is_empty()
        && filter.local_ports.is_empty()
        && filter.remote_ports.is_empty()
}

/// The ends of a record, if the filter refuses its ports or its family. The kernel side lets a client's first moves through, for its own
/// port is not known before the handshake is over, and so is a listener's child's remote end on some kernels.
pub(super) fn refused<'a>(filter: &Filter, record: &'a Record) -> Option<&'a Tuple> {
    let tuple = match record {
        Record::Move(record) => &record.tuple,
        Record::End(record) => &record.tuple,
        Record::Retransmit(record) | Record::Reset(record) => &record.tuple,
        Record::Born(record) => &record.tuple,
        Record::MiniArmed(record) | Record::MiniGone(record) => &record.tuple,
        Record::Gone(_) | Record::Accepted(_) => return None,
    };
    let other = |ports: &PortSet, port: u16| port != 0 && !ports.is_empty() && !ports.contains(port);
    let is_refused =
        other(&filter.local_ports, tuple.local_port) || other(&filter.remote_ports, tuple.remote_port);
    let of_other_family = tuple.remote_port != 0 && !filter.families.wants(Ends::of(tuple).is_ipv4());
    (is_refused || of_other_family).then_some(tuple)
}

/// What the kernel side would let through: the rest would never be heard of again.
pub(super) fn is_wanted(found: &Found, filter: &Filter) -> bool {
    let ends = Ends::of(&found.tuple);
    let is_ipv4 = ends.is_ipv4();
    // A listener at [::] can have children of both families, whose owner it names.
    let is_of_both = !is_ipv4 && ends.remote_port == 0 && ends.local_addr().ip().is_unspecified();
    let family = filter.families.wants(is_ipv4) || is_of_both;
    let local = filter.local_ports.is_empty() || filter.local_ports.contains(found.tuple.local_port);
    // A listener has no remote port; it is needed to name the owner of its children.
    let remote = filter.remote_ports.is_empty()
        || found.tuple.remote_port == 0
        || filter.remote_ports.contains(found.tuple.remote_port);
    let netns = filter.netns.is_empty() || filter.netns.contains(&found.head.netns);
    family && local && remote && netns
}

#[cfg(test)]
mod tests {
    use tcplife_common::wire::Head;

    use super::*;

    #[test]
    fn what_is_not_wanted_is_behind_the_rest() {
        let of = |netns: u32, sock: u64| Found {
            head: Head { netns, sock, ..Head::default() },
            ..Found::default()
        };
        let all = || vec![vec![of(7, 1), of(8, 2), of(7, 3)], vec![of(8, 4)], vec![of(7, 5)]];
        let socks = |found: &[Vec<Found>]| -> Vec<u64> {
            found.iter().flatten().map(|found| found.head.sock).collect()
        };
        let mut found = all();
        let only = Filter { netns: vec![7], ..Filter::default() };
        assert_eq!(socks(wanted(&mut found, &only)), [1, 3, 5]);
        assert_eq!(socks(&found), [1, 3, 5, 2, 4], "nothing is lost");
        assert_eq!(socks(wanted(&mut all(), &Filter::default())), [1, 2, 3, 4, 5]);
    }
}
