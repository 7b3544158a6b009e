//! The running kernel's types.
//!
//! btf-rs reads fastest from a mapping, but sysfs lets its BTF file be mapped only on recent kernels, so the bytes
//! are copied into a memory file first.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
};

use anyhow::{Context, Result};
use btf_rs::{Backend, Btf, BtfType, Struct, Type};
use rustix::fs::{MemfdFlags, memfd_create};

/// Where the kernel shows its own types (`CONFIG_DEBUG_INFO_BTF`).
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// The types of the running kernel.
pub struct KernelTypes {
    btf: Btf,
    /// Structs looked up so far: each look-up by name goes through all types.
    structures: RefCell<HashMap<String, Option<Struct>>>,
}

impl KernelTypes {
    /// Reads the kernel's types.
    ///
    /// # Errors
    /// The file cannot be read or is not BTF.
    pub fn read() -> Result<Self> {
        let copy = memory_copy(VMLINUX).with_context(|| format!("cannot read {VMLINUX}"))?;
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        let btf = Btf::from_file_with_backend(path, Backend::Mmap)
            .with_context(|| format!("cannot make sense of the kernel's types in {VMLINUX}"))?;
        Ok(Self { btf, structures: RefCell::default() })
    }

    fn structure(&self, name: &str) -> Option<Struct> {
        if let Some(known) = self.structures.borrow().get(name) {
            return known.clone();
        }
        let found = self.find_structure(name);
        self.structures.borrow_mut().insert(name.to_owned(), found.clone());
        found
    }

    fn find_structure(&self, name: &str) -> Option<Struct> {
        self.btf.resolve_types_by_name(name).ok()?.into_iter().find_map(|found| match found {
            Type::Struct(found) => Some(found),
            _ => None,
        })
    }

    /// Size in bytes of a struct.
    pub fn size_of(&self, structure: &str) -> Option<u32> {
        self.structure(structure).and_then(|s| u32::try_from(s.size()).ok())
    }

    /// Offset in bytes of a member, by a path such as `sk_lock.owned`; anonymous members are looked through.
    /// `None` where the kernel has no such member, or the path leads through a pointer.
    pub fn offset_of(&self, structure: &str, path: &str) -> Option<u32> {
        let mut holder = self.structure(structure)?;
        let mut bits = 0;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let (at, kind) = self.member(&holder, name)?;
            bits += at;
            if names.peek().is_some() {
                holder = as_struct(kind)?;
            }
        }
        (bits % 8 == 0).then_some(bits / 8)
    }

    /// A member's offset in bits and its type, typedefs and qualifiers removed.
    fn member(&self, holder: &Struct, name: &str) -> Option<(u32, Type)> {
        for member in &holder.members {
            let member_name = self.btf.resolve_name(member).unwrap_or_default();
            if member_name == name {
                return Some((member.bit_offset(), self.plain_type(member)?));
            }
            if member_name.is_empty()
                && let Some(inner) = self.plain_type(member).and_then(as_struct)
                && let Some((at, kind)) = self.member(&inner, name)
            {
                return Some((member.bit_offset() + at, kind));
            }
        }
        None
    }

    fn plain_type(&self, of: &dyn BtfType) -> Option<Type> {
        let mut found = self.btf.resolve_type_by_id(of.get_type_id()?).ok()?;
        while let Type::Typedef(_)
        | Type::Volatile(_)
        | Type::Const(_)
        | Type::Restrict(_)
        | Type::TypeTag(_) = found
        {
            found = self.btf.resolve_type_by_id(found.as_btf_type()?.get_type_id()?).ok()?;
        }
        Some(found)
    }

    /// Whether the kernel has a function of this name.
    pub fn has_function(&self, name: &str) -> bool {
        self.btf
            .resolve_types_by_name(name)
            .is_ok_and(|found| found.iter().any(|kind| matches!(kind, Type::Func(_))))
    }

    /// How many arguments a function has; `None` if there is no such function.
    pub fn function_arguments(&self, name: &str) -> Option<usize> {
        let found = self.btf.resolve_types_by_name(name).ok()?;
        let function = found.into_iter().find(|kind| matches!(kind, Type::Func(_)))?;
        match self.btf.resolve_type_by_id(function.as_btf_type()?.get_type_id()?).ok()? {
            Type::FuncProto(prototype) => Some(prototype.parameters.len()),
            _ => None,
        }
    }

    /// How many arguments a tracepoint passes; `None` if there is no such tracepoint.
    pub fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let typedef = self
            .btf
            .resolve_types_by_name(&format!("btf_trace_{name}"))
            .ok()?
            .into_iter()
            .find(|kind| matches!(kind, Type::Typedef(_)))?;
        let pointer = self.btf.resolve_type_by_id(typedef.as_btf_type()?.get_type_id()?).ok()?;
        match self.btf.resolve_type_by_id(pointer.as_btf_type()?.get_type_id()?).ok()? {
            // The first parameter is the tracepoint's own data.
            Type::FuncProto(prototype) => prototype.parameters.len().checked_sub(1),
            _ => None,
        }
    }
}

fn as_struct(kind: Type) -> Option<Struct> {
    match kind {
        Type::Struct(found) | Type::Union(found) => Some(found),
        _ => None,
    }
}

fn memory_copy(path: &str) -> io::Result<File> {
    let bytes = std::fs::read(path)?;
    let mut copy = File::from(memfd_create("tcplife-btf", MemfdFlags::CLOEXEC)?);
    copy.write_all(&bytes)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_through_anonymous_ones_and_paths() {
        let types = KernelTypes::read().expect("this kernel has BTF");
        assert_eq!(types.offset_of("sock_common", "skc_daddr"), Some(0));
        assert_eq!(types.offset_of("sock_common", "skc_rcv_saddr"), Some(4));
        assert_eq!(types.offset_of("sock_common", "skc_dport"), Some(12));
        assert!(types.offset_of("sock", "sk_lock.owned").is_some());
        assert!(types.offset_of("net", "ipv4.tcp_death_row.hashinfo").is_some());
        assert_eq!(types.offset_of("sock_common", "no_such_member"), None);
        assert_eq!(types.offset_of("no_such_struct", "skc_daddr"), None);
    }

    #[test]
    fn tracepoints_tell_their_arguments() {
        let types = KernelTypes::read().expect("this kernel has BTF");
        assert_eq!(types.tracepoint_arguments("inet_sock_set_state"), Some(3));
        assert_eq!(types.tracepoint_arguments("no_such_tracepoint"), None);
    }
}
