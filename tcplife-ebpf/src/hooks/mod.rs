//! What each hook does.

pub mod gone;
pub mod reset;
pub mod retransmit;
pub mod state;
