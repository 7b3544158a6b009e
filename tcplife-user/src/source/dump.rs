//! The kernel's sockets at one moment, by iterators.
//!
//! `iter/task_file` lists every descriptor of every process, in all network namespaces at once; `iter/tcp` lists the
//! sockets of the namespace its reader is in, those without a descriptor included (orphans, mini-sockets, requests,
//! connections that nobody accepted).

use std::{
    collections::HashMap,
    fs::File,
    io::{self, ErrorKind, Read},
    slice,
    sync::Mutex,
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use aya::{
    Btf, Ebpf,
    maps::{Array, MapData},
    programs::{Iter, Program},
};
use tcplife_common::{settings::MINI_BITS, wire::Found};
use tcplife_core::suspect::Sight;

use super::{btf::Wanted, namespaces::Netns};
use crate::{
    health::{Hook, HookKind},
    threads,
};

/// What lists the sockets; `all` if every network namespace is open to this process.
pub fn hook(all: bool, sight: Sight) -> Hook {
    let (files, no_files) = match sight {
        Sight::Every => ("", &[][..]),
        Sight::Some => (" of this pid namespace", &[OTHER_PIDS, HOST_PIDS][..]),
    };
    let (sockets, no_sockets) = if all {
        ("", None)
    } else {
        (" of this network namespace (of others: CAP_SYS_ADMIN and CAP_SYS_PTRACE)", Some(ONLY_OWN))
    };
    Hook {
        limits: no_files.iter().copied().chain(no_sockets).collect(),
        ..Hook::on(HookKind::Dump, format!("iter/task_file{files} + iter/tcp{sockets}"))
    }
}

/// What a process in a pid namespace does not see: the iterator lists the tasks of its reader's (`task_seq_get_next`), as /proc does.
pub const OTHER_PIDS: &str = "processes outside this pid namespace are not seen, nor what they hold, nor the network namespaces that \
                              only they are in: run it on the host, or with the host's pid namespace (docker run --pid=host)";

/// What a process without all rights does not see.
const ONLY_OWN: &str = "sockets of other network namespaces that no process holds are not listed (orphans, connections that nobody \
                        accepted): run it as root, or with CAP_SYS_ADMIN and CAP_SYS_PTRACE as well";

/// The number of a process as the kernel side tells it (`task_struct.tgid`).
const HOST_PIDS: &str = "pids are those of the host, not of this pid namespace";

/// Which sockets a dump shows; see [`MINI_BITS`].
pub type StateMask = u32;

/// Every state.
pub const ALL_STATES: StateMask = u32::MAX;

/// All but mini-sockets.
pub const FULL_SOCKETS: StateMask = !MINI_SOCKETS;

/// Mini-sockets only.
pub const MINI_SOCKETS: StateMask = u32::MAX << MINI_BITS;

/// Sockets that wait for somebody's close, their other ends, what processes still have of connections that are over, and listeners, by
/// the numbers of include/net/tcp_states.h.
pub const SUSPECTS: StateMask = 1 << TCP_CLOSE_WAIT
    | 1 << TCP_CLOSE
    | 1 << TCP_FIN_WAIT2
    | 1 << TCP_FIN_WAIT1
    | 1 << TCP_LISTEN
    | 1 << (MINI_BITS + TCP_FIN_WAIT2);

const TCP_FIN_WAIT1: u32 = 4;
const TCP_FIN_WAIT2: u32 = 5;
const TCP_CLOSE: u32 = 7;
const TCP_CLOSE_WAIT: u32 = 8;
const TCP_LISTEN: u32 = 10;

/// While an iterator is read, the ring buffer is looked after this often.
const PAUSE: Duration = Duration::from_millis(2);

/// An iterator is read in pieces of this size: the kernel fills eight pages at a time (`bpf_seq_read`).
const READ_SIZE: usize = 64 << 10;

/// What lists bring, in the pieces that were read. What is not wanted is left out while it is read: of a host's sockets a filter may take
/// few.
pub struct Listing<'a> {
    /// What is wanted.
    pub found: Vec<Vec<Found>>,
    wants: &'a (dyn Fn(&Found) -> bool + Sync),
}

impl<'a> Listing<'a> {
    /// Of what `wants` says.
    pub fn of(wants: &'a (dyn Fn(&Found) -> bool + Sync)) -> Self {
        Self { found: Vec::new(), wants }
    }

    /// Of everything.
    pub fn of_all() -> Self {
        Self::of(&|_| true)
    }
}

/// The loaded iterators. They are read by threads of their own: a list of 100,000 mini-sockets takes long enough for a
/// busy host to fill the ring buffer.
pub struct Dumper {
    states: Array<MapData, u32>,
}

/// The iterators, with what each goes through.
const PROGRAMS: [(&str, &str); 2] = [(SOCKETS, "tcp"), (FILES, "task_file")];
const SOCKETS: &str = "dump_sockets";
const FILES: &str = "dump_files";

/// The types that are asked for.
pub fn wanted() -> impl Iterator<Item = Wanted> {
    PROGRAMS.iter().map(|&(_, target)| Wanted::Iterator(target))
}

