//! Memory that the allocator has from the system although nothing is in it (any more).

/// Gives memory back to the system: what a start takes for a moment, the allocator would keep for good.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and touches free memory only (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Keeps memory, for a process that ends soon: what it gave back it would only have to ask for again, page by page.
pub fn keep() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets two numbers of the allocator (mallopt(3)); one that it does not take changes nothing.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}
