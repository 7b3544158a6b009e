//! The format of BTF (include/uapi/linux/btf.h), as far as it is needed. Every read is checked against the bytes there are.

use anyhow::{Context, Result, bail};

const MAGIC: u32 = 0xeb9f;
/// Bytes of a `struct btf_header`.
const HEADER_SIZE: u32 = 24;
/// Bytes of a `struct btf_type`.
const TYPE_SIZE: usize = 12;
/// Bytes of a `struct btf_member`.
const MEMBER_SIZE: usize = 12;

/// What a type is (`BTF_KIND_*`); those that only the size of is needed are [`Kind::Other`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Struct,
    Union,
    Pointer,
    Typedef,
    /// `const`, `volatile`, `restrict` or a tag.
    Qualifier,
    Func,
    FuncProto,
    Other,
}

impl Kind {
    /// Whether types of this kind are looked for by name.
    pub(super) const fn is_looked_for(self) -> bool {
        matches!(self, Self::Struct | Self::Typedef | Self::Func)
    }
}

/// The number of a kind in BTF, for the two that are written.
pub(super) mod number {
    pub(in super::super) const FWD: u32 = 7;
    pub(in super::super) const TYPEDEF: u32 = 8;
    pub(in super::super) const FUNC: u32 = 12;
}

/// What every type begins with: `struct btf_type`.
#[derive(Clone, Copy)]
pub(super) struct Type {
    pub(super) kind: Kind,
    /// Where its name is among the strings.
    pub(super) name: u32,
    /// Members, parameters and the like.
    pub(super) count: usize,
    /// A struct's size in bytes; of others, the type that they refer to.
    pub(super) size_or_reference: u32,
    /// Members are bit-fields, or may be.
    has_bit_fields: bool,
    /// Bytes to the next one.
    size: usize,
}

/// A member of a struct.
pub(super) struct Member {
    pub(super) name: u32,
    pub(super) kind: u32,
    /// Where in the struct it begins.
    pub(super) bits: u32,
}

/// Both sections of BTF.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Of a file's bytes.
    pub(super) fn of(bytes: &'a [u8]) -> Result<Self> {
        let field = |at: usize| word(bytes, at).context("the header is cut");
        if field(0)? & 0xffff != MAGIC {
            bail!("it does not begin as BTF does");
        }
        let header = field(4)?;
        let section = |at: usize| {
            let begin = (header as usize).checked_add(field(at)? as usize);
            let end = begin.and_then(|begin| begin.checked_add(word(bytes, at + 4)? as usize));
            begin.zip(end).and_then(|(begin, end)| bytes.get(begin..end)).context("a section is cut")
        };
        Ok(Self { types: section(8)?, strings: section(16)? })
    }

    /// Every type in the order of their numbers, with where it begins.
    pub(super) fn types(self) -> impl Iterator<Item = Result<(u32, Type)>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            (at < self.types.len()).then(|| {
                let place = u32::try_from(at)?;
                let found = self.type_at(place)?;
                at += found.size;
                Ok((place, found))
            })
        })
        .fuse()
    }

    /// The type at a place.
    pub(super) fn type_at(self, place: u32) -> Result<Type> {
        let at = place as usize;
        let field = |offset: usize| word(self.types, at + offset).context("a type is cut");
        let info = field(4)?;
        let count = (info & 0x00ff_ffff) as usize;
        let (kind, more) = match info >> 24 & 0x7f {
            // Integers, variables and declaration tags.
            1 | 14 | 17 => (Kind::Other, 4),
            2 => (Kind::Pointer, 0),
            // Arrays.
            3 => (Kind::Other, 12),
            4 => (Kind::Struct, count * MEMBER_SIZE),
            5 => (Kind::Union, count * MEMBER_SIZE),
            // Enumerations.
            6 => (Kind::Other, count * 8),
            // Forward declarations and floats.
            number::FWD | 16 => (Kind::Other, 0),
            number::TYPEDEF => (Kind::Typedef, 0),
            9..=11 | 18 => (Kind::Qualifier, 0),
            number::FUNC => (Kind::Func, 0),
            13 => (Kind::FuncProto, count * 8),
            // Sections of data, and enumerations of 64 bits.
            15 | 19 => (Kind::Other, count * 12),
            other => bail!("types of the kind {other} are unknown"),
        };
        Ok(Type {
            kind,
            name: field(0)?,
            count,
            size_or_reference: field(8)?,
            has_bit_fields: info >> 31 == 1,
            size: TYPE_SIZE + more,
        })
    }

    /// The members of a struct or union at a place.
    pub(super) fn members(self, place: u32, of: Type) -> impl Iterator<Item = Member> {
        let begin = place as usize + TYPE_SIZE;
        (0..of.count).map_while(move |n| {
            let at = begin + n * MEMBER_SIZE;
            let bits = word(self.types, at + 8)?;
            Some(Member {
                name: word(self.types, at)?,
                kind: word(self.types, at + 4)?,
                bits: if of.has_bit_fields { bits & 0x00ff_ffff } else { bits },
            })
        })
    }

    /// The name at an offset; empty for one that has none.
    pub(super) fn name(self, offset: u32) -> &'a [u8] {
        let rest = self.strings.get(offset as usize..).unwrap_or_default();
        rest.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// The [`beginning`] of the name at an offset.
    pub(super) fn beginning(self, offset: u32) -> u64 {
        beginning(self.strings.get(offset as usize..).unwrap_or_default())
    }
}

/// The first eight bytes of a name that ends at a zero or with the slice, zeroes behind its end.
pub(super) fn beginning(name: &[u8]) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let word = match name.first_chunk() {
        Some(first) => u64::from_le_bytes(*first),
        None => name.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    // The lowest set bit is the highest bit of the first zero byte.
    let zeroes = word.wrapping_sub(ONES) & !word & (ONES << 7);
    if zeroes == 0 { word } else { word & ((zeroes & zeroes.wrapping_neg()) >> 7).wrapping_sub(1) }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A type that has nothing behind its first three words.
pub(super) type Short = [[u8; 4]; 3];

/// The words of a type.
pub(super) fn short(words: [u32; 3]) -> Short {
    words.map(u32::to_ne_bytes)
}

/// A file of BTF made of such types.
pub(super) fn file(types: &[Short], strings: &[u8]) -> Result<Vec<u8>> {
    let types = types.as_flattened().as_flattened();
    let length = u32::try_from(types.len())?;
    let header = [MAGIC | 1 << 16, HEADER_SIZE, 0, length, length, u32::try_from(strings.len())?];
    Ok([header.map(u32::to_ne_bytes).as_flattened(), types, strings].concat())
}
