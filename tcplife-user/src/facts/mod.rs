//! The settings that advice on TCP states names: what each really does, and whether it matters now.
//!
//! What comes in: a network namespace. What goes out: each setting's value beside the kernel's default, and a live count
//! or a counter of the kernel that says whether it matters. What always holds: nothing is changed; what cannot be read
//! is not shown; each fact names the kernel function or the document it rests on. One table ([`known`]) serves
//! `tcplife doctor` and the screen.

mod known;
mod reading;

pub use known::FACTS;
pub use reading::Reading;

/// Where a setting's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Where {
    /// Under `/proc/sys/net/`.
    Sysctl(&'static str),
    /// Nowhere: it is the same on every Linux.
    Fixed(&'static str),
    /// In each socket, by `setsockopt`.
    Socket,
    /// Gone from the kernel.
    Gone,
}

/// Whether a setting matters now, and what says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// It does.
    pub matters: bool,
    /// The live count or the kernel's counter.
    pub says: String,
}

/// What is known of a setting.
#[derive(Debug)]
pub struct Fact {
    /// Its name, as advice has it.
    pub name: &'static str,
    /// Where its value is.
    pub place: Where,
    /// What the kernel has when nobody sets it.
    pub default: &'static str,
    /// What it really does, and what it does not.
    pub does: &'static str,
    /// The kernel function or the document that this rests on.
    pub rests_on: &'static str,
    /// Whether it matters in a namespace at this moment.
    pub now: fn(&Reading) -> Now,
}

/// A setting as it is in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its value; `None` where there is none to be read.
    pub value: Option<String>,
    /// Whether the value is another than the kernel's own; `None` if that cannot be told.
    pub is_changed: Option<bool>,
    /// Whether it matters now.
    pub now: Now,
}

impl Fact {
    /// What the setting is in a namespace; `None` if this kernel has no such setting there.
    pub fn setting(&self, reading: &Reading) -> Option<Setting> {
        let value = match self.place {
            Where::Sysctl(path) => Some(reading.sysctl(path)?.to_owned()),
            Where::Fixed(value) => Some(value.to_owned()),
            Where::Socket | Where::Gone => None,
        };
        // Others are words about a number that depends on the host.
        let is_value = self.default.is_empty() || self.default.starts_with(|c: char| c.is_ascii_digit());
        let is_sysctl = matches!(self.place, Where::Sysctl(_));
        let is_changed = value.as_ref().filter(|_| is_value && is_sysctl).map(|value| value != self.default);
        Some(Setting { value, is_changed, now: (self.now)(reading) })
    }
}

#[cfg(test)]
mod tests {
    use super::{known::named, *};

    /// A host with trouble of every kind.
    fn troubled() -> Reading {
        let sysctls = [
            ("ipv4/tcp_fin_timeout", "60"),
            ("ipv4/tcp_tw_reuse", "2"),
            ("ipv4/tcp_max_tw_buckets", "5000"),
            ("ipv4/ip_local_port_range", "32768 60999"),
            ("ipv4/tcp_max_orphans", "4096"),
            ("core/somaxconn", "128"),
            ("ipv4/ip_local_reserved_ports", "8080,9090"),
        ];
        Reading::of(
            1,
            sysctls.into_iter().map(|(name, value)| (name, value.to_owned())).collect(),
            &[
                "TcpExt: ListenOverflows TCPTimeWaitOverflow TWRecycled\nTcpExt: 12 7 5\n",
                "Tcp: CurrEstab OutRsts\nTcp: 4 9\n",
            ],
            "sockets: used 9\nTCP: inuse 4 orphan 4000 tw 4990 alloc 7 mem 1\n",
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n   \
             0: 0100007F:1F90 0100007F:9C40 08 00000000:00000001 02:00000000 0 0 0 70\n   \
             1: 0100007F:1F90 0100007F:9C41 08 00000000:00000001 00:00000000 0 0 0 71\n   \
             2: 0100007F:1F90 0100007F:9C42 06 00000000:00000000 03:00000000 0 0 0 0\n   \
             4: 0100007F:9C43 0100007F:9C44 05 00000000:00000000 03:00000000 0 0 0 0\n   \
             5: 0100007F:9C44 0100007F:9C43 05 00000000:00000000 00:00000000 0 0 0 75\n   \
             3: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 0 0 0 74\n",
        )
    }

    fn of(name: &str, reading: &Reading) -> Setting {
        named(name).setting(reading).unwrap()
    }

    #[test]
    fn live_counts_decide_whether_a_setting_matters() {
        let reading = troubled();
        let says = |name: &str| of(name, &reading).now;
        assert_eq!(
            says("tcp_max_tw_buckets"),
            Now { matters: true, says: "4990 now, 7 overflows".to_owned() }
        );
        assert_eq!(
            says("tcp_max_orphans"),
            Now { matters: true, says: "4000 orphans on this host now, without mini-sockets".to_owned() }
        );
        assert_eq!(
            says("tcp_fin_timeout"),
            Now { matters: true, says: "1 orphan in FIN_WAIT_2 now".to_owned() }
        );
        let somaxconn = says("somaxconn");
        assert!(somaxconn.matters && somaxconn.says.starts_with("12 times"), "{somaxconn:?}");
        let keepalive = named("tcp_keepalive_time");
        assert_eq!((keepalive.now)(&reading).says, "1 of 2 in CLOSE_WAIT have the timer running");
        let reuse = (named("SO_REUSEADDR").now)(&reading);
        assert_eq!(
            reuse,
            Now { matters: true, says: "3 sockets on port 8080, which has a listener".to_owned() }
        );
    }

    #[test]
    fn on_a_quiet_host_nothing_matters() {
        let quiet =
            Reading::of(1, troubled().into_sysctls(), &["TcpExt: ListenOverflows\nTcpExt: 0\n"], "", "");
        for fact in FACTS {
            let matters = (fact.now)(&quiet).matters;
            assert!(!matters, "{}: {:?}", fact.name, (fact.now)(&quiet));
        }
    }

    #[test]
    fn a_value_of_ones_own_is_told_from_the_kernels() {
        let reading = troubled();
        assert_eq!(of("tcp_fin_timeout", &reading).is_changed, Some(false));
        assert_eq!(of("somaxconn", &reading).is_changed, Some(true));
        assert_eq!(
            of("ip_local_reserved_ports", &reading).is_changed,
            Some(true),
            "there are none by default"
        );
        assert_eq!(of("TIME_WAIT", &reading).is_changed, None);
        assert_eq!(named("tcp_syncookies").setting(&reading), None, "not in this kernel");
    }

    #[test]
    fn every_fact_says_what_it_rests_on_and_has_a_name_of_its_own() {
        for (n, fact) in FACTS.iter().enumerate() {
            assert!(!fact.rests_on.is_empty() && fact.does.ends_with('.'), "{}", fact.name);
            assert!(FACTS[..n].iter().all(|other| other.name != fact.name), "{}", fact.name);
        }
    }

    #[test]
    fn this_kernel_has_most_of_them() {
        let reading = Reading::here().unwrap();
        let there = FACTS.iter().filter(|fact| fact.setting(&reading).is_some()).count();
        assert!(there + 5 >= FACTS.len(), "{there} of {}", FACTS.len());
    }
}
