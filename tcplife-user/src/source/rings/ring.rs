//! The reader of one ring buffer of the kernel's (`BPF_MAP_TYPE_RINGBUF`, kernel/bpf/ringbuf.c).
//!
//! aya's reader hands a record out only by taking it, and does not tell one that is being written from none; who brings several
//! ring buffers in order has to look at each one's first record, and has to know that there will be one.

use std::{
    ffi::c_void,
    hint,
    os::fd::BorrowedFd,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use rustix::{
    io,
    mm::{MapFlags, ProtFlags, mmap, munmap},
    param::page_size,
};

use super::merge::{First, Queue};

/// `BPF_RINGBUF_HDR_SZ`, `BPF_RINGBUF_BUSY_BIT` and `BPF_RINGBUF_DISCARD_BIT`, include/uapi/linux/bpf.h.
const HEADER: usize = 8;
const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
/// The kernel is told what has been read after one part in so many of the ring buffer: who writes would wait each time for the line
/// of memory that says so.
const RELEASES: usize = 16;
/// A record wakes the reader when one part in so many is full, and none does when it is much more.
pub const WAKES: u32 = 4;
/// How many looks a record that is being written is worth: some 50 us.
const PATIENCE: u32 = 1000;

/// A ring buffer, read.
pub struct Ring {
    /// A page: up to where the records have been read.
    consumer: Mapping,
    /// A page: up to where there are records.
    producer: Mapping,
    /// The records. The kernel has them in its memory twice in a row, so that none is cut in two, but each time counts as memory of
    /// this process: so here they are once.
    records: Mapping,
    /// A record that begins at the end and goes on at the begin.
    whole: Vec<u8>,
    /// Where the first record that was not taken begins. Positions grow for ever; the lower bits are the place.
    position: usize,
    /// Where the one after it begins, once it has been looked at.
    next: usize,
    /// What the kernel knows of `position`.
    released: usize,
    /// Where the records ended at the last look.
    end: usize,
}

impl Ring {
    /// The one reader of an unread ring buffer with room for `bytes`: a power of two of at least one page.
    ///
    /// # Errors
    /// It cannot be mapped into memory.
    pub fn over(map: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let page = page_size();
        Ok(Self {
            consumer: Mapping::new(map, 0, page, ProtFlags::READ | ProtFlags::WRITE)?,
            producer: Mapping::new(map, page, page, ProtFlags::READ)?,
            records: Mapping::new(map, 2 * page, bytes, ProtFlags::READ)?,
            whole: Vec::new(),
            position: 0,
            next: 0,
            released: 0,
            end: 0,
        })
    }

    /// Where among the records a position is.
    const fn place(&self, position: usize) -> usize {
        position & (self.records.bytes - 1)
    }

    fn release(&mut self) {
        if self.released != self.position {
            // The kernel may write there from now on.
            self.consumer.number::<AtomicUsize>(0).store(self.position, Ordering::Release);
            self.released = self.position;
        }
    }

    /// The header at `position`, which is aligned to eight bytes, as the size is.
    fn header(&self) -> u32 {
        // The kernel writes it as a whole (`bpf_ringbuf_commit`).
        self.records.number::<AtomicU32>(self.place(self.position)).load(Ordering::Acquire)
    }

    /// The header at `position`, of a record that is written; `None` if it is not. What writes it takes less than a microsecond, unless
    /// something comes in between.
    fn written(&self) -> Option<u32> {
        for _ in 0..PATIENCE {
            let header = self.header();
            if header & BUSY == 0 {
                return Some(header);
            }
            hint::spin_loop();
        }
        None
    }
}

/// What a record takes in the ring buffer.
fn room(header: u32) -> usize {
    (HEADER + (header & !(BUSY | DISCARDED)) as usize).next_multiple_of(8)
}

impl Queue for Ring {
    fn look(&mut self) {
        self.end = self.producer.number::<AtomicUsize>(0).load(Ordering::Acquire);
    }

    fn first(&mut self) -> First<'_> {
        while self.position != self.end {
            let Some(header) = self.written() else { return First::Unfinished };
            self.next = self.position.wrapping_add(room(header));
            if header & DISCARDED == 0 {
                let (begin, length) = (self.place(self.position + HEADER), header as usize);
                let first = length.min(self.records.bytes - begin);
                if first == length {
                    return First::Record(self.records.slice(begin, length));
                }
                self.whole.clear();
                self.whole.extend_from_slice(self.records.slice(begin, first));
                self.whole.extend_from_slice(self.records.slice(0, length - first));
                return First::Record(&self.whole);
            }
            self.position = self.next;
        }
        First::Nothing
    }

    fn take(&mut self) {
        self.position = self.next;
        if self.position.wrapping_sub(self.released) >= self.records.bytes / RELEASES {
            self.release();
        }
    }

    fn leave(&mut self) -> bool {
        self.release();
        self.look();
        self.end.wrapping_sub(self.position) >= self.records.bytes / WAKES as usize
    }
}

