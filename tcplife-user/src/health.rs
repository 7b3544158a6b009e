//! How well a trace goes: what each hook tells, what was lost, what that means to the user, and what the table is worth after that.

/// What a hook tells. Each is one kind of information, whichever mechanism brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookKind {
    /// Changes of state.
    State,
    /// An application let go of a socket that was in CLOSE before.
    SocketGone,
    /// Which process accepted a connection.
    Accept,
    /// When a server's handshake began.
    SynReceived,
    /// A reset was sent.
    ResetSent,
    /// A reset was received.
    ResetReceived,
    /// A segment was sent again.
    Retransmit,
    /// A SYN-ACK was sent again.
    RetransmitSynAck,
    /// A mini-socket took over.
    TimeWaitBegin,
    /// A mini-socket moved from `FIN_WAIT_2` to `TIME_WAIT`.
    TimeWaitFromFinWait2,
    /// A mini-socket ended.
    TimeWaitEnd,
    /// Why it ended early.
    TimeWaitCause,
    /// The sockets that there are, and the descriptors that hold them.
    Dump,
}

impl HookKind {
    /// Every kind.
    #[cfg(test)]
    pub const ALL: [Self; 13] = [
        Self::State,
        Self::SocketGone,
        Self::Accept,
        Self::SynReceived,
        Self::ResetSent,
        Self::ResetReceived,
        Self::Retransmit,
        Self::RetransmitSynAck,
        Self::TimeWaitBegin,
        Self::TimeWaitFromFinWait2,
        Self::TimeWaitEnd,
        Self::TimeWaitCause,
        Self::Dump,
    ];

    /// The name in `summary.hooks`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::SocketGone => "socket_gone",
            Self::Accept => "accept",
            Self::SynReceived => "syn_received",
            Self::ResetSent => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::Retransmit => "retransmit",
            Self::RetransmitSynAck => "retransmit_syn_ack",
            Self::TimeWaitBegin => "time_wait_begin",
            Self::TimeWaitFromFinWait2 => "time_wait_from_fin_wait_2",
            Self::TimeWaitEnd => "time_wait_end",
            Self::TimeWaitCause => "time_wait_cause",
            Self::Dump => "dump",
        }
    }
}

/// How one kind of information reaches us, or why it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// What it tells.
    pub kind: HookKind,
    /// The mechanism in use, such as `tp_btf/inet_sock_set_state`.
    pub mechanism: Option<String>,
    /// Why there is none; empty when there is one.
    pub why_off: String,
    /// Whether it would tell something that is asked for.
    pub needed: bool,
    /// What it does not tell here, and what it takes; of one in use.
    pub limits: Vec<&'static str>,
}

impl Hook {
    /// A hook in use.
    pub const fn on(kind: HookKind, mechanism: String) -> Self {
        Self { kind, mechanism: Some(mechanism), why_off: String::new(), needed: true, limits: Vec::new() }
    }

    /// A hook that is not to be had.
    pub const fn off(kind: HookKind, why_off: String) -> Self {
        Self { kind, mechanism: None, why_off, needed: true, limits: Vec::new() }
    }

    /// A hook that nobody asks for.
    pub fn unneeded(kind: HookKind, why: &str) -> Self {
        Self { needed: false, ..Self::off(kind, why.to_owned()) }
    }
}

/// Why events are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossCause {
    /// The ring buffer had no room.
    RingFull,
    /// A program missed them because it was at work already.
    Recursion,
    /// The agent could not read them.
    Malformed,
    /// Nobody counted them: a later event, or the kernel's list of sockets, does not follow from what was told.
    Mismatch,
}

impl LossCause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::RingFull, Self::Recursion, Self::Malformed, Self::Mismatch];

    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::Recursion => "recursion",
            Self::Malformed => "malformed",
            Self::Mismatch => "mismatch",
        }
    }

    /// What it means and what helps.
    pub const fn explain(self) -> &'static str {
        match self {
            Self::RingFull => {
                "the agent did not keep up; a larger --ring-size helps with bursts, filters with the rest"
            }
            Self::Recursion => {
                "the kernel skipped a program that was already running on that CPU; states and times may have gaps"
            }
            Self::Malformed => "agent and BPF object do not match; rebuild tcplife",
            Self::Mismatch => {
                "something happened that no program was run for; states and times may have gaps"
            }
        }
    }
}

/// Events lost, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses([u64; LossCause::ALL.len()]);

impl Losses {
    /// Those of one cause.
    pub const fn of(&self, cause: LossCause) -> u64 {
        self.0[cause as usize]
    }

    /// The same with `count` of a cause.
    #[must_use]
    pub const fn with(mut self, cause: LossCause, count: u64) -> Self {
        self.0[cause as usize] = count;
        self
    }

    /// Every cause with how many.
    pub fn iter(&self) -> impl Iterator<Item = (LossCause, u64)> {
        LossCause::ALL.into_iter().zip(self.0)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Whether the table is what the kernel has, as far as losses go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Knowledge {
    /// Nothing was lost.
    #[default]
    Whole,
    /// Events were lost, and the table was not compared with the kernel's sockets since.
    Incomplete,
    /// Events were lost, and the table is whole again.
    Mended,
}

/// A list of the kernel's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// All of them, which takes all that the others take.
    Everything,
    /// Mini-sockets.
    MiniSockets,
    /// What waits for a close, with what it is judged by.
    Suspects,
}

/// Lists that failed when they were made last, with the reason of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unlisted([Option<String>; List::Suspects as usize + 1]);

impl Unlisted {
    /// A list failed.
    pub fn note(&mut self, list: List, why: String) {
        self.0[list as usize] = Some(why);
    }

    /// A list was made.
    pub fn forget(&mut self, list: List) {
        match list {
            List::Everything => *self = Self::default(),
            List::MiniSockets | List::Suspects => self.0[list as usize] = None,
        }
    }

    /// Why one of them failed, if one did.
    pub fn why(&self) -> Option<&str> {
        self.0.iter().flatten().next().map(String::as_str)
    }
}

/// How well the trace goes, at one moment. All counts are since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// The hooks, in a fixed order.
    pub hooks: Vec<Hook>,
    /// Records that reached the model.
    pub events: u64,
    /// Hook hits of the kernel side.
    pub hits: u64,
    /// Hits that the kernel-side filters left out.
    pub filtered: u64,
    /// Losses.
    pub lost: Losses,
    /// What the table is worth after them.
    pub knowledge: Knowledge,
    /// How often the table was compared with the kernel's sockets.
    pub resyncs: u64,
    /// Which lists of the kernel's sockets failed the last time.
    pub unlisted: Unlisted,
    /// Network namespaces that `--netns` selects and that are gone, by inode, as they went.
    pub gone: Vec<u32>,
}

impl Health {
    /// Whether a hook is in use.
    pub fn has(&self, kind: HookKind) -> bool {
        self.hooks.iter().any(|hook| hook.kind == kind && hook.mechanism.is_some())
    }

    /// Another mechanism tells what a hook would have told, unless there is that hook.
    pub fn replace(&mut self, kind: HookKind, mechanism: &str) {
        for hook in self.hooks.iter_mut().filter(|hook| hook.kind == kind && hook.mechanism.is_none()) {
            *hook = Hook::on(kind, mechanism.to_owned());
        }
    }
}
