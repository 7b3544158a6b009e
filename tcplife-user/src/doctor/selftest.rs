//! Connections of every fate, in a network namespace of their own, so that each hook has something to see.
//!
//! What comes in: the word to begin, and the word that enough was seen. What goes out: traffic on a loopback device that
//! nobody else uses. What always holds: the rest of the host is not touched; nothing is left when the thread ends, as
//! the namespace ends with it.

use std::{
    fs, io,
    io::{Read, Write},
    mem::size_of,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, netlink, recv, sendto, socket,
    socket_with, sockopt::set_socket_linger,
};

/// No answer comes later than this on a loopback device.
const PATIENCE: Duration = Duration::from_secs(2);
/// A SYN-ACK is sent again after one second (`TCP_TIMEOUT_INIT`, include/net/tcp.h).
const RETRANSMITS: Duration = Duration::from_millis(1_500);
/// How long an orphan is left waiting for its peer, so that the wait is seen as one.
const ORPHAN_WAIT: Duration = Duration::from_millis(20);

/// The self-test's thread.
pub struct SelfTest {
    netns: u32,
    words: Sender<()>,
    thread: JoinHandle<Result<()>>,
}

impl SelfTest {
    /// Makes the namespace; no traffic yet.
    ///
    /// # Errors
    /// The kernel does not allow it.
    pub fn prepare() -> Result<Self> {
        let (words, heard) = channel();
        let (made, inode) = channel();
        let thread = thread::Builder::new().name("selftest".into()).spawn(move || {
            let netns = private_namespace();
            let ready = netns.is_ok();
            // Without a receiver the self-test was given up.
            if made.send(netns).is_ok() && ready && heard.recv().is_ok() {
                live(&heard)?;
            }
            Ok(())
        })?;
        let netns = inode.recv().context("the self-test's thread ended at once")??;
        Ok(Self { netns, words, thread })
    }

    /// Inode of the namespace.
    pub const fn netns(&self) -> u32 {
        self.netns
    }

    /// Begins the traffic; a second call ends the wait for retransmissions.
    pub fn go_on(&self) {
        // A thread that has ended needs no word.
        let _ = self.words.send(());
    }

    /// Whether the traffic is over and the namespace is left.
    pub fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// What went wrong, if something did. Waits for the end.
    ///
    /// # Errors
    /// A connection did not do what it should on a loopback device.
    pub fn outcome(self) -> Result<()> {
        drop(self.words);
        self.thread.join().map_err(|_| anyhow!("the self-test's thread broke off"))?
    }
}

/// Moves this thread into a new network namespace with its loopback device up.
fn private_namespace() -> Result<u32> {
    // SAFETY: only this thread moves, and it shares no descriptors of the namespace with others; CLONE_FILES, for which
    // the function is unsafe, is not asked for.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }
        .context("cannot make a network namespace")?;
    loopback_up().context("cannot set the loopback device up")?;
    let inode = fs::metadata("/proc/thread-self/ns/net").context("cannot look at the new namespace")?.ino();
    u32::try_from(inode).context("the namespace's inode is too large")
}

/// Asks rtnetlink to set interface 1 up: the loopback device of every namespace (`LOOPBACK_IFINDEX`).
fn loopback_up() -> Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family and type, index, flags, which flags.
    message.extend([0; 4]);
    message.extend(1_u32.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());

    let route = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(&route, &message, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
    let mut answer = [0; 64];
    let (length, _) = recv(&route, answer.as_mut_slice(), RecvFlags::empty())?;
    // struct nlmsgerr behind the header: 0, or an errno below it.
    let code = answer[..length].get(16..20).and_then(|bytes| bytes.first_chunk().copied());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(-code).into()),
        None => Err(anyhow!("rtnetlink gave a short answer")),
    }
}

/// A connection through the loopback device.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

impl Pair {
    fn new(listener: &TcpListener) -> Result<Self> {
        let client = TcpStream::connect_timeout(&listener.local_addr()?, PATIENCE)?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(Self { client, server })
    }
}

