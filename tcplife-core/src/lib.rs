//! The pure model of TCP connection lifecycles.
//!
//! What comes in: decoded kernel records ([`tcplife_common::wire::Record`]) and the time. What goes out: changes, in
//! order, to an [`observer::Observer`], and pages of the current state ([`view`]). What always holds: no I/O, no
//! clock; the same records give the same result however they are batched; every connection is in the table
//! at most once, and `opened = live + closed + evicted`.

#![forbid(unsafe_code)]

pub mod by_two;
pub mod connection;
mod end_cause;
mod ends;
pub mod filter;
pub mod histogram;
mod history;
pub mod numbers;
pub mod observer;
pub mod owner;
pub mod ports;
pub mod state;
pub mod suspect;
pub mod table;
pub mod timeline;
pub mod view;
