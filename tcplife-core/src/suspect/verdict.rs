//! The rules: what a socket that waits for somebody's close is to be called.
//!
//! What comes in: numbers about one socket at one moment. What goes out: a verdict, which is a leak, or not a leak, or
//! too young to say. What always holds: the same numbers give the same verdict; a verdict that accuses is given only
//! when the socket has certainly been in its state for as long as the user set. To add a verdict, add it here; the
//! sentences that explain it are made by the outputs.

use crate::{state::State, timeline::Age};

/// What a socket that waits for somebody's close is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// `CLOSE_WAIT`: held, the EOF was read, nothing is sent.
    Unclosed,
    /// `CLOSE_WAIT`: held, nobody has read the EOF.
    EofUnread,
    /// `CLOSE_WAIT`: held, nobody has read the data before the EOF.
    DataUnread,
    /// `CLOSE_WAIT`: still in its listener's accept queue.
    NeverAccepted,
    /// `CLOSE_WAIT`: no descriptor, and in no accept queue.
    KernelHeld,
    /// `FIN_WAIT_2`: held, waits for the peer without limit.
    HalfClosed,
    /// In either state: no descriptor in a process that can be seen, and others there are.
    HolderUnseen,
    /// `CLOSE_WAIT`: a half-close in use, data goes out.
    Sending,
    /// `FIN_WAIT_2`: a half-close in use, data comes in.
    Receiving,
    /// `FIN_WAIT_2`: closed here; the peer has not, and the kernel will not wait for it for ever.
    PeerUnclosed,
    /// `CLOSED`: the connection is over, and a process still has a descriptor. No socket is stuck, so it is none of the leaks.
    EndedUnclosed,
    /// Not long enough in its state to say.
    Young,
}

impl Verdict {
    /// Every verdict, leaks first.
    pub const ALL: [Self; 12] = [
        Self::Unclosed,
        Self::EofUnread,
        Self::DataUnread,
        Self::NeverAccepted,
        Self::KernelHeld,
        Self::HalfClosed,
        Self::HolderUnseen,
        Self::Sending,
        Self::Receiving,
        Self::PeerUnclosed,
        Self::EndedUnclosed,
        Self::Young,
    ];

    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unclosed => "unclosed",
            Self::EofUnread => "eof_unread",
            Self::DataUnread => "data_unread",
            Self::NeverAccepted => "never_accepted",
            Self::KernelHeld => "kernel_held",
            Self::HalfClosed => "half_closed",
            Self::HolderUnseen => "holder_unseen",
            Self::Sending => "sending",
            Self::Receiving => "receiving",
            Self::PeerUnclosed => "peer_unclosed",
            Self::EndedUnclosed => "ended_unclosed",
            Self::Young => "young",
        }
    }

    /// Whether somebody has to fix something: a leak, or a descriptor that is left of a connection that is over.
    pub const fn is_fault(self) -> bool {
        self.is_leak() || matches!(self, Self::EndedUnclosed)
    }

    /// Whether somebody's socket is stuck in its state.
    pub const fn is_leak(self) -> bool {
        match self {
            Self::Unclosed
            | Self::EofUnread
            | Self::DataUnread
            | Self::NeverAccepted
            | Self::KernelHeld
            | Self::HalfClosed => true,
            Self::HolderUnseen
            | Self::Sending
            | Self::Receiving
            | Self::PeerUnclosed
            | Self::EndedUnclosed
            | Self::Young => false,
        }
    }
}

/// Who has the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// At least one process, by a descriptor.
    Process,
    /// Its listener's accept queue.
    AcceptQueue,
    /// Nobody any more: the application has closed it.
    Nobody,
    /// The kernel alone: a message under way (`SCM_RIGHTS`), a registered file (`io_uring`), a kernel user.
    Kernel,
    /// A process that is not seen, or the kernel.
    Unseen,
}

/// What is known of one socket at one moment. Times are in nanoseconds before that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its state.
    pub state: State,
    /// How long it has been in that state.
    pub age: Age,
    /// Bytes that the application has not read; the peer's FIN counts as one.
    pub recv_queue: u32,
    /// Bytes not acknowledged by the peer, unsent ones included.
    pub send_queue: u32,
    /// When data was last sent; `None` for never.
    pub since_sent: Option<u64>,
    /// When data was last received; `None` for never.
    pub since_received: Option<u64>,
    /// Who has it.
    pub keeper: Keeper,
    /// How long nobody has had it any more, where its timer tells.
    pub since_orphaned: Option<u64>,
}