impl Dumper {
    /// Loads the iterators.
    ///
    /// # Errors
    /// This kernel does not take them.
    pub fn load(programs: &mut Ebpf, btf: &Btf) -> Result<Self> {
        let mut by_name: HashMap<&str, &mut Program> = programs.programs_mut().collect();
        // The kernel checks each as long as the other.
        thread::scope(|scope| {
            let loading = PROGRAMS.map(|(name, target)| {
                let program = by_name.remove(name).ok_or_else(|| no_program(name));
                threads::start(scope, move || -> Result<()> {
                    let iterator: &mut Iter = program?.try_into()?;
                    iterator
                        .load(target, btf)
                        .with_context(|| format!("the kernel does not take the iterator iter/{target}"))
                })
            });
            loading.into_iter().try_for_each(|loading| loading?.join().map_err(|_| died())?)
        })?;
        let states = programs.take_map("DUMP_STATES").ok_or_else(|| anyhow!("no map DUMP_STATES"))?;
        Ok(Self { states: Array::try_from(states)? })
    }

    /// Appends, in pieces, the sockets that a process holds by a descriptor, once for each descriptor, in every network namespace.
    /// `meanwhile` is called again and again until they are there.
    ///
    /// # Errors
    /// The iterator cannot be read.
    pub fn held(
        &mut self,
        programs: &mut Ebpf,
        states: StateMask,
        listing: &mut Listing<'_>,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<()> {
        self.states.set(0, states, 0)?;
        let files = open(programs, FILES)?;
        beside(meanwhile, || read(files, FILES, listing))
    }

    /// Both at the same time: the sockets that a process holds, and those of the given network namespaces. They are returned in this
    /// order, since a census names owners by what comes first; and with them the inodes of the namespaces that could be looked into.
    ///
    /// # Errors
    /// An iterator cannot be read.
    pub fn both(
        &mut self,
        programs: &mut Ebpf,
        states: StateMask,
        netns: &[Netns],
    ) -> Result<(Vec<Vec<Found>>, Vec<u32>)> {
        self.states.set(0, states, 0)?;
        let files = open(programs, FILES)?;
        let (mut held, mut sockets) = (Listing::of_all(), Listing::of_all());
        let todo = Todo::new(programs, netns);
        // The kernel goes through the sockets of all namespaces for each, so whoever is done with the descriptors helps.
        let (first, helper) = thread::scope(|scope| {
            let helper = threads::start(scope, || todo.read_each(&mut sockets))?;
            let first = threads::start(scope, || {
                read(files, FILES, &mut held).and_then(|()| todo.read_each(&mut held))
            })?;
            Ok::<_, anyhow::Error>((first.join(), helper.join()))
        })?;
        let mut looked_into = first.map_err(|_| died())??;
        looked_into.extend(helper.map_err(|_| died())??);
        held.found.append(&mut sockets.found);
        Ok((held.found, looked_into))
    }

    /// Appends the sockets of the given network namespaces. Returns the inodes of those that could be looked into: one may be
    /// gone by now, or not open to this process. `meanwhile` is called again and again until they are there.
    ///
    /// # Errors
    /// The iterator cannot be read.
    pub fn sockets(
        &mut self,
        programs: &mut Ebpf,
        states: StateMask,
        netns: &[Netns],
        listing: &mut Listing<'_>,
        meanwhile: &mut dyn FnMut(),
    ) -> Result<Vec<u32>> {
        self.states.set(0, states, 0)?;
        beside(meanwhile, || Todo::new(programs, netns).read_each(listing))
    }
}

/// Has another thread do `work`, and does `meanwhile` until it is done.
fn beside<T: Send>(meanwhile: &mut dyn FnMut(), work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let this = thread::current();
    thread::scope(|scope| {
        let worker = threads::start(scope, move || {
            let outcome = work();
            this.unpark();
            outcome
        })?;
        while !worker.is_finished() {
            meanwhile();
            thread::park_timeout(PAUSE);
        }
        worker.join().unwrap_or_else(|_| Err(died()))
    })
}

fn iterator<'a>(programs: &'a mut Ebpf, name: &str) -> Result<&'a mut Iter> {
    Ok(programs.program_mut(name).ok_or_else(|| no_program(name))?.try_into()?)
}

fn no_program(name: &str) -> anyhow::Error {
    anyhow!("the BPF object has no program {name}")
}

fn open(programs: &mut Ebpf, name: &str) -> Result<File> {
    let program = iterator(programs, name)?;
    let link = program.attach().with_context(|| format!("cannot attach the iterator {name}"))?;
    program.take_link(link)?.into_file().with_context(|| format!("cannot open the iterator {name}"))
}

fn read(file: File, name: &str, listing: &mut Listing<'_>) -> Result<()> {
    decode_all(file, listing).with_context(|| format!("cannot read the iterator {name}"))
}

fn died() -> anyhow::Error {
    anyhow!("a thread that handles an iterator died")
}

/// The namespaces that nobody has looked into yet.
struct Todo<'a> {
    programs: Mutex<&'a mut Ebpf>,
    netns: Mutex<slice::Iter<'a, Netns>>,
}

