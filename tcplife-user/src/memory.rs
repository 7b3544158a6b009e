//! Memory that the allocator keeps although nothing is in it any more.

/// Gives memory back to the system: reading the kernel's types takes some 25 MiB for a moment, and the allocator would keep
/// most of that for good.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and touches free memory only (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
