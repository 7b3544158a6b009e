//! What the kernel shows of one network namespace at one moment.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    net::IpAddr,
};

use anyhow::Result;
use tcplife_core::ports::TIME_WAIT;

use super::{FACTS, Where};
use crate::{
    source::namespaces::{self, Netns},
    threads,
};

/// Files with counters of the namespace.
const COUNTERS: [&str; 2] = ["netstat", "snmp"];
// The kernel's numbers, include/net/tcp_states.h, as /proc/net/tcp prints them.
const FIN_WAIT_2: &str = "05";
const IN_TIME_WAIT: &str = "06";
const CLOSE_WAIT: &str = "08";
const LISTEN: &str = "0A";
/// `timer_active` of a socket whose `sk_timer`, the keepalive timer, runs (`get_tcp4_sock`, net/ipv4/tcp_ipv4.c).
const KEEPALIVE_TIMER: &str = "02";

/// Values, counters and sockets of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Its inode.
    pub netns: u32,
    sysctls: HashMap<&'static str, String>,
    counters: HashMap<String, u64>,
    /// In CLOSE_WAIT: all, and those whose keepalive timer runs.
    pub close_wait: (u64, u64),
    /// The port that somebody listens at with the most other sockets on it, and how many.
    pub busiest_listener: Option<(u16, u64)>,
}

impl Reading {
    /// Of a namespace.
    ///
    /// # Errors
    /// It cannot be entered, or is gone.
    pub fn take(netns: &Netns) -> Result<Self> {
        // The network namespace is a thread's, so nobody else's changes.
        Ok(threads::apart(|| netns.enter().map(|()| Self::read(netns.inode)))??)
    }

