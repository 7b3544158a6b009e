//! The table of facts.

use super::{Fact, Now, Reading, Where};
use crate::advice::words;

fn now(matters: bool, says: String) -> Now {
    Now { matters, says }
}

fn never(says: &str) -> Now {
    now(false, says.to_owned())
}

/// A count of something that matters when it is not 0.
fn counted(count: u64, what: &str, since: &str) -> Now {
    now(count > 0, format!("{} {since}", words::count(count, what)))
}

/// The fact of a name.
#[cfg(test)]
pub fn named(name: &str) -> &'static Fact {
    // The first one stands for a name that nobody gave; a test keeps that from happening.
    FACTS.iter().find(|fact| fact.name == name).unwrap_or(&FACTS[0])
}

/// Every setting that advice on TCP states names.
pub const FACTS: &[Fact] = &[
    Fact {
        name: "tcp_fin_timeout",
        place: Where::Sysctl("ipv4/tcp_fin_timeout"),
        default: "60",
        does: "Seconds that an orphan (closed by its application) stays in FIN_WAIT_2. It does not shorten \
               TIME_WAIT, and does nothing to sockets that a process still holds.",
        rests_on: "tcp_fin_time, tcp_rcv_state_process, __tcp_close (net/ipv4/tcp.c)",
        now: |reading| counted(reading.counter("sockets.fin_wait_2_orphans"), "orphan", "in FIN_WAIT_2 now"),
    },
    Fact {
        name: "TIME_WAIT",
        place: Where::Fixed("60 s"),
        default: "60 s",
        does: "Fixed in the kernel (TCP_TIMEWAIT_LEN); the timer wheel makes it up to 62 s at 250 Hz, 64 at 1000. No setting shortens \
               it. It costs some 200 bytes and a port to one destination, no CPU.",
        rests_on: "TCP_TIMEWAIT_LEN (include/net/tcp.h), tcp_time_wait, calc_wheel_index (kernel/time/timer.c)",
        now: |reading| {
            let (count, ports) = (reading.counter("sockets.time_wait"), reading.local_ports().unwrap_or(0));
            now(count > 0 && count >= ports as u64 / 4, format!("{count} in TIME_WAIT now"))
        },
    },
    Fact {
        name: "tcp_tw_reuse",
        place: Where::Sysctl("ipv4/tcp_tw_reuse"),
        default: "2",
        does: "Lets a new outgoing connection take the port of one in TIME_WAIT, with timestamps, a second after \
               its last segment: 1 everywhere, 2 on loopback only. It does nothing for incoming connections.",
        rests_on: "tcp_twsk_unique (net/ipv4/tcp_ipv4.c)",
        now: |reading| {
            let reused = reading.counter("TcpExt.TWRecycled");
            now(reused > 0, format!("{reused} reused since boot"))
        },
    },
    Fact {
        name: "tcp_tw_recycle",
        place: Where::Gone,
        default: "gone",
        does: "Gone since Linux 4.12. It dropped SYNs of clients that share an address behind NAT; advice to set \
               it is out of date.",
        rests_on: "commit 4396e46187ca (tcp: remove tcp_tw_recycle)",
        now: |_| never("not in this kernel"),
    },
    Fact {
        name: "tcp_max_tw_buckets",
        place: Where::Sysctl("ipv4/tcp_max_tw_buckets"),
        default: "half of the hash table's buckets",
        does: "Connections in TIME_WAIT at most, with orphans in FIN_WAIT_2. Beyond it they end at once: \
               old segments may then reach a new connection, and the peer's last FIN is answered by a reset.",
        rests_on: "inet_twsk_alloc, tcp_time_wait (LINUX_MIB_TCPTIMEWAITOVERFLOW)",
        now: |reading| {
            let (count, overflows) =
                (reading.counter("sockstat.TCP.tw"), reading.counter("TcpExt.TCPTimeWaitOverflow"));
            let limit = reading.number("ipv4/tcp_max_tw_buckets").unwrap_or(u64::MAX);
            now(overflows > 0 || count >= limit / 2, format!("{count} now, {overflows} overflows"))
        },
    },
    Fact {
        name: "ip_local_port_range",
        place: Where::Sysctl("ipv4/ip_local_port_range"),
        default: "32768 60999",
        does: "Ports for outgoing connections, without ip_local_reserved_ports. They are enough for that many \
               connections to each destination address and port, not for that many on the host.",
        rests_on: "__inet_hash_connect (net/ipv4/inet_hashtables.c)",
        now: |reading| {
            let ports = reading.local_ports().unwrap_or(0);
            let waiting = reading.counter("sockets.time_wait");
            now(waiting >= ports as u64 / 2 && waiting > 0, format!("{ports} ports for each destination"))
        },
    },
    Fact {
        name: "ip_local_reserved_ports",
        place: Where::Sysctl("ipv4/ip_local_reserved_ports"),
        default: "",
        does: "Ports of the range that the kernel gives to nobody who does not ask for them: for servers that \
               listen inside of the range.",
        rests_on: "inet_is_local_reserved_port (include/net/ip.h)",
        now: |reading| match reading.sysctl("ipv4/ip_local_reserved_ports") {
            None | Some("") => never("none reserved"),
            Some(ports) => never(&format!("reserved: {ports}")),
        },
    },
    Fact {
        name: "tcp_keepalive_time",
        place: Where::Sysctl("ipv4/tcp_keepalive_time"),
        default: "7200",
        does: "Idle seconds before the first probe, then tcp_keepalive_probes of them tcp_keepalive_intvl apart: \
               only on sockets with SO_KEEPALIVE. A peer that waits for the close answers, and CLOSE_WAIT stays; one \
               that has forgotten the connection resets it, and the application's descriptor stays.",
        rests_on: "tcp_keepalive_timer (net/ipv4/tcp_timer.c), tcp_reset (net/ipv4/tcp_input.c)",
        now: |reading| {
            let (all, with_timer) = reading.close_wait;
            now(with_timer > 0, format!("{with_timer} of {all} in CLOSE_WAIT have the timer running"))
        },
    },
    Fact {
        name: "tcp_orphan_retries",
        place: Where::Sysctl("ipv4/tcp_orphan_retries"),
        default: "0",
        does: "How often the FIN of an orphan (FIN_WAIT_1, CLOSING, LAST_ACK) is sent again before it is given \
               up; 0 means 8. It does nothing to FIN_WAIT_2 or TIME_WAIT.",
        rests_on: "tcp_orphan_retries, tcp_write_timeout (net/ipv4/tcp_timer.c)",
        now: |reading| counted(reading.counter("sockstat.TCP.orphan"), "such orphan", "on this host now"),
    },
    Fact {
        name: "tcp_max_orphans",
        place: Where::Sysctl("ipv4/tcp_max_orphans"),
        default: "half of the hash table's buckets",
        does: "Orphans of the whole host at most; beyond it they are reset (\"too many orphaned sockets\"). \
               Mini-sockets (TIME_WAIT, most in FIN_WAIT_2) are not counted.",
        rests_on: "tcp_check_oom, tcp_too_many_orphans (net/ipv4/tcp.c)",
        now: |reading| {
            let (count, limit) = (
                reading.counter("sockstat.TCP.orphan"),
                reading.number("ipv4/tcp_max_orphans").unwrap_or(u64::MAX),
            );
            now(
                count > 0 && count >= limit / 2,
                format!("{} on this host now, without mini-sockets", words::count(count, "orphan")),
            )
        },
    },
    Fact {
        name: "tcp_syncookies",
        place: Where::Sysctl("ipv4/tcp_syncookies"),
        default: "1",
        does: "Answers SYNs without keeping them when a listener's queue is full (1) or always (2). Such a \
               connection has no SYN_RECEIVED in the kernel.",
        rests_on: "tcp_conn_request, inet_csk_reqsk_queue_is_full",
        now: |reading| {
            let (sent, dropped) =
                (reading.counter("TcpExt.SyncookiesSent"), reading.counter("TcpExt.TCPReqQFullDrop"));
            now(sent + dropped > 0, format!("{sent} cookies sent, {dropped} SYNs dropped since boot"))
        },
    },
    Fact {
        name: "tcp_max_syn_backlog",
        place: Where::Sysctl("ipv4/tcp_max_syn_backlog"),
        default: "by memory, 128 at least",
        does: "Handshakes (SYN_RECEIVED) kept for a listener while tcp_syncookies is 0. With cookies the listen \
               backlog is the limit.",
        rests_on: "tcp_conn_request (net/ipv4/tcp_input.c)",
        now: |reading| counted(reading.counter("TcpExt.TCPReqQFullDrop"), "SYN", "dropped since boot"),
    },
    Fact {
        name: "somaxconn",
        place: Where::Sysctl("core/somaxconn"),
        default: "4096",
        does: "The most that listen(2) can ask for as a backlog. A full accept queue drops the handshake's last \
               ACK: the client is ESTABLISHED, the server is not. A slow accept is the cause, not the limit.",
        rests_on: "__sys_listen, tcp_v4_syn_recv_sock (LINUX_MIB_LISTENOVERFLOWS)",
        now: |reading| {
            counted(reading.counter("TcpExt.ListenOverflows"), "time", "an accept queue was full since boot")
        },
    },
    Fact {
        name: "tcp_rfc1337",
        place: Where::Sysctl("ipv4/tcp_rfc1337"),
        default: "0",
        does: "With 1 a reset does not end TIME_WAIT. It makes TIME_WAIT longer for those, never shorter.",
        rests_on: "tcp_timewait_state_process (net/ipv4/tcp_minisocks.c), RFC 1337",
        now: |reading| match reading.sysctl("ipv4/tcp_rfc1337") {
            Some("0") | None => never("a reset ends TIME_WAIT"),
            Some(_) => never("a reset does not end TIME_WAIT"),
        },
    },
    Fact {
        name: "tcp_timestamps",
        place: Where::Sysctl("ipv4/tcp_timestamps"),
        default: "1",
        does: "Without them tcp_tw_reuse does nothing, and a SYN takes over a TIME_WAIT only with a higher \
               sequence number.",
        rests_on: "tcp_twsk_unique, tcp_timewait_state_process",
        now: |reading| {
            let off = reading.sysctl("ipv4/tcp_timestamps") == Some("0");
            now(off, if off { "off: no reuse of TIME_WAIT" } else { "on" }.to_owned())
        },
    },
    Fact {
        name: "SO_LINGER 0",
        place: Where::Socket,
        default: "off",
        does: "close() sends a reset instead of a FIN: no FIN_WAIT and no TIME_WAIT, and what was not delivered \
               yet is lost. The peer sees \"connection reset\".",
        rests_on: "__tcp_close and tcp_rcv_state_process (LINUX_MIB_TCPABORTONDATA)",
        now: |reading| {
            let (lingered, unread) =
                (reading.counter("TcpExt.TCPAbortOnData"), reading.counter("TcpExt.TCPAbortOnClose"));
            now(
                lingered + unread > 0,
                format!(
                    "resets since boot: {lingered} by it or for data after a close, {unread} for data unread at the close"
                ),
            )
        },
    },
    Fact {
        name: "SO_REUSEADDR",
        place: Where::Socket,
        default: "off",
        does: "Lets a server bind its port while connections of its predecessor are in TIME_WAIT or any other \
               state. Without it the restart fails with \"address already in use\".",
        rests_on: "inet_csk_get_port, inet_bind_conflict (net/ipv4/inet_connection_sock.c)",
        now: |reading| match reading.busiest_listener {
            None => never("no listener has other sockets on its port"),
            Some((port, count)) => {
                now(true, format!("{} on port {port}, which has a listener", words::count(count, "socket")))
            }
        },
    },
    Fact {
        name: "nf_conntrack_tcp_timeout_time_wait",
        place: Where::Sysctl("netfilter/nf_conntrack_tcp_timeout_time_wait"),
        default: "120",
        does: "How long the firewall remembers a connection that it saw closing. It is no socket: a shorter \
               time frees its table, and no port and no TIME_WAIT of the host.",
        rests_on: "tcp_timeouts (net/netfilter/nf_conntrack_proto_tcp.c)",
        now: tracked,
    },
    Fact {
        name: "nf_conntrack_tcp_timeout_close_wait",
        place: Where::Sysctl("netfilter/nf_conntrack_tcp_timeout_close_wait"),
        default: "60",
        does: "How long the firewall remembers a half-closed connection. When it forgets, the socket stays in \
               CLOSE_WAIT all the same.",
        rests_on: "tcp_timeouts (net/netfilter/nf_conntrack_proto_tcp.c)",
        now: tracked,
    },
];

fn tracked(reading: &Reading) -> Now {
    let count = reading.number("netfilter/nf_conntrack_count").unwrap_or(0);
    now(false, format!("{} tracked here", words::count(count, "connection")))
}