/// The verdict on a socket, if it is in a state in which somebody's close is waited for. A leak needs `leak_after`
/// nanoseconds.
pub(crate) fn judge(facts: &Facts, leak_after: u64) -> Option<Verdict> {
    let within = |since: Option<u64>| since.is_some_and(|ago| ago < leak_after);
    let rule = match facts.state {
        State::CloseWait => close_wait(facts, within(facts.since_sent)),
        State::FinWait2 => fin_wait_2(facts, within(facts.since_received)),
        State::Closed if facts.keeper == Keeper::Process => Verdict::EndedUnclosed,
        _ => return None,
    };
    // An orphan whose state is of an unknown age is as old as its application's close.
    let surely_young = facts.age.max.or(facts.since_orphaned).is_some_and(|max| max < leak_after);
    let perhaps_young = facts.age.min < leak_after;
    Some(if surely_young || rule.is_fault() && perhaps_young { Verdict::Young } else { rule })
}

fn close_wait(facts: &Facts, sends: bool) -> Verdict {
    match (facts.keeper, facts.recv_queue) {
        (Keeper::AcceptQueue, _) => Verdict::NeverAccepted,
        _ if sends || facts.send_queue > 0 => Verdict::Sending,
        (Keeper::Kernel | Keeper::Nobody, _) => Verdict::KernelHeld,
        (Keeper::Unseen, _) => Verdict::HolderUnseen,
        (Keeper::Process, 0) => Verdict::Unclosed,
        (Keeper::Process, 1) => Verdict::EofUnread,
        (Keeper::Process, _) => Verdict::DataUnread,
    }
}

