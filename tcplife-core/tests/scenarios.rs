//! Runs every file of `tests/scenarios`: input lines are records, indented lines are what the table has to tell.
//!
//! A new case is a new file, no Rust. With `TCPLIFE_BLESS=1` the expected lines are written anew, to be read before
//! they are committed. The line format is described in `tests/scenarios/README.md`.

#![forbid(unsafe_code)]

mod support;

use std::{fs, path::Path};

/// The file as it would be if everything in it were right.
fn replay(text: &str) -> Result<String, String> {
    let mut stage = support::Stage::default();
    let mut out = String::new();
    for (n, line) in text.lines().enumerate() {
        let kept = line.is_empty() || line.starts_with('#');
        if line.starts_with(' ') {
            continue;
        }
        out.push_str(line);
        out.push('\n');
        if !kept {
            let told = stage.play(line).map_err(|error| format!("line {}: {error}: {line}", n + 1))?;
            for line in told {
                out.push_str("    ");
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    Ok(out)
}

#[test]
fn scenarios_are_told_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let bless = std::env::var_os("TCPLIFE_BLESS").is_some();
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ext| ext != "txt") {
            continue;
        }
        count += 1;
        let expected = fs::read_to_string(&path).unwrap();
        match replay(&expected) {
            Ok(told) if told == expected => {}
            Ok(told) if bless => fs::write(&path, told).unwrap(),
            Ok(told) => wrong.push(format!("{}\n{}", path.display(), support::difference(&expected, &told))),
            Err(error) => wrong.push(format!("{}: {error}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(count >= 30, "only {count} scenarios were found");
}
