//! The corpus: small real programs that leak sockets, and their twins that do not. What goes in: the files of
//! `tests/corpus/`. What comes out: what was to be reported of each and what `tcplife leaks` reported, precision and
//! recall. What always holds: each case has its own network namespaces, and no process outlives its case.

mod case;
mod names;
mod programs;
mod scene;
mod table;

use std::{
    collections::VecDeque,
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, ensure};

use case::Case;
use table::{Row, Table};

/// Cases at a time: they mostly wait.
const AT_A_TIME: usize = 8;

/// Runs the cases whose names contain one of `filters`, or all of them, and prints the table. The last line is that of
/// Rust's own test harness.
pub fn run(filters: &[String]) -> ExitCode {
    match run_cases(filters) {
        Ok(table) => {
            print!("{table}");
            if table.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            println!("corpus FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_cases(filters: &[String]) -> Result<Table> {
    let folder = folder()?;
    let mut cases = case::all(&folder.join("cases"))?;
    ensure!(!cases.is_empty(), "there are no cases in {}", folder.display());
    let all = cases.len();
    cases.retain(|case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter)));
    let left_out = all - cases.len();
    let queue = Mutex::new(VecDeque::from(cases));
    let rows = Mutex::new(Vec::new());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(case) = next() {
                    let done = play(&case, &folder);
                    rows.lock().unwrap_or_else(PoisonError::into_inner).extend(done);
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Table { rows, left_out })
}

/// Where the corpus is: below the package, which Cargo names.
fn folder() -> Result<PathBuf> {
    let package =
        env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set: run this by Cargo")?;
    Ok(PathBuf::from(package).join("corpus"))
}

/// Plays a case with the fault and without.
fn play(case: &Case, folder: &Path) -> Vec<Row> {
    let rows = case.variants.iter().map(|(word, variant)| {
        let name = if *word == "twin" { format!("{}, twin", case.name) } else { case.name.clone() };
        let played = scene::play(&name, variant, &folder.join("programs"));
        Row { name, variant: variant.clone(), played }
    });
    rows.collect()
}
