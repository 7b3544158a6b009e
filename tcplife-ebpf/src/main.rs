//! tcplife's kernel programs.

fn main() {}
