//! `tcplife watch`: the live screen.
//!
//! What comes in: a [`crate::config::Config`], keys, the mouse, and frames of data from the engine. What goes out: a
//! screen. What always holds: state ([`app`]), what changes it ([`update`], pure) and how it looks ([`draw`], changes
//! nothing) are apart; input never waits for data nor data for the screen ([`bridge`]); however it ends, the terminal
//! is left as it was ([`terminal`]).
//!
//! A new view is a variant of [`app::Tab`], its state in [`app::App`], its lines in [`lines`], its keys in [`keys`], what they
//! do in [`update`], and one file in [`draw`]; the data it needs goes into [`frame::Frame`], made by [`views`] when it is open.

mod app;
mod bridge;
mod copy;
mod cost;
mod cursor;
mod draw;
mod frame;
mod input;
mod keys;
mod layout;
mod lines;
mod log;
mod meaning;
mod pane;
mod rates;
mod run;
mod settings;
mod still;
mod terminal;
mod text;
mod theme;
mod update;
mod views;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod frame_cost;
#[cfg(test)]
mod line_tests;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod update_tests;
#[cfg(test)]
mod view_tests;

pub use run::run;
