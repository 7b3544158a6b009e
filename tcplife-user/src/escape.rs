//! Makes text from outside safe for a terminal.
//!
//! A process chooses its own name, so it may hold escape sequences or characters that reorder the line. What comes
//! in: any bytes. What goes out: the same text with everything that is not plainly printable as `\x1b` or
//! `\u{202e}`. What always holds: the output has no control character and no invisible or reordering one.

use std::{borrow::Cow, fmt::Write};

/// Whether `c` shows as itself, takes room, and changes nothing around it.
fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => c != '\\',
        // The standard library knows what is printable; what it would not print as is has a longer form.
        _ => !c.is_control() && c.escape_debug().len() == 1,
    }
}

/// Appends a text, with numbers for what is not to be shown as itself.
fn push(out: &mut String, text: &str, is_shown: fn(char) -> bool) {
    for c in text.chars() {
        // Writing to a String cannot fail.
        _ = match c {
            _ if is_shown(c) => out.write_char(c),
            '\\' => write!(out, "\\\\"),
            '\0'..='\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
            _ => write!(out, "\\u{{{:x}}}", u32::from(c)),
        };
    }
}

/// `bytes` as text that is safe to print; bytes that are not UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_plain)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() * 4);
    for chunk in bytes.utf8_chunks() {
        push(&mut out, chunk.valid(), is_plain);
        for byte in chunk.invalid() {
            _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// The bytes that a text stands for in which some are written as [`printable`] writes them. What is no such number is as it is.
pub fn meant(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text;
    while let Some(at) = left.find('\\') {
        let (before, escape) = left.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let number = |digits: &str| u32::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'));
        let byte = escape.strip_prefix("\\x").and_then(|rest| u8::try_from(number(rest.get(..2)?)?).ok());
        let character = || {
            let (digits, rest) = escape.strip_prefix("\\u{")?.split_once('}')?;
            Some((char::from_u32(number(digits)?)?, rest))
        };
        left = if let Some(byte) = byte {
            bytes.push(byte);
            &escape[4..]
        } else if let Some((character, rest)) = character() {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest
        } else {
            bytes.push(b'\\');
            escape.strip_prefix("\\\\").unwrap_or(&escape[1..])
        };
    }
    bytes.extend_from_slice(left.as_bytes());
    bytes
}

/// Whether a terminal shows `c` as itself; what it does not must not reach one as is.
pub fn is_printable(c: char) -> bool {
    c == '\\' || is_plain(c)
}

/// A sentence in one line that is safe to print: a cause may come from outside, with line feeds and anything else.
pub fn one_line(text: &str) -> String {
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let mut out = String::with_capacity(text.len());
    push(&mut out, &lines.collect::<Vec<_>>().join("; "), is_printable);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line() {
        assert_eq!(one_line("the kernel said:\n  no\r\n\n"), "the kernel said:; no");
        assert_eq!(one_line("no \u{1b}[2J\\x\u{202e} at „a“"), "no \\x1b[2J\\x\\u{202e} at „a“");
    }

    fn of(text: &str) -> String {
        printable(text.as_bytes()).into_owned()
    }

    #[test]
    fn ordinary_names_are_kept_without_a_copy() {
        for name in ["nginx", "Web Content", "kworker/0:1", "приложение", "服务器", "café", "\"q\" 'q'"]
        {
            assert!(matches!(printable(name.as_bytes()), Cow::Borrowed(text) if text == name), "{name}");
        }
    }

    #[test]
    fn escape_sequences_cannot_reach_the_terminal() {
        assert_eq!(of("\x1b[2Jgone"), "\\x1b[2Jgone");
        assert_eq!(of("a\nb\tc\rd\0"), "a\\x0ab\\x09c\\x0dd\\x00");
        assert_eq!(of("\u{7f}\u{9b}31m"), "\\x7f\\u{9b}31m");
    }

    #[test]
    fn reordering_and_invisible_characters_are_shown_as_numbers() {
        assert_eq!(of("a\u{202e}b"), "a\\u{202e}b");
        assert_eq!(of("\u{2066}\u{200b}\u{feff}"), "\\u{2066}\\u{200b}\\u{feff}");
        assert_eq!(of("\u{e0041}"), "\\u{e0041}");
    }

    #[test]
    fn an_escape_cannot_be_forged() {
        assert_eq!(of("\\x1b"), "\\\\x1b");
    }

    #[test]
    fn bytes_that_are_not_text_are_shown_as_numbers() {
        assert_eq!(printable(b"a\xffb\xc3"), "a\\xffb\\xc3");
    }

    #[test]
    fn what_is_printed_can_be_given_back() {
        for name in
            [&b"ev\x1b[2Jil\xff\n\"x"[..], b"a b,c", b"\\x1b", b"\\", "\u{85}\u{202e}a".as_bytes(), b""]
        {
            let printed = printable(name);
            assert_eq!(meant(&printed), name, "{printed}");
        }
        assert_eq!(meant("a\\x2cb"), b"a,b");
        for plain in ["a\\b", "\\x", "\\xg0", "\\u{}", "\\u{110000}", "\\xé", "\\x+1"] {
            assert_eq!(meant(plain), plain.as_bytes());
        }
    }

    #[test]
    fn no_character_at_all_gets_through_as_a_control() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let out = of(&c.to_string());
            assert!(!out.chars().any(char::is_control), "{c:?}");
        }
    }
}
