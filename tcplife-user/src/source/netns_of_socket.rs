//! Network namespaces that nothing but their sockets keeps: no process is in one, and it is mounted nowhere.
//!
//! What comes in: who has which socket of it by which descriptor. What goes out: a way in, for as long as it is kept. What always holds: the
//! namespace is the one that was asked for, whatever process has the pid by now.

use std::os::fd::{AsRawFd, FromRawFd};

use rustix::{
    fd::OwnedFd,
    io,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use super::namespaces::Netns;

/// `SIOCGSKNS` of include/uapi/linux/sockios.h: opens the network namespace of a socket.
const SIOCGSKNS: libc::Ioctl = 0x894c;

/// A way into a network namespace, which it keeps.
pub struct Opened {
    /// Leads to it.
    pub netns: Netns,
    _kept: OwnedFd,
}

/// The namespace `inode` of a socket that the process `pid` has as `fd`; `None` if it is another one by now, or may not be opened.
pub fn open(inode: u32, pid: u32, fd: u32) -> Option<Opened> {
    let kept = of_socket(pid, fd).ok()?;
    let netns = Netns::at(format!("/proc/self/fd/{}", kept.as_raw_fd()).into())?;
    (netns.inode == inode).then_some(Opened { netns, _kept: kept })
}

fn of_socket(pid: u32, fd: u32) -> io::Result<OwnedFd> {
    let number = |number: u32| i32::try_from(number).map_err(|_| io::Errno::INVAL);
    let process = pidfd_open(Pid::from_raw(number(pid)?).ok_or(io::Errno::INVAL)?, PidfdFlags::empty())?;
    let socket = pidfd_getfd(process, number(fd)?, PidfdGetfdFlags::empty())?;
    // SAFETY: takes no argument and writes nothing; what is no socket refuses it or knows another request by this number that takes none
    // either, for it is of the range of sockets' requests.
    let opened = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS) };
    if opened < 0 {
        return Err(io::Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(io::Errno::IO));
    }
    // SAFETY: the kernel has just made this descriptor for us (open_related_ns).
    Ok(unsafe { OwnedFd::from_raw_fd(opened) })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_leads_to_its_namespace() {
        let own = Netns::own().unwrap().inode;
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let fd = u32::try_from(socket.as_raw_fd()).unwrap();
        let this = std::process::id();
        assert_eq!(open(own, this, fd).unwrap().netns.inode, own);
        assert!(open(1, this, fd).is_none(), "another one");
        assert!(open(own, this, u32::MAX).is_none() && open(own, 0, fd).is_none());
    }
}
