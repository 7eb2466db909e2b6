//! The program `vhost-net-responder` keeps to the conventions of back-end programs.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::guest::{GATEWAY_IP, VhostTestClient, packet, parse};
use vhost_fuzz_harness::program;

/// Long enough for a build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

fn program(arguments: &[&str]) -> Command {
    let mut command = program::responder();
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    program(arguments).output().expect("it starts")
}

/// Waits until something is so.
fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn ends(child: &mut Child) -> bool {
    child.try_wait().expect("it is ours").is_some()
}

#[test]
fn it_stays_until_it_is_told_to_end() {
    let _shows = shows(&["VU-251", "VU-252"]);
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let path = socket.to_str().expect("a plain name");
    let mut child = program(&["--quiet", "--socket-path", path]).spawn().expect("it starts");
    wait_for("it listens", || program::is_listening(&socket));
    // It is the process that was started: nobody else serves.
    let (mac, ip) = ([2, 0, 0, 0, 0, 2], [192, 0, 2, 10].into());
    let mut client = VhostTestClient::new(&socket).expect("a guest");
    client.send_packet(&packet::arp_request(mac, ip, GATEWAY_IP)).expect("there is room");
    let reply = client.recv_packet(Duration::from_secs(10)).expect("an answer");
    assert!(parse::is_arp_reply(&reply));
    assert!(!ends(&mut child), "it serves");
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("its number");
    kill_process(pid, Signal::TERM).expect("it is ours");
    let told = Instant::now();
    wait_for("it ends", || ends(&mut child));
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(child.wait().expect("it has ended").success());
    assert!(!socket.exists(), "it takes its socket with it");
}

#[test]
fn it_takes_a_path_or_a_descriptor_and_not_both() {
    let _shows = shows(&["VU-253"]);
    let both = output(&["--socket-path", "socket", "--fd", "3"]);
    assert_eq!(both.status.code(), Some(2), "{both:?}");
    let neither = output(&[]);
    assert_eq!(neither.status.code(), Some(2), "{neither:?}");
    // A descriptor that is no connected socket is refused; one that is, is served.
    let refused = output(&["--fd", "2"]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    rustix::io::fcntl_setfd(theirs.as_fd(), rustix::io::FdFlags::empty()).expect("it is ours");
    let number = theirs.as_raw_fd().to_string();
    let child = program(&["--quiet", "--fd", &number]).spawn().expect("it starts");
    drop(theirs);
    drop(ours);
    let ended = child.wait_with_output().expect("it is ours");
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn it_prints_what_it_can() {
    let _shows = shows(&["VU-254"]);
    let printed = output(&["--print-capabilities"]);
    assert!(printed.status.success(), "{printed:?}");
    let json = String::from_utf8(printed.stdout).expect("text");
    assert_eq!(json, "{\"type\": \"net\", \"features\": []}\n");
}

#[test]
fn it_ends_early_when_it_cannot_start() {
    let _shows = shows(&["VU-255"]);
    for (arguments, says) in [
        (&["--socket", "/nowhere/at/all"][..], "No such file"),
        (&["--socket", "Cargo.toml"], "it is no socket"),
        (&["--socket", "s", "--mac", "01:00:00:00:00:01"], "one station"),
        (&["--socket", "s", "--mac", "2:0:0:0:0:2"], "hexadecimal"),
        (&["--socket", "s", "--ipv4", "224.0.0.1"], "224.0.0.1"),
        (&["--socket", "s", "--queues", "0"], "0 is not in 1..=127"),
        (&["--socket", "s", "--mtu", "68"], "1280"),
        (&["--client"], "--socket"),
    ] {
        let failed = output(arguments);
        let said = String::from_utf8_lossy(&failed.stderr);
        assert!(matches!(failed.status.code(), Some(1 | 2)), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}
