//! Without rights: exit status 2 and one sentence that says what is missing.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use tcplife_tests::tcplife_binary;

use crate::run::{Ended, end_of, isolated, run};

/// A file in the temporary folder. Removed with it.
struct Scrap(PathBuf);

impl Scrap {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("tcplife-{name}-{}", std::process::id())))
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        // A file that stays in the temporary folder harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// A copy of `tcplife` that everybody can run, wherever the build is.
struct Copy(Scrap);

impl Copy {
    fn new(name: &str) -> Result<Self> {
        let file = Scrap::new(name);
        fs::copy(tcplife_binary()?, &file.0).with_context(|| file.0.display().to_string())?;
        fs::set_permissions(&file.0, fs::Permissions::from_mode(0o755))?;
        Ok(Self(file))
    }

    /// Runs it as nobody.
    fn run(&self, arguments: &[&str]) -> Result<Ended> {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        command.arg(&self.0.0).args(arguments);
        end_of(isolated(command))
    }
}

#[test]
fn tracing_without_rights_names_what_is_missing() -> Result<()> {
    let copy = Copy::new("trace")?;
    for arguments in
        [&["trace"][..], &["trace", "-o", "json"], &["lives", "-o", "csv"], &["hist", "-q", "-d", "1s"]]
    {
        let ended = copy.run(arguments)?;
        let sentence = ended.sentence()?;
        for word in ["root", "sudo", "CAP_BPF", "CAP_PERFMON"] {
            ensure!(sentence.contains(word), "{arguments:?}: no {word:?} in {sentence:?}");
        }
        ensure!(ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

/// A server that leaks a connection; what is to be done then is `$1`.
const LEAK: &str = r#"
ip link set lo up
exec 3< <(exec python3 -uc '
import socket, time
listener = socket.create_server(("127.0.0.1", 9))
client = socket.create_connection(("127.0.0.1", 9))
server = listener.accept()[0]
client.close()
print("closed")
time.sleep(60)
')
read -u 3
eval "$1"
"#;

/// Does something beside that server, in network and pid namespaces of their own: nobody else's processes are seen.
fn beside_a_leak(what: &str) -> Result<Ended> {
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "bash",
        "-c",
        LEAK,
        "bash",
        what,
    ]);
    command.env("TCPLIFE", tcplife_binary()?);
    end_of(isolated(command))
}

#[test]
fn what_is_in_the_same_pid_namespace_is_accused() -> Result<()> {
    let leaks = r#""$TCPLIFE" leaks --leak-after 0s -L 9 --evidence"#;
    let ended = beside_a_leak(&format!("{leaks} sock_diag; {leaks} bpf"))?;
    ensure!(ended.out.matches(": 1 eof_unread\n").count() == 2, "{ended:?}");
    ensure!(ended.out.matches("1 leaked socket in 1 owner").count() == 2, "{ended:?}");
    ensure!(ended.out.matches("has another pid in this /proc\n").count() == 1, "{ended:?}");
    ensure!(ended.err.matches("pids are those of the host").count() == 1, "{ended:?}");
    Ok(())
}

#[test]
fn a_process_that_is_hidden_is_not_said_to_hold_nothing() -> Result<()> {
    let copy = Copy::new("hidden")?;
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let leaks = format!("{} leaks --leak-after 0s -L 9 --evidence sock_diag", copy.0.0.display());
    let ended = beside_a_leak(&format!("mount -o remount,hidepid=2 /proc && {nobody} {leaks}"))?;
    let sentence = ended.sentence()?;
    ensure!(sentence.contains("/proc does not show every process") && ended.out.is_empty(), "{ended:?}");
    Ok(())
}

/// Runs it as root of a user namespace, which has all capabilities there.
fn run_in_user_namespace(arguments: &[&str]) -> Result<Ended> {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--"]).arg(tcplife_binary()?).args(arguments);
    end_of(isolated(command))
}

/// A log of yesterday's is worth more than none of today's.
#[test]
fn without_a_trace_a_log_stays_as_it_was() -> Result<()> {
    let log = Scrap::new("log");
    fs::write(&log.0, "yesterday")?;
    let path = log.0.to_str().context("no text")?;
    let ended = run_in_user_namespace(&["hist", "-d", "1s", "--hdr-log", path])?;
    ensure!(ended.sentence()?.contains("CAP_BPF"), "{ended:?}");
    ensure!(fs::read_to_string(&log.0)? == "yesterday", "the file was emptied");
    let ended = run(&["hist", "-q", "-d", "100ms", "--hdr-log", path])?;
    ensure!(ended.status == Some(0), "{ended:?}");
    let written = fs::read_to_string(&log.0)?;
    ensure!(written.starts_with("#[") && !written.contains("yesterday"), "{written}");
    Ok(())
}

#[test]
fn root_of_a_user_namespace_has_no_rights() -> Result<()> {
    for arguments in [&["trace", "-d", "1s"][..], &["leaks"], &["leaks", "--evidence", "bpf"], &["doctor"]] {
        let ended = run_in_user_namespace(arguments)?;
        let sentence = ended.sentence()?;
        for word in ["user namespace", "root", "sudo", "CAP_BPF"] {
            ensure!(sentence.contains(word), "{arguments:?}: no {word:?} in {sentence:?}");
        }
        let told = if *arguments == ["doctor"] { "fail  rights" } else { "" };
        ensure!(ended.out.contains(told), "{arguments:?}: {ended:?}");
        ensure!(!told.is_empty() || ended.out.is_empty(), "{arguments:?}: {ended:?}");
    }
    Ok(())
}

#[test]
fn too_few_files_have_a_remedy() -> Result<()> {
    for command in ["trace -q -d 1s", "leaks --evidence bpf"] {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n 16; exec \"$TCPLIFE\" {command}")]);
        shell.env("TCPLIFE", tcplife_binary()?);
        let ended = end_of(isolated(shell))?;
        ensure!(ended.sentence()?.contains("ulimit -n"), "{command}: {ended:?}");
    }
    Ok(())
}

