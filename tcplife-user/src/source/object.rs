//! The kernel programs' object: built by `cargo xtask bpf`, kept in the repository, embedded here.

use std::borrow::Cow;

use anyhow::Result;

#[repr(C, align(8))]
struct Aligned<T: ?Sized>(T);

/// The ELF reader wants the object at an aligned address.
static OBJECT: &Aligned<[u8]> =
    &Aligned(*include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/bpf/tcplife.o")));

/// The object's bytes. A debug build takes another object from the file that `TCPLIFE_BPF_OBJECT` names, so that
/// tests can run on a fresh one.
///
/// # Errors
/// That file cannot be read.
pub fn bytes() -> Result<Cow<'static, [u8]>> {
    #[cfg(debug_assertions)]
    if let Some(path) = std::env::var_os("TCPLIFE_BPF_OBJECT") {
        use anyhow::Context as _;
        let bytes = std::fs::read(&path)
            .with_context(|| format!("cannot read the BPF object {} (TCPLIFE_BPF_OBJECT)", path.display()))?;
        return Ok(Cow::Owned(bytes));
    }
    Ok(Cow::Borrowed(&OBJECT.0))
}
