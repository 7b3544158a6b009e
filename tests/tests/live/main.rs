//! tcplife on the running kernel: real applications in a network namespace of their own do what makes TCP connections
//! begin and end, and what tcplife prints is compared with what they did.
//!
//! Needs root. Runs as `cargo test -p tcplife-tests --test live`, or as a file anywhere if `TCPLIFE_BIN` and
//! `TCPLIFE_TEST_ACTOR` say where the other two programs are.

#![forbid(unsafe_code)]

/// Makes a test for IPv4 and one for IPv6 of each function that takes a family.
macro_rules! on_both_families {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn ipv4() -> anyhow::Result<()> {
                super::$name(tcplife_tests::namespace::Family::V4)
            }

            #[test]
            fn ipv6() -> anyhow::Result<()> {
                super::$name(tcplife_tests::namespace::Family::V6)
            }
        }
    )*};
}

/// The same of each function that tests what is not to be seen each time, until it has seen it.
macro_rules! until_seen_on_both_families {
    ($($name:ident)*) => {$(
        mod $name {
            #[test]
            fn ipv4() -> anyhow::Result<()> {
                tcplife_tests::lab::until_seen(|| super::$name(tcplife_tests::namespace::Family::V4))
            }

            #[test]
            fn ipv6() -> anyhow::Result<()> {
                tcplife_tests::lab::until_seen(|| super::$name(tcplife_tests::namespace::Family::V6))
            }
        }
    )*};
}

mod adopt;
mod agent;
mod ages;
mod chaos;
mod churn;
mod close;
mod common;
mod drops;
mod ended;
mod evidence;
mod filter;
mod kinds;
mod leaks;
mod mini;
mod owner;
mod owners;
mod reset;
mod resync;
mod time;
mod time_wait;
mod unseen;
