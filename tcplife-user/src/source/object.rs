//! The kernel programs' object: built by `cargo xtask bpf`, kept in the repository, embedded here.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use tcplife_common::{constants, layout::Layout, settings::Settings};

static OBJECT: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tcplife.o"));

/// The object with this kernel's offsets, and settings; where the allocator puts it, the ELF reader finds it aligned.
///
/// # Errors
/// It cannot be read, or is not one of this version.
pub fn filled_in(layout: &Layout, settings: &Settings) -> Result<Vec<u8>> {
    let mut object = bytes()?.into_owned();
    let filled = constants::fill_in(&mut object, layout, settings);
    ensure!(
        filled.is_some_and(|filled| filled > 0),
        "the BPF object has no place for this kernel's offsets, or for others; it is another version's"
    );
    Ok(object)
}

/// The object as it was built. A debug build takes another one from the file that `TCPLIFE_BPF_OBJECT` names, so that
/// tests can run on a fresh one.
fn bytes() -> Result<Cow<'static, [u8]>> {
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os("TCPLIFE_BPF_OBJECT") {
        use anyhow::Context as _;
        let bytes = std::fs::read(&path)
            .with_context(|| format!("cannot read the BPF object {} (TCPLIFE_BPF_OBJECT)", path.display()))?;
        return Ok(Cow::Owned(bytes));
    }
    Ok(Cow::Borrowed(OBJECT))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever it lies, and in whatever instruction.
    fn stand_ins(object: &[u8]) -> usize {
        let words = object.windows(4).filter_map(|word| Some(u32::from_le_bytes(word.try_into().ok()?)));
        words.filter(|word| (constants::LAYOUT..constants::END).contains(word)).count()
    }

    #[test]
    fn each_stand_in_is_filled_in() {
        assert!(stand_ins(OBJECT) > 100);
        let object = filled_in(&Layout::UNKNOWN, &Settings::ALL).unwrap();
        assert_eq!(stand_ins(&object), 0);
    }
}
