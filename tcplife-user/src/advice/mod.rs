//! What a verdict means, where to look, and what does not help.
//!
//! What comes in: suspects with their evidence. What goes out: sentences. What always holds: a sentence says nothing that
//! the evidence does not show; a new verdict needs its sentences here and nowhere else: `leaks` and the screen say the same.

pub mod words;

use std::fmt::Write as _;

use tcplife_core::{
    state::State,
    suspect::{Facts, Peer, Suspect, Verdict},
};

use crate::escape;
use words::{age, count};

/// What is to be told of all suspects with one verdict.
pub struct Advice {
    /// What happened.
    pub means: &'static str,
    /// Where in the program to look.
    pub look_at: &'static str,
    /// Popular advice that does nothing here, and why.
    pub no_help: &'static str,
}

const KEEPALIVE: &str = "net.ipv4.tcp_fin_timeout: it is about sockets that were closed here. net.ipv4.tcp_keepalive_*: \
     a probe ends CLOSE_WAIT at best, when the peer has forgotten the connection and resets it, and the descriptor leaks \
     all the same; and only sockets with SO_KEEPALIVE use it";
const NOT_ABOUT_THIS: &str =
    "net.ipv4.tcp_fin_timeout and tcp_tw_reuse: they are about sockets that were closed here already.";

/// The advice for a verdict.
pub const fn of(verdict: Verdict) -> &'static Advice {
    match verdict {
        Verdict::Unclosed => &UNCLOSED,
        Verdict::EofUnread => &EOF_UNREAD,
        Verdict::DataUnread => &DATA_UNREAD,
        Verdict::NeverAccepted => &NEVER_ACCEPTED,
        Verdict::KernelHeld => &KERNEL_HELD,
        Verdict::HalfClosed => &HALF_CLOSED,
        Verdict::HolderUnseen => &HOLDER_UNSEEN,
        Verdict::Sending => &SENDING,
        Verdict::Receiving => &RECEIVING,
        Verdict::PeerUnclosed => &PEER_UNCLOSED,
        Verdict::EndedUnclosed => &ENDED_UNCLOSED,
        Verdict::Young => &YOUNG,
    }
}

const UNCLOSED: Advice = Advice {
    means: "The peer closed and the program has read all up to that (recv returned 0, or gave it the last data), \
            sends nothing, and did not call close.",
    look_at: "the branch where recv or read returns 0, and each error path and early return that leaves the \
              socket open: a missing close, finally, defer or with; a response body or stream never closed; a \
              connection pool that does not evict what its peer closed.",
    no_help: KEEPALIVE,
};

const EOF_UNREAD: Advice = Advice {
    means: "The peer closed and nobody has read that: the program no longer looks at this socket.",
    look_at: "the thread or event loop that should read it: blocked in a lock or a slow call, gone, or the \
              descriptor was removed from epoll or never added; an idle pool that does not check its connections.",
    no_help: KEEPALIVE,
};

const DATA_UNREAD: Advice = Advice {
    means: "The peer sent data and closed; the program has not read even the data.",
    look_at: "the reader: a worker that is stuck or too slow, a full queue between reader and worker, back \
              pressure that never ends. A few dozen bytes may be no more than TLS's close_notify: an idle pool that \
              does not check its connections.",
    no_help: KEEPALIVE,
};

const NEVER_ACCEPTED: Advice = Advice {
    means: "The peer connected and closed while the connection waited in the accept queue; no accept of the \
            program has taken it.",
    look_at: "the accept loop: stopped after an error such as EMFILE, blocked by work done in the same thread, \
              or a listener inherited by a process that does not use it.",
    no_help: "net.core.somaxconn or a longer backlog: more connections would wait for the same accept. \
              net.ipv4.tcp_fin_timeout: it is about sockets that were closed here.",
};

