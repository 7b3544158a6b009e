//! `tcplife leaks` over the corpus of real programs in `tests/corpus/`: the table of what was expected and reported,
//! precision and recall. Without Rust's harness, because the cases mostly wait and so run many at a time.
//!
//! Needs root and the programs' languages. Arguments are parts of names of cases; options are Rust's harness's own.

#![forbid(unsafe_code)]

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let filters: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    tcplife_tests::corpus::run(&filters)
}
