//! The kernel programs' object: built by `cargo xtask bpf`, kept in the repository, embedded here.

use std::borrow::Cow;

use anyhow::{Result, ensure};
use tcplife_common::{constants, layout::Layout, settings::Settings};

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

/// The ELF reader wants the object at an aligned address.
static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tcplife.o")));

/// The object with this kernel's offsets, and settings.
///
/// # Errors
/// It cannot be read, or is not one of this version.
pub fn filled_in(layout: &Layout, settings: &Settings) -> Result<Vec<u8>> {
    let mut object = bytes()?.into_owned();
    let filled = constants::fill_in(&mut object, layout, settings);
    ensure!(filled > 0, "the BPF object has no place for this kernel's offsets; it is another version's");
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
    Ok(Cow::Borrowed(&OBJECT.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stand_in_is_filled_in() {
        let mut object = filled_in(&Layout::UNKNOWN, &Settings::ALL).unwrap();
        assert_eq!(constants::fill_in(&mut object, &Layout::UNKNOWN, &Settings::ALL), 0);
    }
}
