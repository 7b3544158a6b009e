//! Links in the documents to other files of the repository.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Documents that there must be.
const DOCUMENTS: [&str; 3] = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"];

/// Fails when a document links to a file that is not there.
pub(super) fn check() -> Result<()> {
    let root = workspace::root()?;
    let mut documents: Vec<_> = DOCUMENTS.iter().map(|name| root.join(name)).collect();
    if root.join("docs").is_dir() {
        let more = workspace::files_below(&root.join("docs"))?;
        documents.extend(more.into_iter().filter(|file| file.extension().is_some_and(|end| end == "md")));
    }
    let mut wrong = Vec::new();
    for document in documents {
        let text =
            fs::read_to_string(&document).with_context(|| format!("reading {}", document.display()))?;
        let dir = document.parent().unwrap_or(Path::new("."));
        for target in targets(&text) {
            if !dir.join(target).exists() {
                wrong.push(format!("{} links to {target}", document.display()));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("links to nothing:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

/// The files that a document links to, or shows as pictures.
fn targets(text: &str) -> Vec<&str> {
    let marks = [("](", ')'), ("src=\"", '"'), ("href=\"", '"')];
    let mut found = Vec::new();
    for (open, close) in marks {
        for (at, _) in text.match_indices(open) {
            let rest = &text[at + open.len()..];
            let end = rest.find(close).unwrap_or(rest.len());
            let target = rest[..end].split(['#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                found.push(target);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_are_targets() {
        let text =
            "[a](docs/a.md#x) [b](https://example.org/b) [c](#c) ![d](d.svg \"d\") <img src=\"e.png\">";
        assert_eq!(targets(text), ["docs/a.md", "d.svg", "e.png"]);
    }
}
