//! What no file of the repository may have: paths of the machine it was written on, marks of a merge, and too many
//! lines.

use std::{env, fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// The most lines of a source file; a longer one is split where its idea splits.
const MOST_LINES: usize = 400;
/// Directories that any machine has; a path below one of them says nothing of this machine.
const COMMON: [&str; 8] = ["/", "/tmp", "/home", "/usr", "/usr/src", "/opt", "/srv", "/var"];

/// Fails when a tracked file has what it may not.
pub(super) fn check() -> Result<()> {
    let root = workspace::root()?;
    let paths = paths_of_this_machine(&root);
    let listed = process::output(process::git()?.args(["ls-files", "-z"]))?;
    let mut wrong = Vec::new();
    for name in listed.split_terminator('\0') {
        let file = root.join(name);
        if !file.is_file() {
            continue; // Removed, and not yet committed.
        }
        let bytes = fs::read(&file).with_context(|| format!("reading {name}"))?;
        // A machine's path in the kernel object is as bad as one in a text.
        let text = String::from_utf8_lossy(&bytes);
        let is_rust = file.extension().is_some_and(|end| end == "rs");
        wrong.extend(faults(&text, is_rust, &paths).into_iter().map(|fault| format!("{name}{fault}")));
    }
    if !wrong.is_empty() {
        bail!("files with what they may not have:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// The checkout, the directory around it, and the home directory.
fn paths_of_this_machine(root: &Path) -> Vec<String> {
    let home = env::home_dir();
    let dirs = [Some(root), root.parent(), home.as_deref()];
    let named = dirs.into_iter().flatten().map(|dir| dir.to_string_lossy().into_owned());
    named.filter(|dir| !COMMON.contains(&dir.as_str())).map(|dir| format!("{dir}/")).collect()
}

/// What is wrong with a file, with where it is.
fn faults(text: &str, is_rust: bool, paths: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let lines = text.lines().count();
    if is_rust && lines > MOST_LINES {
        found.push(format!(": {lines} lines, {MOST_LINES} at most"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if let Some(path) = paths.iter().find(|path| line.contains(path.as_str())) {
            found.push(format!(":{number}: a path of this machine: {path}"));
        }
        let marks = ["<".repeat(7), ">".repeat(7)];
        if marks.iter().any(|mark| line.starts_with(mark.as_str())) {
            found.push(format!(":{number}: a mark of a merge"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_found_with_their_lines() {
        let paths = ["/somewhere/".to_owned()];
        assert!(faults("fine\n", true, &paths).is_empty());
        assert_eq!(faults("a\nsee /somewhere/b\n", false, &paths).len(), 1);
        assert!(faults(&format!("{} HEAD\n", "<".repeat(7)), false, &paths)[0].starts_with(":1:"));
        let long = "x\n".repeat(MOST_LINES + 1);
        assert_eq!(faults(&long, true, &paths).len(), 1);
        assert!(faults(&long, false, &paths).is_empty());
    }

    #[test]
    fn a_common_directory_is_no_path_of_a_machine() {
        let found = paths_of_this_machine(Path::new("/tmp/checkout"));
        assert!(found.contains(&"/tmp/checkout/".to_owned()));
        assert!(!found.contains(&"/tmp/".to_owned()));
    }
}
