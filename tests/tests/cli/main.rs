//! The command line, as a user or a script meets it: help, wrong usage, rights, signals, closed outputs.
//!
//! Everything here runs the built `tcplife`. Tests that trace need root, and fail without.

#![forbid(unsafe_code)]

mod ending;
mod help;
mod netns;
mod output;
mod readme;
mod rights;
mod run;
mod stays;
mod timens;
mod usage;
mod workers;
