//! Memory that the allocator has from the system although nothing is in it (any more).

#[cfg(target_env = "gnu")]
use std::hint;

/// Gives memory back to the system: what a start takes for a moment, the allocator would keep for good.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer and touches free memory only (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What a short run has room for at once, in bytes; what is not filled takes no memory, though limits of address space count it.
#[cfg(target_env = "gnu")]
const ROOM: i32 = 64 << 20;

/// What the allocator leaves room for by itself (mallopt(3)).
#[cfg(target_env = "gnu")]
const USUAL_ROOM: i32 = 128 << 10;

/// Keeps memory, for a process that ends soon: what it gave back it would only have to ask for again, page by page. And asks for
/// large pages, where the system has them for those who ask: a new page takes about as long as what is written to it. Threads that
/// begin afterwards have no heaps of their own, which would be without them.
pub fn keep() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets numbers of the allocator (mallopt(3)), one that it does not take changes nothing; then what it has got from the
    // system is made of other pages, with what is in them (madvise(2), `MADV_HUGEPAGE`).
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, ROOM);
        let begin = libc::sbrk(0);
        // More than there is: the heap grows.
        libc::free(hint::black_box(libc::malloc(1 << 20)));
        // And is not to grow as much again.
        libc::mallopt(libc::M_TOP_PAD, USUAL_ROOM);
        let grown = (libc::sbrk(0) as usize).saturating_sub(begin as usize);
        libc::madvise(begin, grown, libc::MADV_HUGEPAGE);
    }
}
