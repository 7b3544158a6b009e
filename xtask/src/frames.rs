//! `cargo xtask frames`: what a frame of the live screen costs, by the number of connections.

use anyhow::Result;

use crate::{process, workspace};

/// Prints the table that a test of the agent measures, built as it is released.
pub(crate) fn run() -> Result<()> {
    let args = ["test", "--release", "--locked", "--package", "tcplife", "--bin", "tcplife", "--"];
    let test = ["--ignored", "--nocapture", "--exact", "tui::frame_cost::frames"];
    process::run(process::cargo().current_dir(workspace::root()?).args(args).args(test))
}
