//! What the kernel programs count, per CPU.

/// The programs that count, each in a lane of its own: a program in a softirq can come between load and store of another
/// program's addition, but not of its own. Where the kernel does not see to that (before 6.1), the two that run for tasks
/// and for softirqs alike and run for every change have a lane for each; a retransmission or reset that interrupts the hook of
/// another one there leaves the counts of that hook off by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Lane {
    /// `state_change`, for a task that holds the socket's lock
    StateTask,
    /// `state_change`, for the network
    StateNet,
    /// `state_spare`, for a task that holds the socket's lock
    SpareTask,
    /// `state_spare`, for the network
    SpareNet,
    /// `socket_gone`
    SocketGone,
    /// `retransmit_segment`
    Segment,
    /// `retransmit_syn_ack`
    SynAck,
    /// `reset_sent`
    ResetSent,
    /// `reset_received`
    ResetReceived,
    /// `accepted_*`
    Accepted,
    /// `request_done*`
    Request,
    /// `mini_armed*`
    MiniArmed,
    /// `mini_gone*`
    MiniGone,
}

/// How many lanes there are.
pub const LANES: u32 = Lane::MiniGone as u32 + 1;

/// One lane's counts on one CPU since the programs were attached. Every number is of hook hits.
///
/// `hits = delivered + filtered + lost_ring` always holds: a hit ends in exactly one of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Hits that concerned TCP and were taken up by the program.
    pub hits: u64,
    /// Records handed to the ring buffer.
    pub delivered: u64,
    /// Hits that the kernel-side filters left out.
    pub filtered: u64,
    /// Records that found no room in the ring buffer (`bpf_ringbuf_reserve` failed).
    pub lost_ring: u64,
    /// Runs of `state_change`, of any protocol.
    pub state_runs: u64,
    /// State changes that it or `state_spare` took up.
    pub state_taken: u64,
}

const _: () = assert!(size_of::<Counters>() == 48);

impl Counters {
    /// The sum of two CPUs' counts.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            hits: self.hits.wrapping_add(other.hits),
            delivered: self.delivered.wrapping_add(other.delivered),
            filtered: self.filtered.wrapping_add(other.filtered),
            lost_ring: self.lost_ring.wrapping_add(other.lost_ring),
            state_runs: self.state_runs.wrapping_add(other.state_runs),
            state_taken: self.state_taken.wrapping_add(other.state_taken),
        }
    }

    /// State changes that neither program took up, when `state_change` was not run `misses` times because it was running
    /// already (`recursion_misses`). What the spare took of them is not lost. May be off by the changes under way while counts
    /// are read.
    #[must_use]
    pub const fn state_changes_missed(&self, misses: u64) -> u64 {
        self.state_runs.wrapping_add(misses).saturating_sub(self.state_taken)
    }

    /// Whether each hit ended in exactly one way. May be off by the hits under way while counts are read.
    #[must_use]
    pub const fn balanced(&self) -> bool {
        self.hits == self.delivered.wrapping_add(self.filtered).wrapping_add(self.lost_ring)
    }
}
