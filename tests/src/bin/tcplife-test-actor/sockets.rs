//! The sockets of this process, by handle.

use std::{
    collections::BTreeMap,
    env,
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, TcpKeepalive, Type};

use crate::{bad, chaos, parse};

/// Classic BPF, `BPF_RET | BPF_K`: keep that many bytes of a packet.
const RETURN: u16 = 0x06;

/// What this process holds.
#[derive(Default)]
pub(crate) struct World {
    sockets: BTreeMap<u32, Socket>,
    heirs: BTreeMap<u32, Child>,
    /// Where others hand sockets in.
    pub(crate) inbox: Option<UnixDatagram>,
    last: u32,
}

impl World {
    pub(crate) fn socket(&self, handle: &str) -> io::Result<&Socket> {
        self.sockets.get(&parse(handle)?).ok_or_else(|| bad("no such socket"))
    }

    fn take(&mut self, handle: &str) -> io::Result<Socket> {
        self.sockets.remove(&parse(handle)?).ok_or_else(|| bad("no such socket"))
    }

    /// Keeps a socket; the answer is its handle.
    pub(crate) fn keep(&mut self, socket: Socket) -> String {
        self.last += 1;
        self.sockets.insert(self.last, socket);
        self.last.to_string()
    }
}

/// Does what `words` say.
pub(crate) fn perform(world: &mut World, words: &[&str]) -> io::Result<String> {
    match words {
        ["open", kind] => open(kind).map(|socket| world.keep(socket)),
        ["accept", handle] => {
            let (socket, _) = world.socket(handle)?.accept()?;
            Ok(world.keep(socket))
        }
        ["close", handle] => {
            drop(world.take(handle)?);
            done(())
        }
        ["heir", handle] => {
            let child = spawn_heir(world.socket(handle)?)?;
            let pid = child.id();
            world.heirs.insert(pid, child);
            Ok(pid.to_string())
        }
        ["bury", pid] => {
            let mut heir = world.heirs.remove(&parse(pid)?).ok_or_else(|| bad("no such heir"))?;
            drop(heir.stdin.take());
            heir.wait().map(|status| status.to_string())
        }
        [verb, handle, rest @ ..] => on_socket(world.socket(handle)?, verb, rest),
        _ => Err(bad("unknown command")),
    }
}

fn on_socket(socket: &Socket, verb: &str, rest: &[&str]) -> io::Result<String> {
    match (verb, rest) {
        ("bind", [at]) => socket.bind(&address(at)?).and_then(done),
        ("listen", [backlog]) => socket.listen(parse(backlog)?).and_then(done),
        ("names", []) => names(socket),
        ("connect", [to]) => socket.connect(&address(to)?).and_then(done),
        ("start", [to]) => start(socket, &address(to)?),
        ("finish", []) => finish(socket),
        ("unspec", []) => done(rustix::net::connect_unspec(socket)?),
        ("send", [count]) => send(socket, parse(count)?),
        ("receive", [count]) => receive(socket, Some(parse(count)?)),
        ("drain", []) => receive(socket, None),
        ("peek", [count]) => peek(socket, parse(count)?),
        ("shutdown", []) => socket.shutdown(Shutdown::Write).and_then(done),
        _ => set(socket, verb, rest),
    }
}

fn set(socket: &Socket, verb: &str, rest: &[&str]) -> io::Result<String> {
    match (verb, rest) {
        ("linger0", []) => socket.set_linger(Some(Duration::ZERO)).and_then(done),
        ("deaf", []) => socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]).and_then(done),
        ("lose", []) => chaos::lose(socket).and_then(done),
        ("hear", []) => socket.detach_filter().and_then(done),
        ("give_up", [ms]) => {
            socket.set_tcp_user_timeout(Some(Duration::from_millis(parse(ms)?))).and_then(done)
        }
        ("keepalive", [seconds, tries]) => {
            let period = Duration::from_secs(parse(seconds)?);
            let how = TcpKeepalive::new().with_time(period).with_interval(period).with_retries(parse(tries)?);
            socket.set_tcp_keepalive(&how).and_then(done)
        }
        _ => Err(bad("unknown command")),
    }
}

/// A process that holds the socket too, as its standard output.
fn spawn_heir(socket: &Socket) -> io::Result<Child> {
    let inherited = OwnedFd::from(socket.try_clone()?);
    Command::new(env::current_exe()?).arg("--heir").stdin(Stdio::piped()).stdout(inherited).spawn()
}

/// The answer of what has none.
#[expect(clippy::unnecessary_wraps, reason = "ends a chain of results")]
fn done((): ()) -> io::Result<String> {
    Ok(String::new())
}

fn address(word: &str) -> io::Result<SockAddr> {
    parse::<SocketAddr>(word).map(SockAddr::from)
}

pub(crate) fn open(kind: &str) -> io::Result<Socket> {
    let (domain, protocol) = match kind {
        "4" => (Domain::IPV4, Protocol::TCP),
        "6" => (Domain::IPV6, Protocol::TCP),
        "mptcp" => (Domain::IPV4, Protocol::MPTCP),
        _ => return Err(bad("expected 4, 6 or mptcp")),
    };
    let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
    socket.set_reuse_address(true)?;
    Ok(socket)
}

/// `LOCAL REMOTE`, with `-` for no remote end.
fn names(socket: &Socket) -> io::Result<String> {
    let text = |name: SockAddr| name.as_socket().map_or_else(|| "-".to_owned(), |a| a.to_string());
    let remote = socket.peer_addr().map_or_else(|_| "-".to_owned(), text);
    Ok(format!("{} {remote}", text(socket.local_addr()?)))
}

/// Begins to connect and does not wait.
fn start(socket: &Socket, to: &SockAddr) -> io::Result<String> {
    socket.set_nonblocking(true)?;
    match socket.connect(to) {
        Err(error) if error.raw_os_error() != Some(Errno::INPROGRESS.raw_os_error()) => Err(error),
        _ => done(()),
    }
}

/// Waits for what `start` began.
fn finish(socket: &Socket) -> io::Result<String> {
    poll(&mut [PollFd::new(socket, PollFlags::OUT)], None)?;
    socket.set_nonblocking(false)?;
    socket.take_error()?.map_or_else(|| done(()), Err)
}

fn send(mut socket: &Socket, count: usize) -> io::Result<String> {
    let block = vec![b'x'; count.min(1 << 16)];
    let mut left = count;
    while left > 0 {
        left -= socket.write(block.get(..left.min(block.len())).unwrap_or(&block))?;
    }
    done(())
}

/// Reads `count` bytes, or until the end of the stream; answers how many.
fn receive(mut socket: &Socket, count: Option<usize>) -> io::Result<String> {
    let mut block = vec![0; 1 << 16];
    let mut seen = 0;
    loop {
        let room = count.map_or(block.len(), |count| (count - seen).min(block.len()));
        let got = if room == 0 { 0 } else { socket.read(block.get_mut(..room).unwrap_or_default())? };
        seen += got;
        if got == 0 {
            return if count.is_none_or(|count| count == seen) {
                Ok(seen.to_string())
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
    }
}

/// Waits until `count` bytes are there, and leaves them there.
fn peek(socket: &Socket, count: usize) -> io::Result<String> {
    let mut block = vec![0; count];
    let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::WAITALL;
    let (seen, _) = rustix::net::recv(socket, &mut block, flags)?;
    Ok(seen.to_string())
}