const KERNEL_HELD: Advice = Advice {
    means: "The peer closed; no process has a descriptor, and the socket is in no accept queue.",
    look_at: "descriptors sent over a Unix socket (SCM_RIGHTS) that nobody receives, files registered with \
              io_uring, and kernel users such as NFS, iSCSI or a VPN.",
    no_help: KEEPALIVE,
};

const HALF_CLOSED: Advice = Advice {
    means: "The program shut down its sending side and holds the socket while the peer does not close, without \
            limit: the kernel has no timeout for a socket that a process still holds.",
    look_at: "the read after shutdown(SHUT_WR): it has to go on to the end of stream (a peer cannot close while \
              nobody takes what it sends), with a timeout, and a close then; and where nothing is unread the \
              peer, which does not close.",
    no_help: "net.ipv4.tcp_fin_timeout: it counts only once the program has closed the socket.",
};

const HOLDER_UNSEEN: Advice = Advice {
    means: "It waits for a close, and none of the processes that can be seen from here has a descriptor: another \
            process has one, or the kernel holds it.",
    look_at: "the same socket from where every process can be seen: as root of the host, outside of containers.",
    no_help: NOT_ABOUT_THIS,
};

const SENDING: Advice = Advice {
    means: "A half-close in use: the peer has closed its sending side and still receives.",
    look_at: "nothing, if the protocol is meant to work so.",
    no_help: NOT_ABOUT_THIS,
};

const RECEIVING: Advice = Advice {
    means: "A half-close in use: the program has closed its sending side and still receives.",
    look_at: "nothing, if the protocol is meant to work so.",
    no_help: "net.ipv4.tcp_fin_timeout: it counts only once the program has closed the socket.",
};

const PEER_UNCLOSED: Advice = Advice {
    means: "Closed here; the peer has not closed. The kernel ends it after tcp_fin_timeout.",
    look_at: "the peer's program: it is the one that does not close.",
    no_help: "net.ipv4.tcp_tw_reuse: it is about TIME_WAIT.",
};

const ENDED_UNCLOSED: Advice = Advice {
    means: "The connection is over: reset (also by the answer to a keepalive probe in CLOSE_WAIT), timed out, refused, or shut \
            down here and closed by the peer. The program still has its descriptor: close was not called. ss does not list \
            such sockets.",
    look_at: "what the program does at the end of stream, when recv, send or connect fails, and after shutdown: each of \
              them needs a close.",
    no_help: "net.ipv4.tcp_keepalive_* and ss -K: they end connections, and descriptors stay.",
};

const YOUNG: Advice = Advice {
    means: "Not long enough in its state to say, or not surely.",
    look_at: "nothing yet.",
    no_help: NOT_ABOUT_THIS,
};

/// Why one suspect has its verdict, in a sentence without its full stop.
pub fn reason(suspect: &Suspect) -> String {
    let facts = &suspect.facts;
    let since = age(facts.age);
    let mut reason = match suspect.verdict {
        Verdict::Unclosed => format!(
            "the peer closed {since} ago; all up to that was read, nothing was sent {}, and close was not called",
            silence(facts)
        ),
        Verdict::EofUnread => format!("the peer closed {since} ago and nobody has read the end of stream"),
        Verdict::DataUnread => {
            let unread = count(facts.recv_queue.saturating_sub(1), "byte");
            format!("the peer closed {since} ago; {unread} from before that and the end of stream are unread")
        }
        Verdict::NeverAccepted => never_accepted(suspect, &since),
        Verdict::KernelHeld => format!(
            "the peer closed {since} ago; no process has a descriptor and it is in no accept queue: the kernel holds \
             it (SCM_RIGHTS under way, io_uring, a kernel user)"
        ),
        Verdict::HalfClosed if facts.recv_queue > 0 => format!(
            "shut down for sending {since} ago and still held, with {} from the peer unread here: until that is read, the peer \
             may be unable to close",
            count(facts.recv_queue, "byte")
        ),
        Verdict::HalfClosed => {
            format!(
                "shut down for sending {since} ago and still held: it waits for the peer's close without limit"
            )
        }
        Verdict::HolderUnseen => {
            let what =
                if facts.state == State::CloseWait { "the peer closed" } else { "shut down for sending" };
            format!(
                "{what} {since} ago; no process that can be seen from here has a descriptor, another one may"
            )
        }
        Verdict::Sending if facts.send_queue > 0 => {
            format!("a half-close in use: {} not acknowledged yet", count(facts.send_queue, "byte"))
        }
        Verdict::Sending => format!("a half-close in use: data was sent {} ago", ago(facts.since_sent)),
        Verdict::Receiving => {
            format!("a half-close in use: data was received {} ago", ago(facts.since_received))
        }
        Verdict::PeerUnclosed => {
            format!(
                "closed here {since} ago; the peer has not closed; the kernel ends it after tcp_fin_timeout"
            )
        }
        Verdict::EndedUnclosed => format!("the connection ended {since} ago, and close was not called"),
        Verdict::Young => format!("in {} for {since}", facts.state.lower()),
    };
    about_holders(suspect, &mut reason);
    about_peer(suspect, &mut reason);
    reason
}

