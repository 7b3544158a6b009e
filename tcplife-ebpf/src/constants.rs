//! Offsets of kernel members and settings, which the agent writes into the instructions before loading.

use tcplife_common::layout;

/// The offset of a member that the kernel does not have: an immediate is extended by its sign.
pub const ABSENT: u64 = layout::ABSENT as i32 as u64;

/// The number that the agent writes where `N` stands. Never computed here, so that it is one whole instruction.
#[inline(always)]
pub fn constant<const N: u32>() -> u64 {
    #[cfg(target_arch = "bpf")]
    {
        let number: u64;
        // SAFETY: a move into a register.
        unsafe {
            core::arch::asm!("{number} = {stand_in}", number = out(reg) number, stand_in = const N, options(nomem, nostack));
        }
        number
    }
    #[cfg(not(target_arch = "bpf"))]
    u64::from(N)
}

/// The offset of a member, as the agent found it, or [`ABSENT`].
macro_rules! offset {
    ($field:ident) => {
        $crate::constants::constant::<
            {
                let place = core::mem::offset_of!(tcplife_common::layout::Layout, $field);
                tcplife_common::constants::LAYOUT + place as u32 / 4
            },
        >()
    };
}

/// What the user asked for, or what the kernel can; the verifier drops what is off. Of an array: one of its elements.
macro_rules! setting {
    ($field:ident) => {
        setting!($field, 0)
    };
    ($field:ident, $n:literal) => {
        $crate::constants::constant::<
            {
                let place = core::mem::offset_of!(tcplife_common::settings::Settings, $field);
                tcplife_common::constants::SETTINGS + place as u32 / 4 + $n
            },
        >()
    };
}

pub(crate) use {offset, setting};
