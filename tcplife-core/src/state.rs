//! The eleven TCP states and their legal moves (RFC 9293, section 3.3.2).

use std::{fmt, str::FromStr};

/// `TCP_NEW_SYN_RECV` of include/net/tcp_states.h: a request, which has no full socket yet.
pub(crate) const NEW_SYN_RECV: u8 = 12;

/// A state of the protocol; not of the kernel's bookkeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// Waiting for connection requests.
    Listen,
    /// A SYN was sent.
    SynSent,
    /// A SYN was received and answered.
    SynReceived,
    /// Data flows.
    Established,
    /// Our FIN was sent and not acknowledged.
    FinWait1,
    /// Our FIN was acknowledged; the peer's is awaited.
    FinWait2,
    /// The peer's FIN was received; the local application has to close.
    CloseWait,
    /// Both sent a FIN, ours is not acknowledged.
    Closing,
    /// The peer's FIN was received and ours was sent, not acknowledged.
    LastAck,
    /// Both are done; old segments are waited out.
    TimeWait,
    /// No connection.
    Closed,
}

impl State {
    /// How many states there are.
    pub const COUNT: usize = 11;

    /// Every state, in the protocol's order.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Listen,
        Self::SynSent,
        Self::SynReceived,
        Self::Established,
        Self::FinWait1,
        Self::FinWait2,
        Self::CloseWait,
        Self::Closing,
        Self::LastAck,
        Self::TimeWait,
        Self::Closed,
    ];

    /// The state of a kernel number (`TCP_*`, `include/net/tcp_states.h`). `TCP_NEW_SYN_RECV` (a request socket) is
    /// `SYN_RECEIVED` to the protocol.
    pub const fn from_kernel(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            _ => return None,
        })
    }

    /// Position in [`State::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in JSON, CSV and metrics.
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::FinWait1 => "fin_wait_1",
            Self::FinWait2 => "fin_wait_2",
            Self::CloseWait => "close_wait",
            Self::Closing => "closing",
            Self::LastAck => "last_ack",
            Self::TimeWait => "time_wait",
            Self::Closed => "closed",
        }
    }

    /// The name in text and on the screen.
    pub const fn upper(self) -> &'static str {
        match self {
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECEIVED",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::CloseWait => "CLOSE_WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Closed => "CLOSED",
        }
    }

    /// Whether somebody's close has to end it: this end's in `CLOSE_WAIT`, the other's in `FIN_WAIT_2`.
    pub const fn waits_for_close(self) -> bool {
        matches!(self, Self::CloseWait | Self::FinWait2)
    }

    /// Whether sockets in it get a verdict: what waits for a close, and where nothing is left of the connection the descriptor does.
    pub const fn is_judged(self) -> bool {
        self.waits_for_close() || matches!(self, Self::Closed)
    }

    /// Whether the protocol, as Linux follows it, can go from this state to `next` in one step. Any state can end
    /// in CLOSED (reset, timeout, abort).
    pub const fn may_precede(self, next: Self) -> bool {
        use State::{
            CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived,
            SynSent, TimeWait,
        };
        matches!(
            (self, next),
            (_, Closed)
                | (Closed, Listen | SynSent)
                | (Listen, SynReceived)
                | (SynSent, SynReceived | Established)
                | (SynReceived, Established | FinWait1 | CloseWait)
                | (Established, FinWait1 | CloseWait)
                | (FinWait1, FinWait2 | Closing | TimeWait)
                | (FinWait2 | Closing, TimeWait)
                | (CloseWait, LastAck)
        )
    }

    /// Whether a connection in this state can be in `later` after one or more legal moves, and still be the same
    /// connection: it was not CLOSED in between.
    pub(crate) fn may_lead_to(self, later: Self) -> bool {
        // Legal moves never lead back, so this ends.
        let step = |next: &Self| *next != Self::Closed && self.may_precede(*next);
        Self::ALL.iter().filter(|next| step(next)).any(|next| *next == later || next.may_lead_to(later))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.upper())
    }
}

