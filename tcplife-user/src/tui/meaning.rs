//! What it means that a connection is in a state, who has to act, which setting matters, and which advice is wrong.
//!
//! What comes in: a state and what is known of the connection. What goes out: clauses. What always holds: it names the
//! one whose move is next; it says nothing that the state alone does not show; settings are names of
//! [`crate::facts`], which says what each really does.

use tcplife_core::{state::State, view::Detail};

/// What can be done about a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Who has to act, and how.
    pub act: &'static str,
    /// Settings that matter; names of facts.
    pub settings: &'static [&'static str],
    /// Popular advice that does nothing here.
    pub no_help: &'static str,
}

/// What a connection waits for; `owner` is the name of the process, if one is known.
pub fn of(detail: &Detail, owner: Option<&str>) -> String {
    let row = &detail.row;
    let who = owner.unwrap_or("its application");
    match row.state {
        State::Listen => "waits for connections".to_owned(),
        State::SynSent => "the peer has not answered the SYN".to_owned(),
        State::SynReceived => "the peer has not completed the handshake".to_owned(),
        State::Established if detail.awaits_accept => "open; in the accept queue when last seen".to_owned(),
        State::Established => "open; data can flow both ways".to_owned(),
        State::FinWait1 => "closed here; the peer has not acknowledged the FIN".to_owned(),
        State::FinWait2 if row.orphan || row.in_mini_socket => {
            "closed here, not by the peer; the kernel ends it after tcp_fin_timeout".to_owned()
        }
        State::FinWait2 => "closed here; the peer has to close".to_owned(),
        State::CloseWait if detail.awaits_accept => {
            "the peer has closed; in the accept queue when last seen".to_owned()
        }
        State::CloseWait if row.orphan => "the peer has closed; no application has a handle on it".to_owned(),
        State::CloseWait => format!("the peer has closed; {who} has to close"),
        State::Closing => "both closed at once; the peer has not acknowledged the FIN".to_owned(),
        State::LastAck => "closed by both; the peer has not acknowledged the last FIN".to_owned(),
        State::TimeWait => "closed by both; kept for about 60 s against old segments".to_owned(),
        State::Closed if row.orphan => "over".to_owned(),
        State::Closed => format!("over; {who} may still hold the socket"),
    }
}

/// What can be done about a connection's state.
pub const fn advice(detail: &Detail) -> Advice {
    let held = !detail.row.orphan && !detail.row.in_mini_socket;
    match detail.row.state {
        State::Listen => Advice {
            act: "the application: call accept fast enough for its backlog",
            settings: &["somaxconn", "tcp_syncookies"],
            no_help: "a longer backlog, where accept is not called at all",
        },
        State::SynSent => Advice {
            act: "the peer, or a firewall on the way: SYNs are sent again by tcp_syn_retries",
            settings: &["ip_local_port_range"],
            no_help: "tcp_fin_timeout and tcp_tw_reuse: nothing is being closed",
        },
        State::SynReceived => Advice {
            act: "the peer: its ACK is missing; or the accept queue is full and drops it",
            settings: &["somaxconn", "tcp_syncookies", "tcp_max_syn_backlog"],
            no_help: "tcp_max_syn_backlog while tcp_syncookies is on",
        },
        State::Established => Advice {
            act: "nobody: this is how a connection should be",
            settings: &["tcp_keepalive_time"],
            no_help: "keepalive settings, for sockets without SO_KEEPALIVE",
        },
        State::FinWait1 | State::Closing | State::LastAck => Advice {
            act: "the peer or the network: it does not acknowledge; the FIN is sent again",
            settings: &["tcp_orphan_retries", "tcp_max_orphans"],
            no_help: "tcp_fin_timeout: it is about FIN_WAIT_2",
        },
        State::FinWait2 if held => Advice {
            act: "the application here: it shut down its sending side and waits without limit; give the read a timeout",
            settings: &[],
            no_help: "tcp_fin_timeout: it counts only once the application has closed the socket",
        },
        State::FinWait2 => Advice {
            act: "the peer's application: it does not close; the kernel here ends it in time",
            settings: &["tcp_fin_timeout", "tcp_max_orphans"],
            no_help: "tcp_tw_reuse: it is about TIME_WAIT",
        },
        State::CloseWait => Advice {
            act: "the application here: call close where recv returns 0, and on every error path",
            settings: &["tcp_keepalive_time"],
            no_help: "tcp_fin_timeout and tcp_tw_reuse: they are about sockets closed here; keepalive: it closes no descriptor",
        },
        State::TimeWait => Advice {
            act: "nobody, unless ports to one destination run out (view 4): then reuse connections",
            settings: &["TIME_WAIT", "tcp_tw_reuse", "ip_local_port_range", "tcp_max_tw_buckets"],
            no_help: "tcp_fin_timeout: it does not shorten TIME_WAIT; tcp_tw_recycle: gone since 4.12",
        },
        State::Closed if !held => Advice {
            act: "nobody: nothing is left of it here",
            settings: &[],
            no_help: "any setting: the kernel is done with it",
        },
        State::Closed => Advice {
            act: "the application may still have to close its descriptor",
            settings: &[],
            no_help: "any setting: the kernel is done with it",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::FACTS, tui::fixtures as fix};

    #[test]
    fn every_setting_that_is_named_is_a_fact() {
        for state in State::ALL {
            let mut detail = fix::detail();
            detail.row.state = state;
            for name in advice(&detail).settings {
                assert!(FACTS.iter().any(|fact| fact.name == *name), "{name}");
            }
        }
    }
}
