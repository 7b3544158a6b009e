//! What the kernel side lets through, decided here where it cannot: of what was listed, and of what it knew too late.

use tcplife_common::wire::{Found, Record, Tuple};
use tcplife_core::{
    connection::Ends,
    filter::{Families, Filter, PortSet},
};

/// What the kernel side would let through.
pub(super) fn wanted(filter: &Filter) -> impl Fn(&Found) -> bool + '_ {
    let all = takes_all(filter);
    move |found| all || is_wanted(found, filter)
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
fn is_wanted(found: &Found, filter: &Filter) -> bool {
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
