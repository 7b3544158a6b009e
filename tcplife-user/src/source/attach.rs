//! Attaching the programs: of each hook's choices, the first that this kernel takes.
//!
//! Whether a mechanism works is found by trying it, never by the kernel's version.

use anyhow::{Result, bail};
use aya::{
    Btf, Ebpf,
    programs::{BtfTracePoint, FEntry, FExit, KProbe, Program as Loaded, ProgramError},
};

use super::{
    btf::KernelTypes,
    hooks::{Allowed, HOOKS, Hook, Mechanism, Program},
};
use crate::sink;

/// Attaches every hook; what cannot be attached is listed with the reason.
///
/// # Errors
/// A required hook has no choice that works.
pub fn attach_all(
    programs: &mut Ebpf,
    types: &KernelTypes,
    btf: &Btf,
    allowed: Allowed,
) -> Result<Vec<sink::Hook>> {
    HOOKS
        .iter()
        .map(|hook| match attach_first(programs, hook, types, btf, allowed) {
            Ok(mechanism) => Ok(sink::Hook::on(hook.what, mechanism)),
            Err(why) if hook.required => bail!("cannot follow TCP states: {why}"),
            Err(why) => Ok(sink::Hook::off(hook.what, why)),
        })
        .collect()
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

/// `None` if the choice is for another shape of the function.
fn attach_choice(
    programs: &mut Ebpf,
    choice: &[Program],
    types: &KernelTypes,
    btf: &Btf,
) -> Result<Option<String>, String> {
    let mut attached = String::new();
    for program in choice {
        if program.arguments != 0 && types.function_arguments(program.target) != Some(program.arguments) {
            return Ok(None);
        }
        let name = format!("{}/{}", program.mechanism.name(), program.target);
        let loaded = programs.program_mut(program.name).ok_or("the BPF object has no such program")?;
        attach(loaded, program, btf).map_err(|error| format!("{name}: {}", reason(&error)))?;
        attached = name;
    }
    Ok(Some(attached))
}

fn attach(loaded: &mut Loaded, program: &Program, btf: &Btf) -> Result<(), ProgramError> {
    let target = program.target;
    match program.mechanism {
        Mechanism::TpBtf => {
            let loaded: &mut BtfTracePoint = loaded.try_into()?;
            loaded.load(target, btf)?;
            loaded.attach()?;
        }
        Mechanism::Fentry => {
            let loaded: &mut FEntry = loaded.try_into()?;
            loaded.load(target, btf)?;
            loaded.attach()?;
        }
        Mechanism::Fexit => {
            let loaded: &mut FExit = loaded.try_into()?;
            loaded.load(target, btf)?;
            loaded.attach()?;
        }
        Mechanism::Kprobe | Mechanism::Kretprobe => {
            let loaded: &mut KProbe = loaded.try_into()?;
            loaded.load()?;
            loaded.attach(target, 0)?;
        }
    }
    Ok(())
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
