//! Tracers in turns, each right after a run without one.

use anyhow::Result;

use super::tool::Tool;

/// What the rounds of each tracer came to, or why it was left out after one that failed. A run without a tracer must not fail.
pub(super) fn in_turns<W, C: Default>(
    tools: &[Tool],
    rounds: u32,
    mut without: impl FnMut() -> Result<W>,
    with: impl Fn(&Tool, W, &mut C) -> Result<()>,
) -> Result<Vec<Result<C, String>>> {
    let mut all: Vec<Result<C, String>> = tools.iter().map(|_| Ok(C::default())).collect();
    for _ in 0..rounds {
        for (tool, outcome) in tools.iter().zip(&mut all) {
            let Ok(costs) = outcome else { continue };
            if let Err(error) = with(tool, without()?, costs) {
                // It goes into a table.
                *outcome = Err(format!("{error:#}").replace('|', "/"));
            }
        }
    }
    Ok(all)
}
