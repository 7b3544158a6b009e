//! `tcplife`: a live tracer of TCP connection lifecycles.

fn main() {}
