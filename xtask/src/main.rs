//! tcplife's developer commands.

#![forbid(unsafe_code)]

fn main() {}