fn fin_wait_2(facts: &Facts, receives: bool) -> Verdict {
    match facts.keeper {
        Keeper::Nobody | Keeper::AcceptQueue => Verdict::PeerUnclosed,
        Keeper::Process | Keeper::Kernel | Keeper::Unseen if receives => Verdict::Receiving,
        Keeper::Process | Keeper::Kernel => Verdict::HalfClosed,
        Keeper::Unseen => Verdict::HolderUnseen,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const AFTER: u64 = 30 * SECOND;
    const OLD: Age = Age { min: 60 * SECOND, max: Some(60 * SECOND) };
    const FACTS: Facts = Facts {
        state: State::CloseWait,
        age: OLD,
        recv_queue: 0,
        send_queue: 0,
        since_sent: None,
        since_received: None,
        keeper: Keeper::Process,
        since_orphaned: None,
    };
    const HALF: Facts = Facts { state: State::FinWait2, ..FACTS };

    #[track_caller]
    fn is(facts: Facts, verdict: Verdict) {
        assert_eq!(judge(&facts, AFTER), Some(verdict), "{facts:?}");
    }

    #[test]
    fn close_wait_by_its_receive_queue() {
        is(FACTS, Verdict::Unclosed);
        is(Facts { recv_queue: 1, ..FACTS }, Verdict::EofUnread);
        is(Facts { recv_queue: 2, ..FACTS }, Verdict::DataUnread);
    }

    #[test]
    fn close_wait_by_its_keeper() {
        is(Facts { keeper: Keeper::AcceptQueue, recv_queue: 1, ..FACTS }, Verdict::NeverAccepted);
        is(Facts { keeper: Keeper::Kernel, ..FACTS }, Verdict::KernelHeld);
        // The established connection's clocks start as if something had been sent.
        is(Facts { keeper: Keeper::AcceptQueue, since_sent: Some(SECOND), ..FACTS }, Verdict::NeverAccepted);
    }

    #[test]
    fn a_half_close_in_use_is_no_leak() {
        is(Facts { since_sent: Some(29 * SECOND), ..FACTS }, Verdict::Sending);
        is(Facts { send_queue: 1, ..FACTS }, Verdict::Sending);
        is(Facts { since_sent: Some(30 * SECOND), ..FACTS }, Verdict::Unclosed);
        is(Facts { since_received: Some(SECOND), ..HALF }, Verdict::Receiving);
        is(Facts { since_received: Some(30 * SECOND), ..HALF }, Verdict::HalfClosed);
        is(Facts { since_received: Some(SECOND), ..FACTS }, Verdict::Unclosed);
        is(Facts { since_sent: Some(SECOND), ..HALF }, Verdict::HalfClosed);
    }

    #[test]
    fn fin_wait_2_by_its_keeper() {
        is(HALF, Verdict::HalfClosed);
        is(Facts { keeper: Keeper::Nobody, ..HALF }, Verdict::PeerUnclosed);
        is(Facts { keeper: Keeper::Kernel, ..HALF }, Verdict::HalfClosed);
    }

    #[test]
    fn what_an_unseen_process_may_hold_accuses_nobody() {
        let unseen = |facts: Facts| Facts { keeper: Keeper::Unseen, ..facts };
        is(unseen(FACTS), Verdict::HolderUnseen);
        is(unseen(Facts { recv_queue: 2, ..FACTS }), Verdict::HolderUnseen);
        is(unseen(HALF), Verdict::HolderUnseen);
        is(unseen(Facts { send_queue: 1, ..FACTS }), Verdict::Sending);
        is(unseen(Facts { since_received: Some(SECOND), ..HALF }), Verdict::Receiving);
        is(unseen(Facts { age: Age { min: 0, max: Some(0) }, ..FACTS }), Verdict::Young);
        assert!(!Verdict::HolderUnseen.is_leak());
    }

    #[test]
    fn the_limit_is_exact() {
        let age = |min, max| Age { min, max };
        is(Facts { age: age(AFTER - 1, Some(AFTER - 1)), ..FACTS }, Verdict::Young);
        is(Facts { age: age(AFTER, Some(AFTER)), ..FACTS }, Verdict::Unclosed);
        assert_eq!(judge(&Facts { age: age(0, None), ..FACTS }, 0), Some(Verdict::Unclosed));
    }

    #[test]
    fn a_bracket_accuses_only_when_all_of_it_is_old() {
        let open = Facts { age: Age { min: AFTER - 1, max: None }, ..FACTS };
        is(open, Verdict::Young);
        // The peer's ACKs keep the lower bound low while data goes out; that is no reason to call it young.
        is(Facts { since_sent: Some(1), ..open }, Verdict::Sending);
        let orphan = Facts { keeper: Keeper::Nobody, ..Facts { state: State::FinWait2, ..open } };
        is(orphan, Verdict::PeerUnclosed);
        is(Facts { since_orphaned: Some(AFTER - 1), ..orphan }, Verdict::Young);
        is(Facts { since_orphaned: Some(AFTER), ..orphan }, Verdict::PeerUnclosed);
        is(Facts { since_orphaned: Some(1), age: OLD, ..orphan }, Verdict::PeerUnclosed);
    }

    #[test]
    fn a_descriptor_of_a_connection_that_is_over_is_no_socket_that_is_stuck() {
        let ended = Facts { state: State::Closed, ..FACTS };
        is(ended, Verdict::EndedUnclosed);
        is(Facts { age: Age { min: AFTER - 1, max: Some(AFTER) }, ..ended }, Verdict::Young);
        assert_eq!(judge(&Facts { keeper: Keeper::Nobody, ..ended }, AFTER), None);
        assert!(!Verdict::EndedUnclosed.is_leak());
    }

    #[test]
    fn other_states_wait_for_nobodys_close() {
        for state in State::ALL {
            let judged = judge(&Facts { state, ..FACTS }, AFTER).is_some();
            assert_eq!(judged, state.is_judged(), "{state}");
        }
    }

    fn facts() -> impl Strategy<Value = Facts> {
        let keeper = prop_oneof![
            Just(Keeper::Process),
            Just(Keeper::AcceptQueue),
            Just(Keeper::Nobody),
            Just(Keeper::Kernel),
            Just(Keeper::Unseen)
        ];
        let state = prop_oneof![Just(State::CloseWait), Just(State::FinWait2)];
        let time = 0..2 * AFTER;
        (state, keeper, 0..4_u32, 0..2_u32, any::<(bool, bool)>(), time.clone(), proptest::option::of(time))
            .prop_map(|(state, keeper, recv_queue, send_queue, (sent, received), min, more)| Facts {
                state,
                age: Age { min, max: more.map(|more| min + more) },
                recv_queue,
                send_queue,
                since_sent: sent.then_some(min),
                since_received: received.then_some(min / 2),
                keeper,
                since_orphaned: None,
            })
    }

    proptest! {
        #[test]
        fn nobody_is_accused_before_the_time(facts in facts()) {
            let verdict = judge(&facts, AFTER).unwrap();
            prop_assert!(!verdict.is_leak() || facts.age.min >= AFTER);
        }

        #[test]
        fn with_time_an_accusation_stays(facts in facts(), more in 0..AFTER) {
            let later = |since: Option<u64>| since.map(|ago| ago + more);
            let age = Age { min: facts.age.min + more, max: later(facts.age.max) };
            let (since_sent, since_received) = (later(facts.since_sent), later(facts.since_received));
            let then = judge(&facts, AFTER).unwrap();
            let now = judge(&Facts { age, since_sent, since_received, ..facts }, AFTER).unwrap();
            prop_assert!(!then.is_leak() || now == then, "{then:?} then {now:?}");
        }
    }
}
