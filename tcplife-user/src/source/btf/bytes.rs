//! The bytes of a file of sysfs: mapped where sysfs lets it be (Linux 6.16: btf_sysfs_vmlinux_mmap), else copied, for which
//! sysfs wants a system call for each page.

use std::{
    ffi::c_void,
    fs::{self, File},
    io,
    num::NonZeroUsize,
    ops::Deref,
    ptr::{self, NonNull},
    slice,
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes that are there as long as it is.
pub(super) enum Bytes {
    /// The kernel's own.
    Mapped(Mapping),
    /// A copy.
    Copied(Vec<u8>),
}

impl Bytes {
    /// Of a file.
    pub(super) fn of(path: &str) -> io::Result<Self> {
        match Mapping::of(path) {
            Ok(mapping) => Ok(Self::Mapped(mapping)),
            Err(_) => fs::read(path).map(Self::Copied),
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: mapped for reading, with this length, until it is dropped; nobody can write the kernel's types.
            Self::Mapped(mapping) => unsafe {
                slice::from_raw_parts(mapping.begin.cast().as_ptr(), mapping.length.get())
            },
            Self::Copied(bytes) => bytes,
        }
    }
}

/// Pages of a file that nobody can write.
pub(super) struct Mapping {
    begin: NonNull<c_void>,
    length: NonZeroUsize,
}

impl Mapping {
    fn of(path: &str) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let length = NonZeroUsize::new(length).ok_or(io::ErrorKind::UnexpectedEof)?;
        // SAFETY: a new mapping, wherever the kernel likes.
        let begin =
            unsafe { mmap(ptr::null_mut(), length.get(), ProtFlags::READ, MapFlags::PRIVATE, &file, 0)? };
        let begin = NonNull::new(begin).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { begin, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing borrows any more. It fails for no mapping of ours.
        let _ = unsafe { munmap(self.begin.as_ptr(), self.length.get()) };
    }
}
