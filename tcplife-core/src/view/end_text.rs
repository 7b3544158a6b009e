//! The ends of a connection as text, written fast: a search for an address writes those of every connection.

use std::{
    fmt::Write,
    net::{IpAddr, SocketAddr},
};

/// Appends ` ADDRESS:PORT`. IPv4 is written by hand: this is most of what a search for an address costs.
pub(super) fn push_end(line: &mut String, end: SocketAddr) {
    line.push(' ');
    match end.ip() {
        IpAddr::V4(ip) => {
            for (n, octet) in ip.octets().into_iter().enumerate() {
                if n > 0 {
                    line.push('.');
                }
                push_number(line, octet.into());
            }
        }
        IpAddr::V6(ip) => {
            let written = write!(line, "{ip}");
            debug_assert!(written.is_ok(), "writing to a String cannot fail");
        }
    }
    line.push(':');
    push_number(line, end.port());
}

fn push_number(line: &mut String, number: u16) {
    let mut left = number;
    let mut digits = ['0'; 5];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = char::from(b'0' + u8::try_from(left % 10).unwrap_or(0));
        left /= 10;
        if left == 0 {
            break;
        }
    }
    line.extend(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_written_as_they_are_shown() {
        for end in ["0.0.0.0:0", "10.200.3.255:65535", "[fd00::1]:80", "127.0.0.1:1024"] {
            let end: SocketAddr = end.parse().unwrap();
            let mut line = String::new();
            push_end(&mut line, end);
            assert_eq!(line, format!(" {}:{}", end.ip(), end.port()));
        }
    }
}