/// No TCP state has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownState;

impl fmt::Display for UnknownState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no TCP state has this name; the states are ")?;
        for (n, state) in State::ALL.into_iter().enumerate() {
            f.write_str(if n == 0 { "" } else { ", " })?;
            f.write_str(state.lower())?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownState {}

impl FromStr for State {
    type Err = UnknownState;

    /// Accepts every common spelling, in any case, with `-` or `_` or nothing between the words: RFC 9293, the
    /// kernel (with or without `TCP_` in front), `ss`, netstat and `node_exporter`.
    fn from_str(name: &str) -> Result<Self, UnknownState> {
        let plain: String =
            name.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
        Ok(match plain.strip_prefix("tcp").unwrap_or(&plain) {
            "listen" | "listening" => Self::Listen,
            "synsent" => Self::SynSent,
            "synreceived" | "synrecv" | "synrcvd" | "newsynrecv" => Self::SynReceived,
            "established" | "estab" => Self::Established,
            "finwait1" => Self::FinWait1,
            "finwait2" => Self::FinWait2,
            "closewait" => Self::CloseWait,
            "closing" => Self::Closing,
            "lastack" => Self::LastAck,
            "timewait" => Self::TimeWait,
            "closed" | "close" | "unconn" => Self::Closed,
            _ => return Err(UnknownState),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for state in State::ALL {
            assert_eq!(state.lower().parse(), Ok(state));
            assert_eq!(state.upper().parse(), Ok(state));
        }
    }

    #[test]
    fn common_spellings_are_accepted() {
        let spellings = [
            ("FIN_WAIT2", State::FinWait2),
            ("fin-wait-2", State::FinWait2),
            ("ESTAB", State::Established),
            ("SYN_RECV", State::SynReceived),
            ("CLOSE-WAIT", State::CloseWait),
            ("TIME-WAIT", State::TimeWait),
            ("CLOSE", State::Closed),
            ("LISTENING", State::Listen),
            ("fin_wait1", State::FinWait1),
            ("timewait", State::TimeWait),
            // include/net/tcp_states.h, and so ftrace and bcc.
            ("TCP_CLOSE_WAIT", State::CloseWait),
            ("TCP_ESTABLISHED", State::Established),
            ("tcp_new_syn_recv", State::SynReceived),
            ("TCP_CLOSE", State::Closed),
        ];
        for (name, state) in spellings {
            assert_eq!(name.parse(), Ok(state), "{name}");
        }
        assert_eq!("OPEN".parse::<State>(), Err(UnknownState));
        assert_eq!("".parse::<State>(), Err(UnknownState));
        assert_eq!("TCP_".parse::<State>(), Err(UnknownState));
    }

    #[test]
    fn the_kernels_numbers_are_covered() {
        for number in 1..=12 {
            assert!(State::from_kernel(number).is_some(), "{number}");
        }
        assert_eq!(State::from_kernel(0), None);
        assert_eq!(State::from_kernel(13), None);
    }

    #[test]
    fn later_states_are_reachable_earlier_ones_are_not() {
        use State::{CloseWait, Closed, Established, FinWait1, LastAck, Listen, SynSent, TimeWait};
        for (from, to) in [(SynSent, TimeWait), (Established, LastAck), (FinWait1, TimeWait)] {
            assert!(from.may_lead_to(to), "{from} {to}");
            assert!(!to.may_lead_to(from), "{to} {from}");
        }
        for (from, to) in [(CloseWait, TimeWait), (TimeWait, Closed), (Established, Established)] {
            assert!(!from.may_lead_to(to), "{from} {to}");
        }
        // A listener's child is another socket, but the states follow.
        assert!(Listen.may_lead_to(Established));
    }

    #[test]
    fn only_closed_can_be_reached_from_everywhere() {
        for from in State::ALL {
            assert!(from.may_precede(State::Closed));
        }
        assert!(!State::CloseWait.may_precede(State::Established));
        assert!(!State::TimeWait.may_precede(State::FinWait2));
    }
}