    /// Of the namespace that this process is in.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn here() -> io::Result<Self> {
        Netns::own().map(|netns| Self::read(netns.inode))
    }

    /// Of each namespace that can be entered: first that which this process is in, then at most so many others.
    pub fn of_each(others: usize) -> Vec<Self> {
        let own = Self::here().ok();
        let inode = own.as_ref().map(|own| own.netns);
        let others = namespaces::all().into_iter().filter(|netns| Some(netns.inode) != inode).take(others);
        own.into_iter().chain(others.filter_map(|netns| Self::take(&netns).ok())).collect()
    }

    fn read(netns: u32) -> Self {
        let file =
            |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap_or_default();
        let paths = FACTS.iter().filter_map(|fact| match fact.place {
            Where::Sysctl(path) => Some(path),
            Where::Fixed(_) | Where::Socket | Where::Gone => None,
        });
        let more = [
            "netfilter/nf_conntrack_count",
            "ipv4/tcp_keepalive_intvl",
            "ipv4/tcp_keepalive_probes",
            "ipv4/tcp_tw_reuse_delay",
        ];
        let value =
            |path: &'static str| Some((path, fs::read_to_string(format!("/proc/sys/net/{path}")).ok()?));
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let sysctls = paths.chain(more).filter_map(value).map(|(path, text)| (path, words(&text))).collect();
        let counters = COUNTERS.map(file);
        let sockets = file("tcp") + &file("tcp6");
        Self::of(netns, sysctls, &counters.each_ref().map(String::as_str), &file("sockstat"), &sockets)
    }

    /// From the texts of the files.
    pub fn of(
        netns: u32,
        sysctls: HashMap<&'static str, String>,
        counters: &[&str],
        sockstat: &str,
        sockets: &str,
    ) -> Self {
        let mut reading = Self { netns, sysctls, ..Self::default() };
        for text in counters {
            reading.take_counters(text);
        }
        for (name, words) in sockstat.lines().filter_map(|line| line.split_once(": ")) {
            let words: Vec<&str> = words.split_whitespace().collect();
            for pair in words.chunks_exact(2) {
                reading.counters.insert(format!("sockstat.{name}.{}", pair[0]), pair[1].parse().unwrap_or(0));
            }
        }
        reading.take_sockets(sockets);
        reading
    }

    /// Pairs of lines: names, then values.
    fn take_counters(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks_exact(2) {
            let mut names = pair[0].split_whitespace();
            let group = names.next().unwrap_or_default().trim_end_matches(':');
            for (name, value) in names.zip(pair[1].split_whitespace().skip(1)) {
                self.counters.insert(format!("{group}.{name}"), value.parse().unwrap_or(0));
            }
        }
    }

    /// Lines of /proc/net/tcp: number, local end, remote end, state, queues, timer.
    fn take_sockets(&mut self, text: &str) {
        let mut ports: BTreeMap<&str, (bool, u64)> = BTreeMap::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().take(10).collect();
            let &[_, local, _, state, _, timer, _, _, _, inode] = words.as_slice() else { continue };
            let Some((_, port)) = local.rsplit_once(':') else { continue };
            let on_port = ports.entry(port).or_default();
            match state {
                LISTEN => on_port.0 = true,
                _ => on_port.1 += 1,
            }
            if state == CLOSE_WAIT {
                self.close_wait.0 += 1;
                self.close_wait.1 += u64::from(timer.starts_with(KEEPALIVE_TIMER));
            }
            let counter = match state {
                IN_TIME_WAIT => "sockets.time_wait",
                // Of a full socket or a mini-socket, which sockstat's orphans leave out.
                FIN_WAIT_2 if inode == "0" => "sockets.fin_wait_2_orphans",
                _ => continue,
            };
            *self.counters.entry(counter.to_owned()).or_default() += 1;
        }
        let listened = ports.into_iter().filter(|(_, (listens, others))| *listens && *others > 0);
        self.busiest_listener = listened
            .max_by_key(|(_, (_, others))| *others)
            .and_then(|(port, (_, others))| Some((u16::from_str_radix(port, 16).ok()?, others)));
    }

    /// A value under `/proc/sys/net/`, words apart by one blank.
    pub fn sysctl(&self, path: &str) -> Option<&str> {
        self.sysctls.get(path).map(String::as_str)
    }

    /// Its first number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.sysctl(path)?.split_whitespace().next()?.parse().ok()
    }

    /// A counter of the kernel, such as `TcpExt.ListenOverflows`; 0 where there is none.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// Local ports that the kernel gives to connections: the range without those reserved
    /// (`inet_get_local_port_range`, `inet_is_local_reserved_port`).
    pub fn local_ports(&self) -> Option<usize> {
        let mut range = self.sysctl("ipv4/ip_local_port_range")?.split_whitespace();
        let (low, high): (usize, usize) = (range.next()?.parse().ok()?, range.next()?.parse().ok()?);
        let reserved = self.sysctl("ipv4/ip_local_reserved_ports").unwrap_or_default();
        let taken = reserved.split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            Some((last.min(high) + 1).saturating_sub(first.max(low)))
        });
        Some((high + 1).saturating_sub(low).saturating_sub(taken.sum()))
    }

    /// For how long TIME_WAIT keeps a port from a new connection between these addresses, nanoseconds (`tcp_twsk_unique`; before 6.14
    /// the delay is a second).
    pub fn time_wait_keeps(&self, source: IpAddr, destination: IpAddr) -> u64 {
        let is_reused = match self.number("ipv4/tcp_tw_reuse") {
            Some(1) => true,
            Some(2) => source.is_loopback() || destination.is_loopback(),
            _ => false,
        };
        if !is_reused || self.number("ipv4/tcp_timestamps") == Some(0) {
            return TIME_WAIT;
        }
        self.number("ipv4/tcp_tw_reuse_delay").unwrap_or(1_000).saturating_mul(1_000_000).min(TIME_WAIT)
    }

    #[cfg(test)]
    pub(super) fn into_sysctls(self) -> HashMap<&'static str, String> {
        self.sysctls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_are_not_given_away() {
        let with = |reserved: &str| {
            let values =
                [("ipv4/ip_local_port_range", "32768 60999"), ("ipv4/ip_local_reserved_ports", reserved)];
            let sysctls = values.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
            Reading::of(1, sysctls, &[], "", "").local_ports()
        };
        assert_eq!(with(""), Some(28_232));
        assert_eq!(with("40000"), Some(28_231));
        assert_eq!(with("8080,40000-40009,60990-65535"), Some(28_232 - 10 - 10));
        assert_eq!(Reading::default().local_ports(), None);
    }

    #[test]
    fn time_wait_keeps_a_port_as_the_settings_say() {
        let (near, far) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let keeps = |values: &[(&'static str, &str)]| {
            let sysctls = values.iter().map(|&(name, value)| (name, value.to_owned())).collect();
            let reading = Reading::of(1, sysctls, &[], "", "");
            [near, far].map(|end| reading.time_wait_keeps(end, end) / 1_000_000)
        };
        let reuse = |value| ("ipv4/tcp_tw_reuse", value);
        assert_eq!(keeps(&[]), [60_000, 60_000]);
        assert_eq!(keeps(&[reuse("0")]), [60_000, 60_000]);
        assert_eq!(keeps(&[reuse("1")]), [1_000, 1_000]);
        assert_eq!(keeps(&[reuse("2")]), [1_000, 60_000]);
        assert_eq!(keeps(&[reuse("1"), ("ipv4/tcp_timestamps", "0")]), [60_000, 60_000]);
        assert_eq!(keeps(&[reuse("2"), ("ipv4/tcp_tw_reuse_delay", "30000")]), [30_000, 60_000]);
    }

    #[test]
    fn this_namespace_can_be_read_from_another_thread() {
        let own = Netns::own().unwrap();
        let (there, here) = (Reading::take(&own).unwrap(), Reading::here().unwrap());
        assert_eq!(there.sysctl("ipv4/tcp_fin_timeout"), here.sysctl("ipv4/tcp_fin_timeout"));
        assert!(here.local_ports().is_some_and(|ports| ports > 0));
        assert!(here.counters.contains_key("TcpExt.ListenOverflows"), "{:?}", here.counters.keys());
    }
}
