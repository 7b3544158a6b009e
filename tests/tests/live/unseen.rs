//! What `leaks` says of what is out of its sight, or nearly so.

use anyhow::{Result, ensure};
use tcplife_tests::{
    namespace::Family,
    suspect::{Report, suspects},
};

use crate::leaks::{Scene, one};

/// What a process out of sight holds is not said to be the kernel's, and accuses nobody. A connection that was not accepted is leaked by
/// whoever listens.
#[test]
fn what_an_unseen_process_may_hold_is_no_leak_of_the_kernels() -> Result<()> {
    let mut scene = Scene::new(Family::V4)?;
    let (_, unclosed) = scene.unclosed()?;
    let (near, halved) = scene.client.connect(scene.at)?;
    let (far, _) = scene.server.accept(scene.listener)?;
    scene.client.on(near, "shutdown")?;
    scene.await_state("close_wait", 2)?;
    scene.await_state("fin_wait_2", 2)?;
    for evidence in ["bpf", "sock_diag"] {
        let report = scene.report_from_pid_namespace(&["--evidence", evidence, "--all"])?;
        ensure!(report.status == Some(0), "{report:?}");
        let noted = report.said.lines().filter(|line| line.contains("outside this pid namespace")).count();
        ensure!(noted == 1 && report.text.contains(" of this pid namespace"), "{report:?}");
        let found = suspects(&report.records);
        for ends in [unclosed, halved, halved.turned()] {
            let suspect = one(&found, ends)?;
            ensure!(suspect.verdict == "holder_unseen" && !suspect.leak, "{suspect:?}");
            ensure!(!suspect.reason.contains("kernel"), "{suspect:?}");
        }
        let leaks = scene.report_from_pid_namespace(&["--evidence", evidence])?;
        ensure!(suspects(&leaks.records).is_empty(), "{leaks:?}");
    }
    scene.server.close(far)?;
    let (near, _) = scene.client.connect(scene.at)?;
    let waiting = scene.client.ends(near)?.turned();
    scene.client.close(near)?;
    scene.await_state("close_wait", 2)?;
    let report = scene.report_from_pid_namespace(&[])?;
    ensure!(report.status == Some(1), "{report:?}");
    let found = suspects(&report.records);
    ensure!(one(&found, waiting)?.verdict == "never_accepted" && found.len() == 1, "{found:?}");
    Ok(())
}

/// Nobody is in the namespace any more and nothing leads into it but a socket: what was not accepted there is found all the same, and
/// whose the other ends are.
#[test]
fn a_namespace_that_only_its_sockets_keep_is_looked_into() -> Result<()> {
    let mut scene = Scene::new(Family::V4)?;
    let (_, unclosed) = scene.unclosed()?;
    let (near, halved) = scene.client.connect(scene.at)?;
    scene.server.accept(scene.listener)?;
    scene.client.on(near, "shutdown")?;
    let (near, _) = scene.client.connect(scene.at)?;
    let waiting = scene.client.ends(near)?.turned();
    scene.client.close(near)?;
    scene.await_state("close_wait", 3)?;
    let Scene { namespace, mut server, mut client, .. } = scene;
    let inode = namespace.inode().to_string();
    for actor in [&mut server, &mut client] {
        actor.call(&format!("netns /proc/{}/ns/net", std::process::id()))?;
    }
    drop(namespace);
    for more in [&["--all"][..], &["--all", "-d", "100ms"]] {
        let report = Report::once(&[&["--netns", &inode, "--leak-after", "0s"], more].concat())?;
        let found = suspects(&report.records);
        ensure!(one(&found, waiting)?.verdict == "never_accepted", "{more:?}: {report:?}");
        ensure!(one(&found, unclosed)?.verdict == "unclosed", "{more:?}: {report:?}");
        let peer = one(&found, halved)?.peer_owner.as_ref().map(|peer| peer.pid);
        ensure!(peer == Some(server.pid()), "{more:?}: {report:?}");
    }
    Ok(())
}
