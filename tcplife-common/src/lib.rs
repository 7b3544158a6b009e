//! The ABI between tcplife's kernel programs and its agent.
//!
//! What comes in: bytes of one ring-buffer record. What goes out: a typed [`wire::Record`], or the reason why the
//! bytes are not one. What always holds: every size and offset is asserted at compile time, decoding never
//! panics, and both sides use the definitions of this crate alone.

#![no_std]
#![forbid(unsafe_code)]

pub mod constants;
pub mod counters;
pub mod layout;
pub mod settings;
pub mod wire;
