//! `tcplife watch` in a real terminal: connections of a network namespace of its own, keys typed, the screen read, and
//! the terminal as it was afterwards.
//!
//! Needs root and tmux.

#![forbid(unsafe_code)]

mod terminal;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, Signal, prlimit};
use tcplife_tests::{
    actor::{Actor, Ends, Handle},
    namespace::{Family, Namespace},
    tcplife_binary,
};
use terminal::Terminal;

/// A terminal with `tcplife watch`, in sight of one connection.
struct Scene {
    terminal: Terminal,
    namespace: Namespace,
    client: Actor,
    server: Actor,
    listener: Handle,
    near: Handle,
    far: Handle,
    ends: Ends,
}

impl Scene {
    /// Opens the screen, then a connection, and waits for both.
    fn open(size: (u16, u16), environment: &str) -> Result<Self> {
        let namespace = Namespace::new()?;
        let program = tcplife_binary()?;
        let command = format!(
            "env {environment} '{}' watch --netns {} --leak-after 1s --refresh 100ms",
            program.display(),
            namespace.inode()
        );
        let terminal = Terminal::run(size, &command)?;
        // There may be connections elsewhere already.
        terminal.shows_after_start("No connection ")?;
        let (mut server, mut client) = (namespace.actor("server")?, namespace.actor("client")?);
        let (listener, at) = server.listen(Family::V4.loopback())?;
        let (near, ends) = client.connect(at)?;
        let (far, _) = server.accept(listener)?;
        let scene = Self { terminal, namespace, client, server, listener, near, far, ends };
        scene.client_row("ESTABLISHED")?;
        Ok(scene)
    }

    /// The row of the client's end, once it is in `state`.
    fn client_row(&self, state: &str) -> Result<String> {
        let (local, remote) = (self.ends.local.to_string(), self.ends.remote.to_string());
        let pid = self.client.pid().to_string();
        let row = self.terminal.line(&[state, &pid, "client", &local, &remote])?;
        ensure!(row.find(&local) < row.find(&remote), "the ends are the wrong way round: {row}");
        Ok(row)
    }

    /// The client closes, the server does not.
    fn leak(&mut self) -> Result<()> {
        self.client.close(self.near)?;
        self.client_row("FIN_WAIT_2")?;
        self.terminal.line(&["! CLOSE_WAIT"])?;
        self.terminal.shows("! 1 leaked")
    }
}

/// The age in a row, in seconds, of less than a minute.
fn age(row: &str) -> Result<u32> {
    let word = row.split_whitespace().find_map(|word| word.strip_suffix('s')?.parse().ok());
    word.with_context(|| format!("no age in {row}"))
}

