//! What is copied: a row as text, and the command that ends its connection.
//!
//! What comes in: a connection. What goes out: one line of text. What always holds: it has no control character; the command
//! names one connection by both of its ends, and nothing else, and nothing in it is a process's choice.

use std::net::SocketAddr;

use tcplife_core::{state::State, view::Row};

use super::text;
use crate::escape;

/// A row, its fields apart by a blank: text for people.
pub fn row(row: &Row, now: u64) -> String {
    let owner = row.owner.map_or_else(
        || "-".to_owned(),
        |owner| format!("{}[{}]", escape::printable(owner.process.comm_bytes()), owner.process.pid),
    );
    let (local, remote) = (text::address(row.local), text::address(row.remote));
    format!("{} {} {owner} {local} {remote} netns {}", row.state, text::age(row.since.age(now)), row.netns)
}

/// How `ss` calls a state; `None` for one that it cannot end.
const fn ss_state(state: State) -> Option<&'static str> {
    Some(match state {
        State::Listen => "listening",
        State::SynSent => "syn-sent",
        State::SynReceived => "syn-recv",
        State::Established => "established",
        State::FinWait1 => "fin-wait-1",
        State::FinWait2 => "fin-wait-2",
        State::CloseWait => "close-wait",
        State::Closing => "closing",
        State::LastAck => "last-ack",
        State::TimeWait => "time-wait",
        State::Closed => return None,
    })
}

/// The command that ends a connection (`SOCK_DESTROY`), behind what leads into its network namespace; or why there is none.
pub fn kill(row: &Row, inside: &str) -> Result<String, &'static str> {
    let state = ss_state(row.state).ok_or("nothing can end it: it is closed")?;
    if row.local.port() == 0 {
        return Err("its local port is not known yet, by which ss would find it");
    }
    let end = |address: SocketAddr| match address {
        SocketAddr::V4(_) => address.to_string(),
        SocketAddr::V6(v6) => format!("[{}]:{}", v6.ip(), v6.port()),
    };
    let (local, remote) = (end(row.local), end(row.remote));
    let both = if row.state == State::Listen {
        format!("src {local}")
    } else {
        format!("src {local} and dst {remote}")
    };
    Ok(format!("sudo {inside}ss -K -t state {state} '{both}'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixtures as fix;

    #[test]
    fn a_command_names_one_connection_and_where_it_is() {
        let rows = fix::rows();
        let command = kill(&rows[2], "").unwrap();
        assert_eq!(command, "sudo ss -K -t state close-wait 'src 10.0.0.1:8080 and dst 10.0.0.2:40003'");
        let elsewhere = kill(&rows[8], "nsenter -t 100 -n ").unwrap();
        assert!(elsewhere.starts_with("sudo nsenter -t 100 -n ss -K -t state syn-sent 'src "), "{elsewhere}");
        let v6 = kill(&rows[1], "").unwrap();
        assert!(v6.contains("src [2001:db8:1234:5678:9abc:def0:1234:5678]:65535 and dst ["), "{v6}");
        let closed = Row { state: State::Closed, ..rows[0].clone() };
        assert!(kill(&closed, "").unwrap_err().contains("closed"));
        let mut connecting = rows[8].clone();
        connecting.local.set_port(0);
        assert!(kill(&connecting, "").unwrap_err().contains("local port"), "ss has it by another one");
    }

    #[test]
    fn a_hostile_name_does_not_reach_a_terminal() {
        let text = row(&fix::rows()[7], fix::NOW);
        assert!(text.contains("\\x1b[2J\\x07evil[666]") && !text.contains(char::is_control), "{text}");
    }
}
