//! What the tests that cross crates share: a network namespace for each test, real applications in it, tcplife
//! watching it, and the comparison of what tcplife said with what the applications did.
//!
//! Environment:
//!
//! * `TCPLIFE_BIN` - the `tcplife` to test; else the one that Cargo builds beside the test.
//! * `TCPLIFE_TEST_ACTOR` - the program `tcplife-test-actor`; else the one beside the test.
//! * `TCPLIFE_TEST_HOOKS` - the only hooks on kernel functions that the tested tcplife may use (`--hooks`).
//! * `TCPLIFE_TEST_SLOW` - a number by which every deadline and tolerance is multiplied (an emulated machine).
//! * `TCPLIFE_TEST_VM` - set in a virtual machine whose kernel runs every BPF program that it should.

#![forbid(unsafe_code)]

pub mod actor;
pub mod binary;
pub mod clock;
pub mod corpus;
pub mod deadline;
pub mod feed;
pub mod kernel_objects;
pub mod kernel_table;
pub mod lab;
pub mod namespace;
pub mod pair;
pub mod record;
pub mod suspect;
pub mod tracer;
pub mod verdict;

pub use binary::{actor_binary, tcplife_binary};