#[test]
fn the_doctor_reports_without_rights_too() -> Result<()> {
    let copy = Copy::new("doctor")?;
    let text = copy.run(&["doctor"])?;
    ensure!(text.sentence()?.contains("CAP_BPF"), "{text:?}");
    ensure!(text.out.contains("fail  rights") && text.out.contains("ok    kernel"), "{}", text.out);
    ensure!(text.out.contains("checks failed.\n"), "{}", text.out);
    let json = copy.run(&["doctor", "-o", "json"])?;
    ensure!(json.status == Some(2), "{json:?}");
    ensure!(
        json.out.lines().next_back().is_some_and(|line| line.starts_with(r#"{"type":"summary""#)),
        "{}",
        json.out
    );
    Ok(())
}

/// Traces with the two capabilities that it takes, in a network namespace of its own, while `$1 sh` makes a connection end in
/// `TIME_WAIT`, and until after that. The client has its socket until then: an orphan's may wait for the other FIN in a mini-socket,
/// and what becomes of that is seen only by looking, or by hooks on functions.
const TWO_CAPABILITIES: &str = r#"
ready=$(mktemp)
setpriv --bounding-set=-all,+bpf,+perfmon "$TCPLIFE" trace -q -o json -d 20s 2> $ready & tracer=$!
until grep -q tracing $ready || ! kill -0 $tracer; do sleep 0.05; done
rm $ready
$1 sh -c "
ip link set lo up
python3 -c '
import socket
listener = socket.create_server((\"127.0.0.1\", 9))
client = socket.create_connection((\"127.0.0.1\", 9))
server = listener.accept()[0]
client.shutdown(socket.SHUT_WR)
server.recv(1)
server.close()
client.close()
'
kill -TERM $tracer
while kill -0 $tracer; do sleep 0.05; done" 2> /dev/null
wait $tracer
"#;

#[test]
fn what_may_not_be_looked_at_is_not_ended() -> Result<()> {
    for elsewhere in ["", "unshare --net"] {
        let mut command = Command::new("unshare");
        command.args(["--net", "bash", "-c", TWO_CAPABILITIES, "bash", elsewhere]);
        command.env("TCPLIFE", tcplife_binary()?);
        let ended = end_of(isolated(command))?;
        ensure!(ended.status == Some(0), "{elsewhere:?}: {ended:?}");
        // Others may trace and be traced on this host: theirs have other ports.
        let ours = || ended.out.lines().filter(|line| line.contains(r#"_port":9,"#));
        let told = |moves: &str| ours().filter(|line| line.contains(moves)).count();
        ensure!(told(r#""to":"time_wait""#) == 1, "{elsewhere:?}: {}", ended.out);
        ensure!(told(r#""from":"time_wait""#) == 0, "{elsewhere:?}: {}", ended.out);
        ensure!(ended.out.contains("of this network namespace (of others: CAP_SYS_ADMIN"), "{}", ended.out);
    }
    Ok(())
}

/// In a network namespace that `leaks` with the capabilities `$1` may not enter: a server that closes nothing, one connection that it
/// accepted and one that it did not, with the clients' orphans.
const CLOSED_TO_SOME_CAPABILITIES: &str = r#"
ready=$(mktemp)
unshare --net sh -c "ip link set lo up; exec python3 -uc '
import socket, time
listener = socket.create_server((\"127.0.0.1\", 9))
first, second = (socket.create_connection((\"127.0.0.1\", 9)) for _ in range(2))
server = listener.accept()[0]
first.close()
second.close()
print(\"closed\")
time.sleep(60)
'" > $ready & server=$!
until grep -q closed $ready || ! kill -0 $server; do sleep 0.05; done
rm $ready
setpriv --bounding-set=-all,$1 "$TCPLIFE" leaks --leak-after 0s -p $server $2
echo "exit $?"
kill $server
"#;

/// What `leaks` says of it, without an error.
fn leaks_with_capabilities(capabilities: &str, arguments: &str) -> Result<Ended> {
    let mut command = Command::new("bash");
    command.args(["-c", CLOSED_TO_SOME_CAPABILITIES, "bash", capabilities, arguments]);
    command.env("TCPLIFE", tcplife_binary()?);
    let ended = end_of(isolated(command))?;
    ensure!(ended.out.ends_with("exit 0\n"), "{ended:?}");
    Ok(ended)
}

#[test]
fn what_may_not_be_looked_at_is_not_said_to_be_gone_or_fine() -> Result<()> {
    for (arguments, notes) in [("", 1), ("-q", 0)] {
        let ended = leaks_with_capabilities("+bpf,+perfmon", arguments)?;
        ensure!(ended.out.contains("1 leaked socket in 1 owner"), "{ended:?}");
        ensure!(!ended.out.contains("gone for good"), "{ended:?}");
        let noted = ended.err.lines().filter(|line| line.contains("other network namespaces")).count();
        ensure!(noted == notes, "{arguments:?}: {ended:?}");
    }
    Ok(())
}

#[test]
fn without_bpf_what_may_not_be_looked_at_is_told_too() -> Result<()> {
    // Every process's descriptors can be read, and no network namespace entered.
    let ended = leaks_with_capabilities("+sys_ptrace,+dac_read_search", "--evidence=sock_diag")?;
    let noted = ended.err.lines().filter(|line| line.contains("sockets of other network namespaces")).count();
    ensure!(ended.out.contains("no leaks") && noted == 1, "{ended:?}");
    Ok(())
}

/// In a user namespace of its own, the server's folder of descriptors is open to `leaks`, for the user is the same; where each leads is
/// not told.
#[test]
fn a_descriptor_that_cannot_be_read_is_not_said_to_be_nobodys() -> Result<()> {
    let leaks = r#""$TCPLIFE" leaks --leak-after 0s -L 9 --evidence sock_diag"#;
    let ended = beside_a_leak(&format!("unshare --user --map-root-user {leaks}"))?;
    let sentence = ended.sentence()?;
    ensure!(sentence.contains("cannot read the descriptors of process"), "{ended:?}");
    ensure!(sentence.contains("root") && ended.out.is_empty(), "{ended:?}");
    Ok(())
}
