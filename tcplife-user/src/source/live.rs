//! Loading, attaching, reading.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, MapData, PerCpuArray, RingBuf},
    programs::Program,
};
use aya_log::EbpfLogger;
use tcplife_common::{
    counters::{Counters, LANES},
    layout::{ABSENT, Layout},
    settings::Settings,
};
use tcplife_core::suspect::Sight;

use super::{
    attach,
    btf::{KernelTypes, Wanted},
    dump::{self, Dumper, Listing, StateMask},
    hooks::{self, Allowed},
    kernel::Kernel,
    namespaces::Netns,
    object, ports,
    recursion::{Misses, SPARE},
};
use crate::health::{Hook, HookKind};

/// What the kernel side is loaded with.
pub struct Options<'a> {
    /// Filters; what depends on the kernel is filled in when the programs are loaded.
    pub settings: Settings,
    /// Which local ports are wanted, when `settings.by_local_port` says so.
    pub local_ports: &'a dyn Fn(u16) -> bool,
    /// Which remote ports are wanted, when `settings.by_remote_port` says so.
    pub remote_ports: &'a dyn Fn(u16) -> bool,
    /// Bytes of the ring buffer: a power of two of at least one page.
    pub ring_bytes: u32,
    /// Which mechanisms may be used on kernel functions.
    pub allowed: Allowed,
    /// Somebody asks what becomes of mini-sockets.
    pub follows_minis: bool,
    /// Every network namespace is open to this process.
    pub all_namespaces: bool,
    /// Whose descriptors this process can see.
    pub sight: Sight,
    /// Kernel-side log lines are on.
    pub verbose: bool,
}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct CountersPod(Counters);

// SAFETY: nothing but u64 in a row, `repr(C)`, valid for any bytes.
unsafe impl Pod for CountersPod {}

/// What takes records in, as they lie in the ring buffer.
pub type Intake<'a> = dyn FnMut(&[u8]) + 'a;

/// Records taken in one go while something else is under way.
const BATCH: usize = 1 << 13;

/// The attached programs. Dropping it detaches them.
pub struct Live {
    ring: RingBuf<MapData>,
    counters: PerCpuArray<MapData, CountersPod>,
    hooks: Vec<Hook>,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
    dumper: Result<Dumper>,
    programs: Option<Ebpf>,
    /// Kept from before the programs went.
    misses: Misses,
}

impl Live {
    /// Loads and attaches the kernel programs.
    ///
    /// # Errors
    /// A required program cannot be loaded or attached: the sentence names it and the kernel's reason.
    pub fn start(options: &Options<'_>) -> Result<Self> {
        let Kernel { types, layout, btf, loader } = Kernel::look(hooks::wanted().chain(dump::wanted()))?;
        let mut programs =
            load(&types, &layout, loader, options.settings, options.ring_bytes, options.verbose)?;
        fill_ports(&mut programs, "LOCAL_PORTS", options.settings.by_local_port, options.local_ports)?;
        fill_ports(&mut programs, "REMOTE_PORTS", options.settings.by_remote_port, options.remote_ports)?;
        let dumper = Dumper::load(&mut programs, &btf);
        let mut hooks = attach::attach_all(&mut programs, &types, &btf, options)?;
        hooks.push(mini_hook(&layout));
        hooks.push(match &dumper {
            Ok(_) => dump::hook(options.all_namespaces, options.sight),
            Err(error) => Hook::off(HookKind::Dump, format!("{error:#}")),
        });
        let log = options
            .verbose
            .then(|| EbpfLogger::init(&mut programs))
            .transpose()
            .context("cannot open the kernel side's log")?;
        Ok(Self {
            ring: RingBuf::try_from(take(&mut programs, "EVENTS")?)?,
            counters: PerCpuArray::try_from(take(&mut programs, "COUNTERS")?)?,
            hooks,
            log,
            dumper,
            programs: Some(programs),
            misses: Misses::default(),
        })
    }

    /// What is attached, and what is not.
    pub fn hooks(&self) -> &[Hook] {
        &self.hooks
    }

    /// Hands up to `limit` waiting records to `each`; returns how many there were.
    pub fn drain(&mut self, limit: usize, each: impl FnMut(&[u8])) -> usize {
        drain(&mut self.ring, limit, each)
    }

    /// Whether this kernel's sockets can be listed.
    pub const fn can_dump(&self) -> bool {
        self.dumper.is_ok()
    }

    /// Appends sockets that processes hold, in every namespace; see [`Dumper::held`]. Records that come meanwhile go to
    /// `each`.
    ///
    /// # Errors
    /// This kernel has no such iterator, or it cannot be read.
    pub fn dump_held(
        &mut self,
        states: StateMask,
        listing: &mut Listing<'_>,
        each: &mut Intake<'_>,
    ) -> Result<()> {
        let (dumper, programs, ring) = self.dumper()?;
        dumper.held(programs, states, listing, &mut || {
            drain(ring, BATCH, &mut *each);
        })
    }

    /// Appends sockets of namespaces; see [`Dumper::sockets`]. Records that come meanwhile go to `each`.
    ///
    /// # Errors
    /// This kernel has no such iterator, or it cannot be read.
    pub fn dump_sockets(
        &mut self,
        states: StateMask,
        netns: &[Netns],
        listing: &mut Listing<'_>,
        each: &mut Intake<'_>,
    ) -> Result<Vec<u32>> {
        let (dumper, programs, ring) = self.dumper()?;
        dumper.sockets(programs, states, netns, listing, &mut || {
            drain(ring, BATCH, &mut *each);
        })
    }

