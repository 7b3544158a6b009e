//! Attaching the programs: of each hook's choices, the first that this kernel takes.
//!
//! Whether a mechanism works is found by trying it, never by the kernel's version.

use std::thread;

use anyhow::{Result, bail};
use aya::{
    Btf, Ebpf,
    programs::{Program as Loaded, ProgramError},
};

use super::{
    btf::KernelTypes,
    hooks::{Allowed, HOOKS, Hook, KPROBES, Mechanism, Program},
    live::Options,
};
use crate::{health, threads};

/// Why hooks on mini-sockets are off where nobody asks.
const NO_MINIS: &str = "not needed: a life is told before TIME_WAIT (--time-wait: after it)";

/// Attaches every hook; what cannot be attached is listed with the reason.
///
/// # Errors
/// A required hook has no choice that works.
pub fn attach_all(
    programs: &mut Ebpf,
    types: &KernelTypes,
    btf: &Btf,
    options: &Options<'_>,
) -> Result<Vec<health::Hook>> {
    load_ahead(programs, btf);
    let attach = |hook: &Hook| {
        if hook.of_minis && !options.follows_minis {
            return Ok(health::Hook::unneeded(hook.kind, NO_MINIS));
        }
        match attach_first(programs, hook, types, btf, options.allowed) {
            Ok(mechanism) => Ok(health::Hook::on(hook.kind, mechanism)),
            Err(why) if hook.required => bail!("cannot follow TCP states: {why}"),
            Err(why) => Ok(health::Hook::off(hook.kind, why)),
        }
    };
    HOOKS.iter().map(attach).collect()
}

/// Has the kernel check the programs that it takes longest for, each in a thread of its own. What fails here fails again
/// when the program is attached, and is told then.
fn load_ahead(programs: &mut Ebpf, btf: &Btf) {
    let required =
        || HOOKS.iter().filter(|hook| hook.required).flat_map(|hook| hook.choices.iter().copied().flatten());
    thread::scope(|scope| {
        for (name, loaded) in programs.programs_mut() {
            if let Some(program) = required().find(|program| program.name == name) {
                // Without it the program is checked when it is attached.
                let _ = threads::start(scope, move || load(loaded, program, btf));
            }
        }
    });
}

fn attach_first(
    programs: &mut Ebpf,
    hook: &Hook,
    types: &KernelTypes,
    btf: &Btf,
    allowed: Allowed,
) -> Result<String, String> {
    let mut reasons = Vec::new();
    let permitted = |choice: &&&[Program]| choice.iter().all(|program| allowed.takes(program.mechanism));
    for choice in hook.choices.iter().filter(permitted) {
        match attach_choice(programs, choice, types, btf) {
            Ok(Some(mechanism)) => return Ok(mechanism),
            Ok(None) => {}
            Err(why) => reasons.push(why),
        }
    }
    if reasons.is_empty() {
        reasons.push("not asked for (--hooks)".to_owned());
    }
    Err(reasons.join("; "))
}

/// All of a choice, or nothing of it. `None` if the choice is for another shape of the function.
fn attach_choice(
    programs: &mut Ebpf,
    choice: &[Program],
    types: &KernelTypes,
    btf: &Btf,
) -> Result<Option<String>, String> {
    let mut attached = String::new();
    for (n, program) in choice.iter().enumerate() {
        if program.arguments != 0 && types.function_arguments(program.target) != Some(program.arguments) {
            return Ok(None);
        }
        let name = format!("{}/{}", program.mechanism.name(), program.target);
        let loaded = programs.program_mut(program.name).ok_or("the BPF object has no such program")?;
        if let Err(error) = attach(loaded, program, btf) {
            choice[..n].iter().for_each(|before| detach(programs, before.name));
            let why = absent(program.mechanism, types).map_or_else(|| reason(&error), str::to_owned);
            return Err(format!("{name}: {why}"));
        }
        attached = name;
    }
    Ok(Some(attached))
}

/// Why a kernel has none of a mechanism, where its types say so: the error that it gives says less.
fn absent(mechanism: Mechanism, types: &KernelTypes) -> Option<&'static str> {
    let is_kprobe = matches!(mechanism, Mechanism::Kprobe | Mechanism::Kretprobe);
    (is_kprobe && !types.has_function(KPROBES)).then_some("this kernel has no kprobes (CONFIG_KPROBES)")
}

/// Has the kernel check a program, unless it did already.
fn load(loaded: &mut Loaded, program: &Program, btf: &Btf) -> Result<(), ProgramError> {
    let done = match loaded {
        Loaded::BtfTracePoint(loaded) => loaded.load(program.target, btf),
        Loaded::FEntry(loaded) => loaded.load(program.target, btf),
        Loaded::FExit(loaded) => loaded.load(program.target, btf),
        Loaded::KProbe(loaded) => loaded.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    match done {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        done => done,
    }
}

fn attach(loaded: &mut Loaded, program: &Program, btf: &Btf) -> Result<(), ProgramError> {
    load(loaded, program, btf)?;
    match loaded {
        Loaded::BtfTracePoint(loaded) => loaded.attach().map(drop),
        Loaded::FEntry(loaded) => loaded.attach().map(drop),
        Loaded::FExit(loaded) => loaded.attach().map(drop),
        Loaded::KProbe(loaded) => loaded.attach(program.target, 0).map(drop),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// Takes a program off its hook.
fn detach(programs: &mut Ebpf, name: &str) {
    let detached = match programs.program_mut(name) {
        Some(Loaded::BtfTracePoint(loaded)) => loaded.unload(),
        Some(Loaded::FEntry(loaded)) => loaded.unload(),
        Some(Loaded::FExit(loaded)) => loaded.unload(),
        Some(Loaded::KProbe(loaded)) => loaded.unload(),
        _ => Err(ProgramError::UnexpectedProgramType),
    };
    if let Err(error) = detached {
        log::debug!("{name} goes with all others: {error}");
    }
}

/// What an error comes down to, in one line: the verifier's last word, or the first cause.
fn reason(error: &ProgramError) -> String {
    if let ProgramError::LoadError { verifier_log, io_error } = error {
        let log = verifier_log.to_string();
        let figures = ["processed", "verification time", "stack depth"];
        let word = log
            .lines()
            .rfind(|line| !line.trim().is_empty() && !figures.iter().any(|figure| line.starts_with(figure)));
        return word.map_or_else(|| io_error.to_string(), |word| format!("{} ({io_error})", word.trim()));
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