fn ago(since: Option<u64>) -> String {
    since.map_or_else(|| "?".to_owned(), words::duration)
}

/// Since when nothing was sent, to follow "nothing was sent". In a bracket the data may have been sent before the peer closed or after.
fn silence(facts: &Facts) -> String {
    match facts.since_sent {
        Some(sent) if facts.age.max.is_none_or(|age| sent < age) => format!("for {}", words::duration(sent)),
        _ => "since".to_owned(),
    }
}

fn never_accepted(suspect: &Suspect, since: &str) -> String {
    let queue = suspect.listener.map_or_else(
        || "a listener whose process is not known".to_owned(),
        |listener| {
            let (process, queue, limit) = (listener.process, listener.queue, listener.limit);
            let name = escape::printable(process.comm_bytes());
            let others = match listener.processes.saturating_sub(1) {
                0 => String::new(),
                1 => "; 1 more process holds the listener".to_owned(),
                others => format!("; {others} more processes hold the listener"),
            };
            format!("{name}[{}] ({queue} of {limit}{others})", process.pid)
        },
    );
    format!("the peer closed {since} ago while this waits in the accept queue of {queue}: no accept took it")
}

fn about_holders(suspect: &Suspect, reason: &mut String) {
    let mut pids: Vec<u32> = suspect.holders.iter().map(|holder| holder.process.pid).collect();
    pids.dedup();
    match (pids.len(), suspect.holders.len()) {
        (0 | 1, 0 | 1) => {}
        (1, fds) => {
            _ = write!(*reason, "; {fds} descriptors of one process hold it, and each has to be closed");
        }
        (n, _) => {
            _ = write!(*reason, "; {n} processes hold it, and close in one does not close the socket");
        }
    }
}

fn about_peer(suspect: &Suspect, reason: &mut String) {
    // Data: with the peer's FIN it would not be in FIN_WAIT_2 any more (`tcp_fin`).
    let unread = suspect.verdict == Verdict::HalfClosed && suspect.facts.recv_queue > 0;
    match (suspect.peer, suspect.verdict) {
        (Peer::Gone, verdict) if verdict.is_leak() => {
            *reason += "; the other end is gone for good";
            // Nobody connects to a client's port.
            if suspect.of_server {
                *reason += ", and this 4-tuple is poisoned: a new connection from there meets this socket first and may \
                            time out";
            }
        }
        (Peer::Here(Some(peer)), Verdict::PeerUnclosed | Verdict::HalfClosed) if !unread => {
            let name = escape::printable(peer.comm_bytes());
            _ = write!(*reason, "; {name}[{}] on this host is the one to close", peer.pid);
        }
        _ => {}
    }
}