/// Every fate once.
fn live(heard: &Receiver<()>) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    shut_down(Pair::new(&listener)?)?;
    orphaned(Pair::new(&listener)?);
    spoken_to(Pair::new(&listener)?)?;
    reset(Pair::new(&listener)?)?;
    refused()?;
    let unheard = send_unheard(Pair::new(&listener)?)?;
    let unanswered = connect_unheard(&listener)?;
    // A word, or no one to give it, ends the wait as time does.
    let _ = heard.recv_timeout(RETRANSMITS);
    for end in [unheard.client.as_fd(), unheard.server.as_fd(), unanswered.as_fd()] {
        // Without it the ends would wait for each other and keep the namespace alive.
        set_socket_linger(end, Some(Duration::ZERO))?;
    }
    Ok(())
}

/// The client says that it has no more to send, and closes after the server has: `TIME_WAIT` begins from a full socket.
fn shut_down(mut pair: Pair) -> Result<()> {
    pair.client.shutdown(Shutdown::Write)?;
    expect_end(&mut pair.server)?;
    drop(pair.server);
    expect_end(&mut pair.client)
}

/// The client closes, and its peer takes its time: `FIN_WAIT_2` without a socket, then `TIME_WAIT`.
fn orphaned(pair: Pair) {
    drop(pair.client);
    thread::sleep(ORPHAN_WAIT);
    drop(pair.server);
}

/// The client closes, and its peer still has something to say: `FIN_WAIT_2` ends with a reset.
fn spoken_to(mut pair: Pair) -> Result<()> {
    drop(pair.client);
    thread::sleep(ORPHAN_WAIT);
    pair.server.write_all(b"?")?;
    Ok(())
}

fn reset(mut pair: Pair) -> Result<()> {
    set_socket_linger(&pair.client, Some(Duration::ZERO))?;
    drop(pair.client);
    let outcome = pair.server.read(&mut [0]);
    ensure!(outcome.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionReset), "a reset did not arrive");
    Ok(())
}

fn refused() -> Result<()> {
    let closed = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?.local_addr()?;
    let outcome = TcpStream::connect_timeout(&closed, PATIENCE);
    ensure!(
        outcome.is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused),
        "a closed port did not refuse"
    );
    Ok(())
}

/// The client sends what the server's socket drops: a segment is sent again.
fn send_unheard(mut pair: Pair) -> Result<Pair> {
    deafen(&pair.server)?;
    pair.client.write_all(b"?")?;
    Ok(pair)
}

/// The client drops the listener's answer: the SYN-ACK is sent again.
fn connect_unheard(listener: &TcpListener) -> Result<OwnedFd> {
    let client = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        None,
    )?;
    deafen(&client)?;
    match connect(&client, &listener.local_addr()?) {
        Ok(()) => Err(anyhow!("a connection without an answer was established")),
        Err(rustix::io::Errno::INPROGRESS) => Ok(client),
        Err(error) => Err(error.into()),
    }
}

fn expect_end(end: &mut TcpStream) -> Result<()> {
    ensure!(end.read(&mut [0])? == 0, "something arrived that was not sent");
    Ok(())
}

/// Makes a socket drop whatever arrives, by a filter that keeps nothing (`tcp_filter` in `net/ipv4/tcp_ipv4.c`).
fn deafen(socket: &impl AsRawFd) -> io::Result<()> {
    const RETURN_CONSTANT: u16 = 0x06;
    let mut keep_nothing = libc::sock_filter { code: RETURN_CONSTANT, jt: 0, jf: 0, k: 0 };
    let program = libc::sock_fprog { len: 1, filter: &raw mut keep_nothing };
    let length = libc::socklen_t::try_from(size_of::<libc::sock_fprog>()).map_err(io::Error::other)?;
    // SAFETY: `program` and the one instruction it points to live until the call returns; the kernel copies them.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            length,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A self-test, where there are the rights for one.
    fn prepared() -> Option<SelfTest> {
        match SelfTest::prepare() {
            Ok(test) => Some(test),
            Err(error) => {
                let why = format!("{error:#}");
                assert!(why.contains("not permitted"), "{why}");
                eprintln!("not run: {why}");
                None
            }
        }
    }

    #[test]
    fn every_fate_comes_true_and_leaves_nothing() {
        let Some(test) = prepared() else { return };
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert_ne!(u64::from(test.netns()), own, "this thread stays where it is");
        test.go_on();
        test.go_on();
        test.outcome().unwrap();
    }

    #[test]
    fn a_self_test_that_is_given_up_ends() {
        if let Some(test) = prepared() {
            test.outcome().unwrap();
        }
    }
}
