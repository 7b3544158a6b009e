//! Sockets that go from one process to another, by `SCM_RIGHTS`.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::AsFd,
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use socket2::Socket;

use crate::{bad, sockets::World};

/// Room for one descriptor.
const ROOM: usize = rustix::cmsg_space!(ScmRights(1));

/// Does what `words` say: `inbox NAME` opens one, `hand SOCKET NAME` puts a copy of a socket into it, `unpack` takes
/// one out and answers its handle.
pub(crate) fn perform(world: &mut World, words: &[&str]) -> io::Result<String> {
    match words {
        ["inbox", name] => {
            world.inbox = Some(UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)?);
            Ok(String::new())
        }
        ["hand", socket, name] => {
            let to = UnixDatagram::unbound()?;
            to.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
            hand(world.socket(socket)?, &to)
        }
        ["unpack"] => {
            let socket = unpack(world.inbox.as_ref().ok_or_else(|| bad("no inbox"))?)?;
            Ok(world.keep(socket))
        }
        _ => Err(bad("unknown command")),
    }
}

fn hand(socket: &Socket, to: &UnixDatagram) -> io::Result<String> {
    let descriptors = [socket.as_fd()];
    let mut space = [MaybeUninit::uninit(); ROOM];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(bad("no room for a descriptor"));
    }
    sendmsg(to, &[IoSlice::new(b"!")], &mut ancillary, SendFlags::empty())?;
    Ok(String::new())
}

fn unpack(inbox: &UnixDatagram) -> io::Result<Socket> {
    let mut space = [MaybeUninit::uninit(); ROOM];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(inbox, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::empty())?;
    let mut messages = ancillary.drain();
    match messages.next() {
        Some(RecvAncillaryMessage::ScmRights(mut descriptors)) => {
            descriptors.next().map(Socket::from).ok_or_else(|| bad("an empty parcel"))
        }
        _ => Err(bad("no parcel")),
    }
}
