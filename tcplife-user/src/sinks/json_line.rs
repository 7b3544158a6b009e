//! The JSON records of which there are many: one for each change, one for each life.
//!
//! What comes in: fields, in order. What goes out: one object and a line feed, at the end of a buffer. What always holds:
//! field names and names of ours are written as they are, since nothing in them needs an escape; text from outside is
//! written by [`json::value`]. A serializer that is told each field's name and type at run time takes three times as long,
//! and this is most of what a stream costs.

use std::net::IpAddr;

use tcplife_core::{
    connection::{Connection, Role},
    owner::{Owner, Process},
    suspect::Holder,
};

use super::{json, recent::Recent};

/// What goes before a field's value; not the first field's.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

pub(super) use key;

/// An object about to be written.
pub struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    /// An object that begins with `head`: the brace and the first field.
    #[inline]
    pub fn begin(out: &'a mut Vec<u8>, head: &'static str) -> Self {
        out.extend_from_slice(head.as_bytes());
        Self(out)
    }

    /// Ends an object within it that was begun by a key.
    #[inline]
    pub fn close(&mut self) {
        self.literal("}");
    }

    /// Ends it, and the line.
    #[inline]
    pub fn end(self) {
        self.0.extend_from_slice(b"}\n");
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a literal's length is then known where it is copied")]
    fn literal(&mut self, text: &'static str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    #[inline]
    fn digits(&mut self, number: impl itoa::Integer) {
        self.0.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    }

    /// A number.
    #[inline]
    pub fn number(&mut self, key: &'static str, number: impl itoa::Integer) {
        self.literal(key);
        self.digits(number);
    }

    /// A number, or null.
    #[inline]
    pub fn number_or_null(&mut self, key: &'static str, number: Option<impl itoa::Integer>) {
        self.literal(key);
        match number {
            Some(number) => self.digits(number),
            None => self.literal("null"),
        }
    }

    /// A yes or no.
    #[inline]
    pub fn flag(&mut self, key: &'static str, flag: bool) {
        self.literal(key);
        self.literal(if flag { "true" } else { "false" });
    }

    /// A text of ours, in which nothing needs an escape.
    #[inline]
    pub fn name(&mut self, key: &'static str, name: &str) {
        self.literal(key);
        self.literal("\"");
        self.0.extend_from_slice(name.as_bytes());
        self.literal("\"");
    }

    /// A text of ours, or null.
    #[inline]
    pub fn name_or_null(&mut self, key: &'static str, name: Option<&str>) {
        if let Some(name) = name {
            return self.name(key, name);
        }
        self.literal(key);
        self.literal("null");
    }

    /// A text from outside.
    #[inline]
    pub fn text(&mut self, key: &'static str, text: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.bytes().all(is_plain) {
            self.name(key, text);
        } else {
            self.literal(key);
            json::value(self.0, &text);
        }
    }

    /// A process and what else `more` adds to its object, which is the line's again when it is done; or null.
    #[inline]
    pub fn process(&mut self, key: &'static str, process: Option<&Process>, more: impl FnOnce(&mut Self)) {
        self.literal(key);
        let Some(process) = process else { return self.literal("null") };
        self.number("{\"pid\":", process.pid);
        self.text(key!("comm"), &process.comm_text());
        more(self);
        self.literal("}");
    }

    /// A list of descriptors.
    #[inline]
    pub fn holders(&mut self, key: &'static str, holders: &[Holder]) {
        self.literal(key);
        let mut before = "[";
        for holder in holders {
            self.process(before, Some(&holder.process), |line| line.number(key!("fd"), holder.fd));
            before = ",";
        }
        self.literal(if holders.is_empty() { "[]" } else { "]" });
    }

    /// An object of numbers by our names, in order.
    #[inline]
    pub fn numbers<'n>(&mut self, key: &'static str, numbers: impl Iterator<Item = (&'n str, u64)>) {
        self.literal(key);
        let mut before = "{\"";
        for (name, number) in numbers {
            self.literal(before);
            self.0.extend_from_slice(name.as_bytes());
            self.literal("\":");
            self.digits(number);
            before = ",\"";
        }
        self.literal(if before == "{\"" { "{}" } else { "}" });
    }

    #[inline]
    fn address(&mut self, key: &'static str, address: IpAddr) {
        self.literal(key);
        match address {
            IpAddr::V4(address) => {
                let mut before = "\"";
                for octet in address.octets() {
                    self.literal(before);
                    self.digits(octet);
                    before = ".";
                }
                self.literal("\"");
            }
            IpAddr::V6(address) => json::value(self.0, &address),
        }
    }

    /// The fields of a connection, in every record about one.
    pub fn connection(&mut self, connection: &Connection, owner: Option<Owner>) {
        let (local, remote) = (connection.local(), connection.remote());
        self.number(key!("id"), connection.id().0);
        self.number(key!("netns"), connection.netns());
        self.name(key!("family"), json::family(connection));
        self.address(key!("local_addr"), local.ip());
        self.number(key!("local_port"), local.port());
        self.address(key!("remote_addr"), remote.ip());
        self.number(key!("remote_port"), remote.port());
        self.name_or_null(key!("role"), connection.role().map(Role::name));
        self.process(key!("owner"), owner.as_ref().map(|owner| &owner.process), |line| {
            line.name_or_null(key!("via"), owner.map(|owner| owner.via.name()));
        });
    }

    /// The same, where a connection has several records in a row.
    #[inline]
    pub fn connection_again(&mut self, recent: &mut Recent, connection: &Connection, owner: Option<Owner>) {
        recent.append(self.0, connection, owner, |out| Line(out).connection(connection, owner));
    }
}
