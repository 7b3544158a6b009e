//! The hooks: which program tells what, by which mechanism. One table; a hook is added here and in the kernel crate.

use super::btf::Wanted;
use crate::health::HookKind;

/// A way of attaching a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// A tracepoint, with typed arguments.
    TpBtf,
    /// The entry of a kernel function, by trampoline.
    Fentry,
    /// The return of a kernel function, by trampoline.
    Fexit,
    /// The entry of a kernel function, by breakpoint or ftrace.
    Kprobe,
    /// The return of a kernel function, by breakpoint or ftrace.
    Kretprobe,
}

impl Mechanism {
    /// The name in `summary.hooks`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Fentry => "fentry",
            Self::Fexit => "fexit",
            Self::Kprobe => "kprobe",
            Self::Kretprobe => "kretprobe",
        }
    }
}

/// Which mechanisms may be used on kernel functions, where the kernel offers several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowed {
    /// The best that can be attached.
    #[default]
    Best,
    /// Trampolines only.
    Trampolines,
    /// Breakpoints only.
    Probes,
    /// None: mini-sockets are followed by dumps.
    Nothing,
}

impl Allowed {
    /// Whether a program may be attached.
    pub const fn takes(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::TpBtf => true,
            Mechanism::Fentry | Mechanism::Fexit => matches!(self, Self::Best | Self::Trampolines),
            Mechanism::Kprobe | Mechanism::Kretprobe => matches!(self, Self::Best | Self::Probes),
        }
    }
}

/// A program of the BPF object and how it is attached.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The program's name in the object.
    pub name: &'static str,
    /// How.
    pub mechanism: Mechanism,
    /// Where: a tracepoint or a function.
    pub target: &'static str,
    /// Attach only where the function has this many arguments; 0 for any.
    pub arguments: usize,
}

const fn tracepoint(name: &'static str, target: &'static str) -> Program {
    Program { name, mechanism: Mechanism::TpBtf, target, arguments: 0 }
}

const fn function(name: &'static str, mechanism: Mechanism, target: &'static str) -> Program {
    Program { name, mechanism, target, arguments: 0 }
}

/// What a kernel with kprobes has (`CONFIG_KPROBES`).
pub const KPROBES: &str = "register_kprobe";

/// The types that are asked for.
pub fn wanted() -> impl Iterator<Item = Wanted> {
    let programs = HOOKS.iter().flat_map(|hook| hook.choices.iter().copied().flatten());
    let targets = programs.map(|program| match program.mechanism {
        Mechanism::TpBtf => Wanted::Tracepoint(program.target),
        Mechanism::Fentry | Mechanism::Fexit | Mechanism::Kprobe | Mechanism::Kretprobe => {
            Wanted::Function(program.target)
        }
    });
    targets.chain([Wanted::Function(KPROBES)])
}

/// One kind of information.
pub struct Hook {
    /// What it tells.
    pub kind: HookKind,
    /// Without it there is no trace.
    pub required: bool,
    /// It tells what becomes of mini-sockets.
    pub of_minis: bool,
    /// All of these are attached together, or the alternative is tried.
    pub choices: &'static [&'static [Program]],
}

/// Every hook, in the order of attaching: what ends a socket before what begins one, so that no end is missed of a
/// beginning that was seen. Of the choices, the first that can be loaded and attached is taken.
pub const HOOKS: [Hook; 11] = [
    Hook {
        kind: HookKind::TimeWaitCause,
        required: false,
        of_minis: true,
        choices: &[
            &[
                function("mini_connect", Mechanism::Fentry, "tcp_twsk_unique"),
                function("mini_destroy", Mechanism::Fentry, "tcp_abort"),
                function("mini_segment", Mechanism::Fentry, "tcp_timewait_state_process"),
            ],
            &[
                function("mini_connect_probe", Mechanism::Kprobe, "tcp_twsk_unique"),
                function("mini_destroy_probe", Mechanism::Kprobe, "tcp_abort"),
                function("mini_segment_probe", Mechanism::Kprobe, "tcp_timewait_state_process"),
            ],
        ],
    },
    Hook {
        kind: HookKind::TimeWaitEnd,
        required: false,
        of_minis: true,
        choices: &[
            &[function("mini_gone", Mechanism::Fentry, "inet_twsk_kill")],
            &[function("mini_gone_probe", Mechanism::Kprobe, "inet_twsk_kill")],
        ],
    },
    Hook {
        kind: HookKind::TimeWaitFromFinWait2,
        required: false,
        of_minis: true,
        choices: &[
            &[function("mini_armed", Mechanism::Fentry, "__inet_twsk_schedule")],
            &[function("mini_armed_probe", Mechanism::Kprobe, "__inet_twsk_schedule")],
        ],
    },
    Hook {
        kind: HookKind::SocketGone,
        required: false,
        of_minis: false,
        choices: &[&[tracepoint("socket_gone", "tcp_destroy_sock")]],
    },
    Hook {
        kind: HookKind::Accept,
        required: false,
        of_minis: false,
        choices: &[
            &[Program { arguments: 2, ..function("accepted_2", Mechanism::Fexit, "inet_csk_accept") }],
            &[Program { arguments: 4, ..function("accepted_4", Mechanism::Fexit, "inet_csk_accept") }],
            &[function("accepted_probe", Mechanism::Kretprobe, "inet_csk_accept")],
        ],
    },
    Hook {
        kind: HookKind::SynReceived,
        required: false,
        of_minis: false,
        choices: &[
            &[function("request_done", Mechanism::Fentry, "inet_csk_complete_hashdance")],
            &[function("request_done_probe", Mechanism::Kprobe, "inet_csk_complete_hashdance")],
        ],
    },
    Hook {
        kind: HookKind::ResetSent,
        required: false,
        of_minis: false,
        choices: &[&[tracepoint("reset_sent", "tcp_send_reset")]],
    },
    Hook {
        kind: HookKind::ResetReceived,
        required: false,
        of_minis: false,
        choices: &[&[tracepoint("reset_received", "tcp_receive_reset")]],
    },
    Hook {
        kind: HookKind::Retransmit,
        required: false,
        of_minis: false,
        choices: &[&[tracepoint("retransmit_segment", "tcp_retransmit_skb")]],
    },
    Hook {
        kind: HookKind::RetransmitSynAck,
        required: false,
        of_minis: false,
        choices: &[&[tracepoint("retransmit_syn_ack", "tcp_retransmit_synack")]],
    },
    Hook {
        kind: HookKind::State,
        required: true,
        of_minis: false,
        choices: &[&[
            // In this order: the spare looks at what the first has done.
            tracepoint("state_change", "inet_sock_set_state"),
            tracepoint("state_spare", "inet_sock_set_state"),
        ]],
    },
];
