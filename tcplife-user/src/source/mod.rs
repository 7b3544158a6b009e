//! The live kernel as a source of records.
//!
//! What comes in: settings and filters. What goes out: records, as bytes, in order, and counts of what was lost. What
//! always holds: the hooks are attached by descriptors that this process owns, so its end, however it comes,
//! detaches them; nothing is pinned.

mod attach;
mod btf;
pub mod diag;
pub mod dump;
mod hooks;
mod iterators;
mod kernel;
mod layout;
mod live;
pub mod namespaces;
pub mod netns_of_socket;
mod object;
mod ports;
pub mod preflight;
pub mod pulse;
mod recursion;

pub use hooks::Allowed;
pub use iterators::Iterators;
pub use live::{Live, Options};