#[test]
fn a_socket_that_is_not_closed_stands_out_and_its_age_goes_on() -> Result<()> {
    let mut scene = Scene::open((80, 24), "")?;
    scene.terminal.is_taken()?;
    scene.leak()?;
    // Nothing happens any more, and still the age is told each second.
    let first = age(&scene.terminal.line(&["! CLOSE_WAIT", "s "])?)?;
    scene.terminal.wait_for("a greater age", |screen| {
        let row = screen.lines().find(|line| line.starts_with("! CLOSE_WAIT"))?;
        (age(row).ok()? > first).then_some(())
    })?;
    scene.server.close(scene.far)?;
    scene.terminal.hides("! CLOSE_WAIT")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn the_detail_tells_the_states_one_by_one() -> Result<()> {
    let mut scene = Scene::open((100, 40), "")?;
    scene.leak()?;
    scene.terminal.press(&["f"])?;
    scene.terminal.shows("States to show")?;
    // The list opens at CLOSE_WAIT.
    scene.terminal.press(&["Enter"])?;
    scene.terminal.shows("CLOSE_WAIT only")?;
    scene.terminal.hides("FIN_WAIT_2  ")?;
    scene.terminal.press(&["Enter"])?;
    scene.terminal.line(&["ENTERED", "STAY"])?;
    for state in ["ESTABLISHED", "CLOSE_WAIT"] {
        scene.terminal.line(&["  ", state, "  +"])?;
    }
    scene.terminal.line(&["CLOSE_WAIT for", "suspect (over 1s)"])?;
    scene.terminal.shows("closed first remote")?;
    scene.terminal.press(&["Escape"])?;
    scene.terminal.hides("ENTERED")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn a_filter_is_typed_applied_and_cleared() -> Result<()> {
    let scene = Scene::open((80, 24), "")?;
    scene.terminal.press(&["/"])?;
    scene.terminal.shows("filter: ")?;
    scene.terminal.press(&["-l", "no such thing, q"])?;
    scene.terminal.shows("filter: no such thing, q")?;
    scene.terminal.shows("No connection passes the filters")?;
    scene.terminal.press(&["Escape"])?;
    scene.client_row("ESTABLISHED")?;
    scene.terminal.press(&["/"])?;
    scene.terminal.press(&["-l", "CLIENT"])?;
    scene.terminal.press(&["Enter"])?;
    scene.terminal.shows("with \"CLIENT\"")?;
    scene.terminal.shows("1 of ")?;
    scene.client_row("ESTABLISHED")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn a_pause_stops_rows_and_ages_until_it_is_over() -> Result<()> {
    let mut scene = Scene::open((80, 24), "")?;
    scene.terminal.press(&["Space"])?;
    scene.terminal.shows("PAUSED")?;
    scene.client.close(scene.near)?;
    scene.server.close(scene.far)?;
    // The other views still answer, of the same moment.
    scene.terminal.press(&["5"])?;
    scene.terminal.line(&["SYN_SENT → ESTABLISHED", "client"])?;
    scene.terminal.hides("FIN_WAIT_1")?;
    scene.terminal.press(&["1"])?;
    scene.client_row("ESTABLISHED")?;
    scene.terminal.press(&["Space"])?;
    scene.terminal.hides("PAUSED")?;
    scene.terminal.hides("ESTABLISHED")?;
    scene.terminal.press(&["5"])?;
    scene.terminal.line(&["ESTABLISHED → FIN_WAIT_1", "client"])?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn groups_unfold_to_their_connections() -> Result<()> {
    let scene = Scene::open((100, 30), "")?;
    scene.terminal.press(&["a"])?;
    scene.terminal.line(&["PROCESS", "CONNS", "SUSPECT"])?;
    let pid = scene.client.pid().to_string();
    scene.terminal.line(&[&pid, "client", " 1 "])?;
    scene.terminal.press(&["a"])?;
    scene.terminal.line(&["PORT ", "CONNS"])?;
    scene.terminal.press(&["Enter"])?;
    scene.terminal.shows(&format!("with \"port:{}\"", scene.ends.remote.port()))?;
    scene.client_row("ESTABLISHED")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn a_row_and_its_end_are_copied_to_the_terminal() -> Result<()> {
    let scene = Scene::open((200, 30), "")?;
    scene.terminal.press(&["/"])?;
    scene.terminal.press(&["-l", "comm:client"])?;
    scene.terminal.press(&["Enter", "K"])?;
    let (local, remote) = (scene.ends.local, scene.ends.remote);
    let command = format!("ss -K -t state established 'src {local} and dst {remote}'");
    scene.terminal.line(&["copied: sudo ", &command])?;
    scene.terminal.has_copied(&command)?;
    scene.terminal.press(&["c"])?;
    scene.terminal.has_copied(&format!("client[{}] {local} {remote}", scene.client.pid()))?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn leaks_name_the_process_and_the_descriptor_and_open_to_a_timeline() -> Result<()> {
    let mut scene = Scene::open((100, 40), "")?;
    scene.leak()?;
    scene.terminal.press(&["2"])?;
    let pid = format!("pid {}", scene.server.pid());
    scene.terminal.line(&["▸ server", &pid, "! 1 leaked"])?;
    scene.terminal.press(&["Enter", "j"])?;
    scene.terminal.line(&["! CLOSE_WAIT", "fd ", "eof_unread"])?;
    scene.terminal.press(&["Enter"])?;
    scene.terminal.line(&["CLOSE_WAIT", "FIN ──", "FIN_WAIT_2"])?;
    scene.terminal.line(&["held by", &format!("server[{}]:fd", scene.server.pid())])?;
    scene.server.close(scene.far)?;
    scene.terminal.press(&["Escape"])?;
    scene.terminal.shows("No leak.")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn histograms_have_finished_and_open_stays() -> Result<()> {
    let mut scene = Scene::open((100, 30), "")?;
    scene.leak()?;
    scene.terminal.press(&["3"])?;
    // Both ends were in ESTABLISHED; the server's lasts in CLOSE_WAIT.
    scene.terminal.line(&["  ESTABLISHED", " 2 "])?;
    scene.terminal.line(&["  CLOSE_WAIT", " 0 ", " 1 "])?;
    scene.terminal.press(&["b"])?;
    scene.terminal.shows("by process (b)")?;
    scene.terminal.line(&[&format!("server pid {}", scene.server.pid())])?;
    scene.terminal.press(&["G"])?;
    scene.terminal.line(&["█ ended", "░ open"])?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn ports_are_told_by_destination_with_what_the_kernel_allows() -> Result<()> {
    let mut scene = Scene::open((120, 30), "")?;
    scene.client.close(scene.near)?;
    scene.server.close(scene.far)?;
    scene.terminal.press(&["4"])?;
    let to = format!("→ {}", scene.ends.remote);
    let client = format!("client[{}]", scene.client.pid());
    scene.terminal.line(&[&to, "<1%", " 1 ", "never", &client])?;
    let namespace = format!("Namespace {}", scene.namespace.inode());
    scene.terminal.shows(&namespace)?;
    scene.terminal.line(&["ip_local_port_range = ", "ports for each destination"])?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn events_can_be_filtered() -> Result<()> {
    let scene = Scene::open((100, 30), "")?;
    scene.terminal.press(&["5"])?;
    scene.terminal.line(&["SYN_SENT → ESTABLISHED", "client"])?;
    scene.terminal.line(&["SYN_RECEIVED → ESTABLISHED"])?;
    scene.terminal.press(&["/"])?;
    scene.terminal.press(&["-l", "state:syn_sent"])?;
    scene.terminal.press(&["Enter"])?;
    scene.terminal.hides("SYN_RECEIVED → ESTABLISHED")?;
    scene.terminal.line(&["SYN_SENT → ESTABLISHED", "client"])?;
    scene.terminal.press(&["/"])?;
    scene.terminal.press(&["-l", " pid:x"])?;
    scene.terminal.shows("! pid:x: not a process id")?;
    scene.terminal.press(&["Escape"])?;
    scene.terminal.hides("filter: ")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn the_help_has_every_key_and_closes_again() -> Result<()> {
    let scene = Scene::open((80, 24), "")?;
    scene.terminal.press(&["?"])?;
    scene.terminal.line(&["Space", "freeze the data"])?;
    scene.terminal.press(&["G"])?;
    scene.terminal.line(&["state", "tp_btf/inet_sock_set_state"])?;
    scene.terminal.press(&["q"])?;
    scene.terminal.hides("freeze the data")?;
    scene.client_row("ESTABLISHED")?;
    scene.terminal.press(&["C-c"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn the_terminal_may_change_its_size_at_any_moment() -> Result<()> {
    let mut scene = Scene::open((200, 50), "")?;
    scene.terminal.line(&["VIA", "LOCAL", "REMOTE", "RETR"])?;
    scene.terminal.resize(60, 15)?;
    scene.terminal.hides("VIA")?;
    scene.terminal.line(&["ESTABLISHED", "client"])?;
    scene.terminal.resize(59, 15)?;
    scene.terminal.shows("tcplife needs 60x15")?;
    scene.terminal.resize(120, 30)?;
    scene.client_row("ESTABLISHED")?;
    scene.terminal.press(&["s", "s", "S", "j", "k", "G", "g"])?;
    let (another, ends) = scene.client.connect(scene.ends.remote)?;
    scene.server.accept(scene.listener)?;
    scene.terminal.line(&["ESTABLISHED", "client", &ends.local.to_string()])?;
    scene.client.close(another)?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn a_signal_gives_the_terminal_back() -> Result<()> {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let scene = Scene::open((80, 24), "NO_COLOR=1")?;
        scene.terminal.signal(signal)?;
        scene.terminal.is_given_back(0).with_context(|| format!("after {signal:?}"))?;
        ensure!(scene.namespace.inode() > 0);
    }
    Ok(())
}

/// Without a descriptor left the kernel cannot be asked who leaks, and nobody is accused from memory.
#[test]
fn sockets_that_cannot_be_listed_leave_nobody_accused() -> Result<()> {
    let mut scene = Scene::open((80, 24), "")?;
    scene.leak()?;
    scene.terminal.press(&["2"])?;
    scene.terminal.line(&["server", "1 leaked"])?;
    let none = Rlimit { current: Some(3), maximum: Some(3) };
    prlimit(Some(scene.terminal.process().context("it has ended")?), Resource::Nofile, none)?;
    scene.terminal.line(&["sockets not listed"])?;
    scene.terminal.shows("Not known: the kernel's sockets cannot be listed.")?;
    scene.terminal.press(&["q"])?;
    scene.terminal.is_given_back(0)
}

#[test]
fn a_selected_namespace_that_goes_is_said_to() -> Result<()> {
    let Scene { terminal, namespace, client, server, .. } = Scene::open((80, 24), "")?;
    let inode = namespace.inode().to_string();
    drop((client, server, namespace));
    terminal.line(&["netns", &inode, "gone"])?;
    terminal.press(&["q"])?;
    terminal.is_given_back(0)
}

#[test]
fn a_terminal_that_vanishes_ends_it() -> Result<()> {
    let scene = Scene::open((80, 24), "")?;
    scene.terminal.press(&["Space"])?;
    scene.terminal.shows("PAUSED")?;
    scene.terminal.vanish()
}
