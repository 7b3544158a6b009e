//! What it means that a connection is in a state, and who has to act.
//!
//! What comes in: a state and what is known of the connection. What goes out: one clause. What always holds: it names
//! the one whose move is next; it says nothing that the state alone does not show.

use tcplife_core::{state::State, view::Detail};

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
        State::Closed => format!("over; {who} may still hold the socket"),
    }
}
