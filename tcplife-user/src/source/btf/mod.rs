//! The running kernel's types, read in one pass that looks for a few names only: every start waits for it, and libraries that
//! index all of the 130,000 types, or copy them, take several times as long.
//!
//! What comes in: the names that will be asked for. What goes out: where members are, how many arguments functions have, and
//! the numbers that programs are attached by. What always holds: bytes that are not BTF are an error or an absent
//! member, never a guess.

mod bytes;
mod raw;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result};
use aya::{Btf, Endianness};
use foldhash::{HashMap, HashSet};

use bytes::Bytes;
use raw::{Kind, Raw, Type, number, short};

/// Where the kernel shows its own types (`CONFIG_DEBUG_INFO_BTF`).
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Typedefs, qualifiers and anonymous members are followed this deep.
const DEEPEST: usize = 32;

/// A type that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `struct NAME`.
    Struct(&'static str),
    /// The function of this name.
    Function(&'static str),
    /// The tracepoint of this name.
    Tracepoint(&'static str),
    /// What iterators of this name are attached to.
    Iterator(&'static str),
}

impl Wanted {
    fn kind(&self) -> Kind {
        match self {
            Self::Struct(_) => Kind::Struct,
            Self::Function(_) | Self::Iterator(_) => Kind::Func,
            Self::Tracepoint(_) => Kind::Typedef,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Struct(name) | Self::Function(name) => (*name).to_owned(),
            Self::Tracepoint(name) => format!("btf_trace_{name}"),
            Self::Iterator(name) => format!("bpf_iter_{name}"),
        }
    }
}

/// A type that was looked for.
struct Entry {
    kind: Kind,
    /// `None` if the kernel has no such type.
    number: Option<u32>,
}

/// The types of the running kernel.
pub struct KernelTypes {
    bytes: Bytes,
    /// Where each type begins. The first has the number 1.
    places: Vec<u32>,
    /// What was looked for, by name.
    entries: HashMap<Vec<u8>, Entry>,
}

impl KernelTypes {
    /// Reads the kernel's types. Nothing but `wanted` can be asked for afterwards.
    ///
    /// # Errors
    /// The file cannot be read or is not BTF.
    pub fn read(wanted: impl IntoIterator<Item = Wanted>) -> Result<Self> {
        let bytes = Bytes::of(VMLINUX).with_context(|| format!("cannot read {VMLINUX}"))?;
        Self::of(bytes, wanted)
            .with_context(|| format!("cannot make sense of the kernel's types in {VMLINUX}"))
    }

    fn of(bytes: Bytes, wanted: impl IntoIterator<Item = Wanted>) -> Result<Self> {
        let entry =
            |wanted: Wanted| (wanted.name().into_bytes(), Entry { kind: wanted.kind(), number: None });
        let mut entries: HashMap<Vec<u8>, Entry> = wanted.into_iter().map(entry).collect();
        // Most names differ from all that are wanted in their first bytes.
        let beginnings: HashSet<u64> = entries.keys().map(|name| raw::beginning(name)).collect();
        let mut places = Vec::new();
        let raw = Raw::of(&bytes)?;
        for found in raw.types() {
            let (place, found) = found?;
            places.push(place);
            if found.kind.is_looked_for()
                && beginnings.contains(&raw.beginning(found.name))
                && let Some(entry) = entries.get_mut(raw.name(found.name))
                && entry.kind == found.kind
            {
                entry.number.get_or_insert(u32::try_from(places.len())?);
            }
        }
        Ok(Self { bytes, places, entries })
    }

    /// What aya finds the targets of programs in: each of `attached` that the kernel has, by its number, and nothing else.
    ///
    /// # Errors
    /// It is not as aya wants it.
    pub fn targets(&self, attached: &[Wanted]) -> Result<Btf> {
        let mut types = Vec::new();
        let mut strings = vec![0];
        for (wanted, found) in attached.iter().filter_map(|wanted| Some((wanted, self.number(wanted)?))) {
            let kind = if wanted.kind() == Kind::Typedef { number::TYPEDEF } else { number::FUNC };
            let place = found as usize - 1;
            // The numbers before it have to be something.
            types.resize(types.len().max(place + 1), short([0, number::FWD << 24, 0]));
            types[place] = short([u32::try_from(strings.len())?, kind << 24, 0]);
            strings.extend(wanted.name().bytes().chain([0]));
        }
        let bytes = raw::file(&types, &strings)?;
        Btf::parse(&bytes, Endianness::default()).context("cannot hand the kernel's types on")
    }

    fn number(&self, wanted: &Wanted) -> Option<u32> {
        let entry = self.entries.get(wanted.name().as_bytes());
        debug_assert!(entry.is_some(), "{wanted:?} was not looked for");
        entry?.number
    }

    /// A type, by its number; void has none.
    fn numbered(&self, number: u32) -> Option<(u32, Type)> {
        let place = *self.places.get((number as usize).checked_sub(1)?)?;
        Some((place, self.raw()?.type_at(place).ok()?))
    }

    fn raw(&self) -> Option<Raw<'_>> {
        Raw::of(&self.bytes).ok()
    }

    /// Size in bytes of a struct.
    pub fn size_of(&self, structure: &'static str) -> Option<u32> {
        Some(self.numbered(self.number(&Wanted::Struct(structure))?)?.1.size_or_reference)
    }

    /// Offset in bytes of a member, by a path such as `sk_lock.owned`; anonymous members are looked through.
    /// `None` where the kernel has no such member, or the path leads through a pointer.
    pub fn offset_of(&self, structure: &'static str, path: &str) -> Option<u32> {
        let mut holder = self.number(&Wanted::Struct(structure))?;
        let mut bits = 0;
        for name in path.split('.') {
            let (at, kind) = self.member(holder, name, DEEPEST)?;
            bits += at;
            holder = kind;
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// A member's offset in bits and its type.
    fn member(&self, holder: u32, name: &str, deepest: usize) -> Option<(u32, u32)> {
        let raw = self.raw()?;
        let (place, holder) = self.plain(holder)?;
        if !matches!(holder.kind, Kind::Struct | Kind::Union) {
            return None;
        }
        raw.members(place, holder).find_map(|member| match raw.name(member.name) {
            [] => {
                let (at, kind) = self.member(member.kind, name, deepest.checked_sub(1)?)?;
                Some((member.bits + at, kind))
            }
            found => (found == name.as_bytes()).then_some((member.bits, member.kind)),
        })
    }

    /// A type without typedefs and qualifiers.
    fn plain(&self, number: u32) -> Option<(u32, Type)> {
        let mut found = self.numbered(number)?;
        for _ in 0..DEEPEST {
            if !matches!(found.1.kind, Kind::Typedef | Kind::Qualifier) {
                return Some(found);
            }
            found = self.numbered(found.1.size_or_reference)?;
        }
        None
    }

    /// Whether the kernel has a function of this name.
    pub fn has_function(&self, name: &'static str) -> bool {
        self.number(&Wanted::Function(name)).is_some()
    }

    /// How many arguments a function has; `None` if there is no such function.
    pub fn function_arguments(&self, name: &'static str) -> Option<usize> {
        let function = self.numbered(self.number(&Wanted::Function(name))?)?.1;
        self.parameters(function.size_or_reference)
    }

    /// How many arguments a tracepoint passes; `None` if there is no such tracepoint.
    pub fn tracepoint_arguments(&self, name: &'static str) -> Option<usize> {
        let typedef = self.numbered(self.number(&Wanted::Tracepoint(name))?)?.1;
        let pointer = self.numbered(typedef.size_or_reference)?.1;
        // The first parameter is the tracepoint's own data.
        self.parameters(pointer.size_or_reference)?.checked_sub(1)
    }

    fn parameters(&self, prototype: u32) -> Option<usize> {
        let prototype = self.numbered(prototype)?.1;
        (prototype.kind == Kind::FuncProto).then_some(prototype.count)
    }
}