    fn dumper(&mut self) -> Result<(&mut Dumper, &mut Ebpf, &mut RingBuf<MapData>)> {
        let dumper = self.dumper.as_mut().map_err(|error| anyhow!("{error:#}"))?;
        Ok((dumper, self.programs.as_mut().context("the hooks are detached")?, &mut self.ring))
    }

    /// Prints the kernel side's log lines that are waiting.
    pub fn print_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }

    /// The counts of all programs and CPUs.
    ///
    /// # Errors
    /// The kernel refuses to read the map.
    pub fn counters(&self) -> Result<Counters> {
        let mut sum = Counters::default();
        for lane in 0..LANES {
            let cpus = self.counters.get(&lane, 0).context("cannot read the kernel side's counters")?;
            sum = cpus.iter().fold(sum, |sum, cpu| sum.plus(cpu.0));
        }
        Ok(sum)
    }

    /// Events lost because the program was running already on that CPU. May be high by those under way.
    pub fn recursion_losses(&self, counters: &Counters) -> u64 {
        self.programs.as_ref().map_or(self.misses, Misses::read).losses(counters)
    }

    /// Whether the programs are attached.
    pub const fn is_attached(&self) -> bool {
        self.programs.is_some()
    }

    /// Detaches everything; records that are in the ring buffer can still be drained.
    pub fn detach(&mut self) {
        let Some(mut programs) = self.programs.take() else { return };
        self.misses = Misses::read(&programs);
        // The spare first: alone it would take every change, and each would count as one that the other program missed.
        if let Some(Program::BtfTracePoint(spare)) = programs.program_mut(SPARE)
            && let Err(error) = spare.unload()
        {
            log::debug!("{SPARE} goes with all others: {error}");
        }
    }
}

impl AsFd for Live {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// Hands up to `limit` waiting records to `each`; returns how many there were.
fn drain(ring: &mut RingBuf<MapData>, limit: usize, mut each: impl FnMut(&[u8])) -> usize {
    let mut taken = 0;
    while taken < limit {
        let Some(bytes) = ring.next() else { break };
        each(&bytes);
        taken += 1;
    }
    taken
}

/// `bpf_get_socket_cookie` for tracing programs came with this function.
const COOKIE_HELPER: &str = "bpf_get_socket_ptr_cookie";
const TASK_HELPER: &str = "bpf_get_current_task_btf";
const FILE_HELPER: &str = "bpf_sock_from_file";
/// The tracepoint that got an argument, for an error.
const RETRANSMIT: &str = "tcp_retransmit_skb";

/// The types that are asked for.
pub(super) fn wanted() -> impl Iterator<Item = Wanted> {
    let helpers = [COOKIE_HELPER, TASK_HELPER, FILE_HELPER].into_iter().map(Wanted::Function);
    helpers.chain([Wanted::Tracepoint(RETRANSMIT)])
}

/// Loads the object, as it is to be on this kernel: with `settings`, of which those that depend on the kernel are filled in here.
pub(super) fn load(
    types: &KernelTypes,
    layout: &Layout,
    loader: EbpfLoader<'static>,
    settings: Settings,
    ring_bytes: u32,
    verbose: bool,
) -> Result<Ebpf> {
    let settings = Settings {
        has_cookie_helper: u32::from(types.has_function(COOKIE_HELPER)),
        has_task_helper: u32::from(types.has_function(TASK_HELPER)),
        has_file_helper: u32::from(types.has_function(FILE_HELPER)),
        retransmit_has_err: u32::from(types.tracepoint_arguments(RETRANSMIT) == Some(3)),
        wakeup_bytes: ring_bytes / 4,
        ..settings
    };
    let log_level: u8 = if verbose { u8::MAX } else { 0 };
    let mut loader: EbpfLoader<'_> = loader;
    loader
        .override_global(aya_log::LEVEL, &log_level, true)
        .map_max_entries("EVENTS", ring_bytes)
        .load(&object::filled_in(layout, &settings)?)
        .context("the kernel does not take the BPF object")
}

fn take(programs: &mut Ebpf, map: &str) -> Result<aya::maps::Map> {
    programs.take_map(map).ok_or_else(|| anyhow!("the BPF object has no map {map}"))
}

fn fill_ports(programs: &mut Ebpf, map: &str, used: u32, wanted: &dyn Fn(u16) -> bool) -> Result<()> {
    if used == 0 {
        return Ok(());
    }
    // Borrowed, not taken: the programs that use it are loaded later.
    let borrowed = programs.map_mut(map).ok_or_else(|| anyhow!("the BPF object has no map {map}"))?;
    let mut array: Array<_, u64> = Array::try_from(borrowed)?;
    for (index, word) in (0..).zip(ports::bitmap(wanted)) {
        if word != 0 {
            array.set(index, word, 0).with_context(|| format!("cannot set the filter {map}"))?;
        }
    }
    Ok(())
}

/// How the begin of a mini-socket is known: the state-change programs walk the kernel's hash chain.
fn mini_hook(layout: &Layout) -> Hook {
    let needed =
        [layout.net_hashinfo, layout.ehash, layout.ehash_mask, layout.ehash_bucket_size, layout.tw_substate];
    if needed.contains(&ABSENT) {
        Hook::off(HookKind::TimeWaitBegin, "the kernel's types lack the timewait hash".to_owned())
    } else {
        Hook::on(HookKind::TimeWaitBegin, "tp_btf/inet_sock_set_state + ehash walk".to_owned())
    }
}