impl<'a> Todo<'a> {
    fn new(programs: &'a mut Ebpf, netns: &'a [Netns]) -> Self {
        Self { programs: Mutex::new(programs), netns: Mutex::new(netns.iter()) }
    }

    fn next(&self) -> Option<&'a Netns> {
        self.netns.lock().ok()?.next()
    }

    /// In a thread that ends afterwards: its network namespace becomes another, and nobody else's does. Returns the inodes of
    /// those that could be looked into.
    fn read_each(&self, listing: &mut Listing<'_>) -> Result<Vec<u32>> {
        let mut looked_into = Vec::new();
        while let Some(netns) = self.next() {
            if netns.enter().is_ok() {
                // It lists the namespace of who opens it (`bpf_iter_init_seq_net`).
                let sockets = open(*self.programs.lock().map_err(|_| died())?, SOCKETS)?;
                read(sockets, SOCKETS, listing)?;
                looked_into.push(netns.inode);
            }
        }
        Ok(looked_into)
    }
}

/// Decodes while it reads: the bytes of a large list would take as much memory as the list. What a read brings is a piece, which is not
/// copied again.
fn decode_all(mut file: impl Read, listing: &mut Listing<'_>) -> io::Result<()> {
    let mut bytes = vec![0; READ_SIZE];
    let mut filled = 0;
    loop {
        let count = match file.read(&mut bytes[filled..]) {
            // After a million objects without one to show the kernel wants to be asked again (`bpf_seq_read`).
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => continue,
            read => read?,
        };
        filled += count;
        let whole = filled - filled % Found::SIZE;
        let mut piece = Vec::with_capacity(whole / Found::SIZE);
        for record in bytes[..whole].chunks_exact(Found::SIZE) {
            let found = Found::decode(record).map_err(|_| not_a_record())?;
            if (listing.wants)(&found) {
                piece.push(found);
            }
        }
        if piece.capacity() > 2 * piece.len() {
            piece.shrink_to_fit();
        }
        listing.found.push(piece);
        bytes.copy_within(whole..filled, 0);
        filled -= whole;
        if count == 0 {
            return if filled == 0 { Ok(()) } else { Err(not_a_record()) };
        }
    }
}

fn not_a_record() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "not a record of a socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_told() {
        assert_eq!(hook(true, Sight::Every), Hook::on(HookKind::Dump, "iter/task_file + iter/tcp".into()));
        assert_eq!(hook(true, Sight::Some).limits, [OTHER_PIDS, HOST_PIDS]);
        assert_eq!(hook(false, Sight::Every).limits, [ONLY_OWN]);
        let both = hook(false, Sight::Some);
        assert_eq!(both.limits, [OTHER_PIDS, HOST_PIDS, ONLY_OWN]);
        let mechanism = both.mechanism.unwrap_or_default();
        assert!(mechanism.starts_with("iter/task_file of this pid namespace + iter/tcp of this network"));
    }

    /// Says at first that there was nothing to show so far.
    struct Slow<'a>(bool, &'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.0, false) {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.1.read(bytes)
        }
    }

    #[test]
    fn a_million_sockets_without_one_to_show_are_no_error() {
        let mut bytes = [0; Found::SIZE];
        bytes[0] = tcplife_common::wire::kind::FOUND;
        let mut listing = Listing::of_all();
        assert!(decode_all(Slow(true, &bytes), &mut listing).is_ok());
        assert_eq!(listing.found.concat().len(), 1);
    }

    /// Gives so many bytes at a time.
    struct Slices<'a>(usize, &'a [u8]);

    impl Read for Slices<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let count = self.0.min(bytes.len());
            self.1.read(&mut bytes[..count])
        }
    }

    #[test]
    fn a_record_may_come_in_two_reads() {
        let socks: Vec<u64> = (1..=1000).collect();
        let record = |&sock: &u64| {
            let mut bytes = [0; Found::SIZE];
            bytes[0] = tcplife_common::wire::kind::FOUND;
            bytes[16..24].copy_from_slice(&sock.to_ne_bytes());
            bytes
        };
        let bytes: Vec<u8> = socks.iter().flat_map(record).collect();
        for size in [Found::SIZE - 1, Found::SIZE, 1000, READ_SIZE - 3] {
            let mut listing = Listing::of_all();
            assert!(decode_all(Slices(size, &bytes), &mut listing).is_ok());
            assert!(listing.found.iter().flatten().map(|found| found.head.sock).eq(socks.clone()), "{size}");
        }
        let mut few = Listing::of(&|found| found.head.sock.is_multiple_of(100));
        assert!(decode_all(bytes.as_slice(), &mut few).is_ok());
        assert!(few.found.iter().flatten().map(|found| found.head.sock).eq((1..=10).map(|n| 100 * n)));
        assert!(few.found.iter().map(Vec::capacity).sum::<usize>() < 30, "what is left out takes no memory");
    }

    #[test]
    fn a_cut_record_is_an_error() {
        assert!(decode_all([0; 7].as_slice(), &mut Listing::of_all()).is_err());
        assert!(decode_all([0; 0].as_slice(), &mut Listing::of_all()).is_ok());
    }
}
