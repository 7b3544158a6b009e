//! Numbers that the agent writes into the kernel programs' instructions before they are loaded: offsets of kernel members, and
//! settings. A program that reads them from memory waits for that memory, and the verifier for each of these reads.
//!
//! What comes in: the object as it was built, in which each such number has a stand-in. What goes out: the same with the
//! numbers. What always holds: nothing but the immediate of a move of a stand-in is changed.

use crate::{layout::Layout, settings::Settings};

/// The stand-in of the first member of [`Layout`]; of the others those that follow. Positive numbers that nothing else is likely to be.
pub const LAYOUT: u32 = 0x7c1f_e000;
/// The stand-in of the first member of [`Settings`]; each word has one.
pub const SETTINGS: u32 = LAYOUT + 0x400;

/// Stand-ins are below this.
pub const END: u32 = SETTINGS + 0x400;

/// `BPF_ALU64 | BPF_MOV | BPF_K` (include/uapi/linux/bpf.h): the immediate is extended by its sign.
const MOVE: u8 = 0xb7;

/// Bytes of an instruction: opcode, registers, offset (2), immediate (4).
const INSTRUCTION: usize = 8;

/// Replaces the stand-ins in an object. Returns how many there were; `None` if the object has one of a member that is not
/// known here, and so is another version's.
pub fn fill_in(object: &mut [u8], layout: &Layout, settings: &Settings) -> Option<usize> {
    let (layout, settings) = (layout.to_words(), settings.to_words());
    let mut filled = 0;
    for instruction in object.chunks_exact_mut(INSTRUCTION) {
        let &mut [MOVE, _, 0, 0, a, b, c, d] = instruction else { continue };
        let value = match u32::from_ne_bytes([a, b, c, d]) {
            stand_in @ LAYOUT..SETTINGS => layout.get((stand_in - LAYOUT) as usize)?,
            stand_in @ SETTINGS..END => settings.get((stand_in - SETTINGS) as usize)?,
            _ => continue,
        };
        instruction[4..].copy_from_slice(&value.to_ne_bytes());
        filled += 1;
    }
    Some(filled)
}
