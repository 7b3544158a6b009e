//! The agent of the floor: loads one program, reads its ring buffer on a timer and does nothing with what is in it.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use aya::{
    Btf, Ebpf,
    maps::{PerCpuArray, RingBuf},
    programs::BtfTracePoint,
};

/// The ring buffer is read this often; the programs never wake us.
const PERIOD: Duration = Duration::from_millis(10);
/// What is printed when the program is attached.
pub(super) const READY: &str = "attached";

/// Traces until standard input ends; then says how many state changes there were and how many records were lost.
pub(super) fn trace(object: &Path, program: &str) -> Result<()> {
    let object = fs::read(object).with_context(|| format!("reading {}", object.display()))?;
    let mut programs = Ebpf::load(&object)?;
    let loaded: &mut BtfTracePoint = programs.program_mut(program).context("no such program")?.try_into()?;
    loaded.load("inet_sock_set_state", &Btf::from_sys_fs()?)?;
    loaded.attach()?;
    let mut ring = RingBuf::try_from(programs.take_map("EVENTS").context("no ring buffer")?)?;
    let counts: PerCpuArray<_, u64> =
        PerCpuArray::try_from(programs.take_map("COUNTS").context("no counters")?)?;
    eprintln!("{READY}");
    let end = thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    while !end.is_finished() {
        while ring.next().is_some() {}
        thread::sleep(PERIOD);
    }
    let count = |index: u32| -> Result<u64> { Ok(counts.get(&index, 0)?.iter().sum()) };
    println!("{{\"hits\":{},\"lost\":{}}}", count(0)?, count(1)?);
    Ok(())
}
