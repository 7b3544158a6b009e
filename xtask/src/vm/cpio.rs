//! The archive that a kernel unpacks as its first file system: cpio in the format "newc" (the kernel's
//! `Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::Path,
};

/// Bits of a mode that say what a thing is.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const DEVICE: u32 = 0o020_000;

/// An archive that is being written.
pub(super) struct Archive {
    to: BufWriter<File>,
    entries: u32,
}

impl Archive {
    /// Begins an archive.
    pub(super) fn create(file: &Path) -> io::Result<Self> {
        Ok(Self { to: BufWriter::new(File::create(file)?), entries: 0 })
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, name: &str) -> io::Result<()> {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file.
    pub(super) fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(name, FILE | mode, (0, 0), content)
    }

    /// Adds a character device.
    pub(super) fn device(&mut self, name: &str, numbers: (u32, u32)) -> io::Result<()> {
        self.entry(name, DEVICE | 0o600, numbers, &[])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.to.flush()
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) -> io::Result<()> {
        self.entries += 1;
        let header = header(self.entries, mode, device, content.len(), name.len())?;
        self.to.write_all(header.as_bytes())?;
        self.to.write_all(name.as_bytes())?;
        self.to.write_all(&[0])?;
        self.to.write_all(padding(header.len() + name.len() + 1))?;
        self.to.write_all(content)?;
        self.to.write_all(padding(content.len()))
    }
}

/// Magic number, then inode, mode, owner, group, links, time, size, numbers of the file system, numbers of the device, length of the name with
/// its final 0, and a checksum that this format does not use; all as eight hexadecimal digits.
fn header(inode: u32, mode: u32, device: (u32, u32), size: usize, name: usize) -> io::Result<String> {
    let size = u32::try_from(size).map_err(io::Error::other)?;
    let name = u32::try_from(name + 1).map_err(io::Error::other)?;
    let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name, 0];
    let digits: Vec<String> = fields.iter().map(|field| format!("{field:08x}")).collect();
    Ok(format!("070701{}", digits.concat()))
}

/// The zeros that make a length a multiple of four.
fn padding(length: usize) -> &'static [u8] {
    &[0; 3][..length.next_multiple_of(4) - length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_110_bytes() {
        let header = header(1, 0o100_644, (5, 1), 12, 4).unwrap();
        assert_eq!(header.len(), 110);
        assert!(header.starts_with("07070100000001000081a4"));
        assert_eq!(&header[54..62], "0000000c");
        assert_eq!(&header[94..102], "00000005");
    }

    #[test]
    fn padding_goes_to_a_multiple_of_four() {
        assert_eq!([0, 1, 2, 3, 4].map(|length| padding(length).len()), [0, 3, 2, 1, 0]);
    }
}
