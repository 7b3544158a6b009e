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

/// `BPF_MOV | BPF_K` of 64 and 32 bits (include/uapi/linux/bpf.h).
const MOVES: [u8; 2] = [0xb7, 0xb4];

/// Bytes of an instruction: opcode, registers, offset (2), immediate (4).
const INSTRUCTION: usize = 8;

/// Replaces the stand-ins in an object. Returns how many there were.
pub fn fill_in(object: &mut [u8], layout: &Layout, settings: &Settings) -> usize {
    let (layout, settings) = (layout.to_words(), settings.to_words());
    let mut filled = 0;
    for instruction in object.chunks_exact_mut(INSTRUCTION) {
        let &mut [opcode, registers, 0, 0, a, b, c, d] = instruction else { continue };
        if !MOVES.contains(&opcode) || registers > 0x0a {
            continue;
        }
        let stand_in = u32::from_ne_bytes([a, b, c, d]);
        let value = match (stand_in.checked_sub(SETTINGS), stand_in.checked_sub(LAYOUT)) {
            (Some(number), _) => settings.get(number as usize),
            (None, Some(number)) => layout.get(number as usize),
            (None, None) => None,
        };
        if let Some(value) = value {
            instruction[4..].copy_from_slice(&value.to_ne_bytes());
            filled += 1;
        }
    }
    filled
}
