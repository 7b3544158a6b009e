//! tcplife's kernel programs.
//!
//! Entry points are in `programs`, what each hook does in `hooks`, reads of kernel memory in `read`, numbers that the agent fills in in
//! `constants`, maps in `maps`. Programs are short on purpose: while one runs, what interrupts it loses its own event for the same
//! program (`recursion_misses`), but for state changes, which have a spare.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![expect(
    clippy::inline_always,
    reason = "calls cost instructions and stack that a BPF program does not have"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "registers have 64 bits, what they carry has fewer, by the kernel's declarations"
)]
#![expect(clippy::cast_ptr_alignment, reason = "the members of an iterator's context are aligned")]

mod constants;
mod hooks;
mod maps;
mod mini;
mod programs;
mod read;
mod record;

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The host build exists for the linters only.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