/// Memory shared with the kernel.
struct Mapping {
    begin: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(fd: BorrowedFd<'_>, from: usize, bytes: usize, access: ProtFlags) -> io::Result<Self> {
        // SAFETY: at a place that the kernel chooses, so nobody has anything there.
        let begin = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, fd, from as u64) }?;
        Ok(Self { begin: NonNull::new(begin).ok_or(io::Errno::NOMEM)?, bytes })
    }

    /// A number at a place that is aligned for it. A position is an `unsigned long` at the begin of its page.
    fn number<T: Number>(&self, place: usize) -> &T {
        assert!(place + size_of::<T>() <= self.bytes && place.is_multiple_of(align_of::<T>()));
        // SAFETY: within the mapping, which lives as long as `self`, and aligned; any bytes are a number.
        unsafe { self.begin.byte_add(place).cast().as_ref() }
    }

    /// Bytes that the kernel does not write to as long as they are borrowed: of records that are written and not released.
    fn slice(&self, place: usize, length: usize) -> &[u8] {
        assert!(place + length <= self.bytes);
        // SAFETY: within the mapping, which lives as long as `self`.
        unsafe { slice::from_raw_parts(self.begin.byte_add(place).cast().as_ptr(), length) }
    }
}

/// What the kernel and this process write to as a whole.
trait Number {}
impl Number for AtomicU32 {}
impl Number for AtomicUsize {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this length; no reference into it outlives `self`.
        if let Err(error) = unsafe { munmap(self.begin.as_ptr(), self.bytes) } {
            log::debug!("a ring buffer stays mapped: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    /// A ring buffer of one page, as the kernel would write it.
    struct Kernel {
        memory: OwnedFd,
        produced: usize,
    }

    impl Kernel {
        fn new() -> (Self, Ring) {
            let memory = memfd_create("ring", MemfdFlags::CLOEXEC).unwrap();
            ftruncate(&memory, 3 * page_size() as u64).unwrap();
            let ring = Ring::over(memory.as_fd(), page_size()).unwrap();
            (Self { memory, produced: 0 }, ring)
        }

        fn write(&self, at: usize, bytes: &[u8]) {
            io::pwrite(&self.memory, bytes, at as u64).unwrap();
        }

        fn put(&mut self, flags: u32, bytes: &[u8]) -> usize {
            let (page, begun) = (page_size(), self.produced);
            self.header(begun, flags, bytes);
            for (n, &byte) in bytes.iter().enumerate() {
                self.write(2 * page + (begun + HEADER + n) % page, &[byte]);
            }
            self.produced += room(u32::try_from(bytes.len()).unwrap());
            self.write(page, &self.produced.to_ne_bytes());
            begun
        }

        fn header(&self, begun: usize, flags: u32, bytes: &[u8]) {
            let header = flags | u32::try_from(bytes.len()).unwrap();
            self.write(2 * page_size() + begun % page_size(), &header.to_ne_bytes());
        }

        /// What it knows to have been read.
        fn released(&self) -> usize {
            let mut bytes = [0; size_of::<usize>()];
            io::pread(&self.memory, &mut bytes, 0).unwrap();
            usize::from_ne_bytes(bytes)
        }
    }

    fn first(ring: &mut Ring) -> Option<Vec<u8>> {
        match ring.first() {
            First::Record(record) => Some(record.to_vec()),
            First::Unfinished | First::Nothing => None,
        }
    }

    #[test]
    fn records_come_whole_and_in_order_through_many_turns() {
        let (mut kernel, mut ring) = Kernel::new();
        for n in 0..5000_usize {
            let record: Vec<u8> = (0..n % 300).map(|byte| u8::try_from((n + byte) % 251).unwrap()).collect();
            kernel.put(0, &record);
            ring.look();
            assert_eq!(first(&mut ring).as_ref(), Some(&record), "the {n}th");
            ring.take();
            ring.leave();
            assert_eq!(kernel.released(), kernel.produced);
        }
    }

    #[test]
    fn nothing_comes_before_it_is_looked_for() {
        let (mut kernel, mut ring) = Kernel::new();
        ring.look();
        kernel.put(0, b"one");
        assert!(matches!(ring.first(), First::Nothing));
        ring.look();
        assert_eq!(first(&mut ring).unwrap(), b"one");
        assert_eq!(first(&mut ring).unwrap(), b"one", "until it is taken");
    }

    #[test]
    fn what_is_being_written_is_told_from_nothing_and_what_is_discarded_is_left_out() {
        let (mut kernel, mut ring) = Kernel::new();
        kernel.put(DISCARDED, b"left out");
        let begun = kernel.put(BUSY, b"later");
        kernel.put(0, b"behind it");
        ring.look();
        assert!(matches!(ring.first(), First::Unfinished));
        kernel.header(begun, 0, b"later");
        assert_eq!(first(&mut ring).unwrap(), b"later");
        ring.take();
        assert_eq!(first(&mut ring).unwrap(), b"behind it");
        ring.take();
        assert!(matches!(ring.first(), First::Nothing));
    }

    #[test]
    fn the_kernel_is_told_of_what_was_read_when_it_is_much_or_the_last() {
        let (mut kernel, mut ring) = Kernel::new();
        let records = page_size() / RELEASES / 32 + 1;
        for _ in 0..records {
            kernel.put(0, &[7; 24]);
        }
        ring.look();
        assert!(first(&mut ring).is_some());
        ring.take();
        assert_eq!(kernel.released(), 0);
        for _ in 1..records {
            assert!(first(&mut ring).is_some());
            ring.take();
        }
        assert_eq!(kernel.released(), page_size() / RELEASES);
        assert!(!ring.leave());
        assert_eq!(kernel.released(), kernel.produced);
    }

    #[test]
    fn a_reader_is_told_of_what_would_not_wake_it() {
        let (mut kernel, mut ring) = Kernel::new();
        ring.look();
        for _ in 0..page_size() / WAKES as usize / 32 - 1 {
            kernel.put(0, &[7; 24]);
        }
        assert!(!ring.leave());
        kernel.put(0, &[7; 24]);
        assert!(ring.leave());
    }
}
