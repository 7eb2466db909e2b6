//! DPDK's `virtio_user` as a front-end of `vhost-net-responder`, with both ring kinds: frames of a
//! file go through DPDK's driver to the back-end, and its answers back into another file.
//!
//! It needs no guest and no huge pages. Where DPDK is missing it says so and is skipped; with
//! `VHOST_FUZZ_REQUIRE_DPDK=1` that is a failure.

mod testpmd;

use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use vhost_fuzz_harness::guest::{GATEWAY_IP, GATEWAY_IPV6, GATEWAY_MAC, packet, parse};
use vhost_fuzz_harness::program;

/// The Ethernet address of the guest.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// What DHCP gives to it.
const IP: [u8; 4] = [192, 0, 2, 10];

/// How long the back-end may take to be built and to listen.
const START: Duration = Duration::from_secs(300);

/// How often every request is sent.
const ROUNDS: usize = 6;

fn main() -> ExitCode {
    // As a test program is told: names that are wanted, or that they be listed.
    let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    if std::env::args().any(|argument| argument == "--list") {
        println!("dpdk: test");
        return ExitCode::SUCCESS;
    }
    if wanted.next().is_some_and(|name| !"dpdk".contains(&name)) {
        return ExitCode::SUCCESS;
    }
    if let Err(missing) = testpmd::find() {
        let is_required = std::env::var_os("VHOST_FUZZ_REQUIRE_DPDK").is_some();
        let what = if is_required { "FAILED" } else { "SKIPPED" };
        eprintln!("test dpdk ... {what}: {missing}; install it with: {}", testpmd::INSTALL);
        return if is_required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    for is_packed in [false, true] {
        let name = if is_packed { "packed" } else { "split" };
        match answered(is_packed) {
            Ok(frames) => println!("test dpdk, {name} rings ... ok, {frames} answers"),
            Err(error) => {
                eprintln!("test dpdk, {name} rings ... FAILED: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The back-end, which is killed when nobody needs it any more.
struct Responder(Child);

impl Drop for Responder {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the back-end.
fn responder(socket: &Path) -> Result<Responder, String> {
    let mut command = program::responder();
    command.args(["--packed", "--quiet", "--ipv4", "192.0.2.10", "--socket"]).arg(socket);
    let mut responder =
        Responder(command.spawn().map_err(|error| format!("vhost-net-responder: {error}"))?);
    let end = Instant::now() + START;
    while !program::is_listening(socket) {
        if let Ok(Some(status)) = responder.0.try_wait() {
            return Err(format!("vhost-net-responder: {status}"));
        }
        if Instant::now() > end {
            return Err("vhost-net-responder does not listen".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(responder)
}

/// What the guest sends, and whether an answer to it is right.
type Exchange = (Vec<u8>, fn(&[u8]) -> bool);

fn exchanges() -> [Exchange; 5] {
    let ip = IP.into();
    [
        (packet::arp_request(MAC, ip, GATEWAY_IP), |reply| {
            parse::arp_reply(reply).is_some_and(|reply| reply.sender_mac == GATEWAY_MAC)
        }),
        (packet::echo_request(MAC, ip, GATEWAY_IP, &[7; 1000]), |reply| {
            parse::echo_reply(reply).is_some_and(|data| data == [7; 1000])
        }),
        (packet::dhcp_discover(MAC, 1), |reply| {
            parse::dhcp_response(reply).is_some_and(|offer| offer.address.octets() == IP)
        }),
        (packet::neighbor_solicitation(MAC, GATEWAY_IPV6), |reply| {
            parse::neighbor_advertisement(reply).is_some_and(|(address, _)| address == GATEWAY_IPV6)
        }),
        (packet::echo_request_v6(MAC, &[9; 64]), |reply| {
            parse::echo_reply_v6(reply).is_some_and(|data| data == [9; 64])
        }),
    ]
}

/// Sends every request some times, and looks at the answers. How many there were.
fn answered(is_packed: bool) -> Result<usize, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let exchanges = exchanges();
    let rounds = (0..ROUNDS).flat_map(|_| &exchanges);
    let frames: Vec<_> = rounds.clone().map(|(frame, _)| frame.clone()).collect();
    let socket = path("socket");
    let responder = responder(&socket)?;
    let replies = testpmd::forward(&socket, is_packed, &frames, folder.path())?;
    drop(responder);
    if replies.len() != frames.len() {
        return Err(format!("{} answers to {} requests", replies.len(), frames.len()));
    }
    for (at, ((_, is_right), reply)) in rounds.zip(&replies).enumerate() {
        if !is_right(reply) {
            return Err(format!("answer {at} is not right: {reply:02x?}"));
        }
    }
    Ok(replies.len())
}
