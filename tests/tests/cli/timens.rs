//! A time namespace whose clocks are ahead of the kernel's.

use std::{
    net::{TcpListener, TcpStream},
    process::Command,
};

use anyhow::{Result, bail, ensure};
use tcplife_tests::tcplife_binary;

use crate::run::{end_of, isolated};

/// The holder is known as the process that it is, and neither its age nor the socket's has the distance in it.
#[test]
fn another_time_namespace_changes_no_age() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    drop(TcpStream::connect(listener.local_addr()?)?);
    let _unclosed = listener.accept()?;
    let mut command = Command::new("unshare");
    command.args(["--time", "--monotonic", "90000", "--boottime", "180000", "--fork"]);
    command.arg(tcplife_binary()?).args(["leaks", "--leak-after", "0s", "-L", &port]);
    let ended = end_of(isolated(command))?;
    let between = |from: &str, to: &str| Some(ended.out.split_once(from)?.1.split_once(to)?.0);
    let (Some(runs), Some(closed)) = (between(", for ", "\n"), between("the peer closed ", " ago")) else {
        bail!("the process or its socket is not known: {ended:?}");
    };
    // 25 and 50 hours ahead.
    let is_long = |age: &str| age.contains(['h', 'd']);
    ensure!(ended.status == Some(0) && !is_long(runs) && !is_long(closed), "{runs}, {closed}: {ended:?}");
    Ok(())
}
