//! What each hook does.

pub mod accept;
pub mod dump;
pub mod gone;
pub mod minisock;
pub mod request;
pub mod reset;
pub mod retransmit;
pub mod state;
pub mod touch;
