//! `dpdk-testpmd` between two files and a back-end.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vhost_fuzz_harness::clients::pcap::{self, Frame};

/// What has to be there.
pub(crate) const INSTALL: &str = "apt-get install dpdk-dev \
    '^librte-net-(virtio|vhost|pcap)[0-9.]+$' '^librte-mempool-ring[0-9.]+$'";

/// How long it forwards: DPDK polls, so every frame goes through in its first milliseconds.
const FORWARDING: Duration = Duration::from_secs(2);

/// How long it may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes in front of the first frame of a file, and of each frame.
const FILE_HEADER: usize = 24;
const FRAME_HEADER: usize = 16;

/// Looks for the program.
pub(crate) fn find() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join("dpdk-testpmd").exists());
    if is_there { Ok(()) } else { Err("dpdk-testpmd is not installed".to_owned()) }
}

/// Sends frames through the driver to a back-end, and gives the frames that come back.
pub(crate) fn forward(
    socket: &Path,
    is_packed: bool,
    frames: &[Vec<u8>],
    folder: &Path,
) -> Result<Vec<Vec<u8>>, String> {
    let [sent, received] = ["sent.pcap", "received.pcap"].map(|name| folder.join(name));
    let frames: Vec<_> =
        frames.iter().map(|bytes| Frame { at_ms: 0, bytes: bytes.clone() }).collect();
    fs::write(&sent, pcap::write(&frames)).map_err(|error| error.to_string())?;
    let pcap = format!("net_pcap0,rx_pcap={},tx_pcap={}", sent.display(), received.display());
    let packed = u8::from(is_packed);
    let user = format!("net_virtio_user0,path={},queues=1,packed_vq={packed}", socket.display());
    let mut child = Command::new("dpdk-testpmd")
        .args(["--lcores", "0@0,1@0", "--no-pci", "--no-huge", "-m", "256"])
        .arg(format!("--file-prefix=vhost-fuzz-{}", std::process::id()))
        .arg(format!("--vdev={pcap}"))
        .arg(format!("--vdev={user}"))
        .args(["--", "--no-flush-rx", "--forward-mode=io", "--auto-start"])
        .arg("--total-num-mbufs=4096")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("dpdk-testpmd: {error}"))?;
    let said = wait_until_it_forwards(&mut child, &received);
    if said.is_ok() {
        thread::sleep(FORWARDING);
    }
    let ended = end(&mut child);
    said?;
    ended?;
    let file = fs::read(&received).map_err(|error| format!("received.pcap: {error}"))?;
    read(&file)
}

/// Waits until it has opened what it writes to, which it does when it starts its ports. What it
/// says it keeps to itself until it ends.
fn wait_until_it_forwards(child: &mut Child, received: &Path) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while !received.exists() {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("dpdk-testpmd: {status}"));
        }
        if Instant::now() > deadline {
            return Err("dpdk-testpmd does not start".to_owned());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Asks it to end, and sees that it does.
fn end(child: &mut Child) -> Result<(), String> {
    if let Some(mut input) = child.stdin.take() {
        // It may have ended by itself.
        let _ = input.write_all(b"\n");
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("dpdk-testpmd: {status}")),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            other => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("dpdk-testpmd does not end: {other:?}"));
            }
        }
    }
}

/// The frames of a file that DPDK wrote, whatever the rest of its headers says.
fn read(file: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let cut = || "received.pcap is cut".to_owned();
    let mut rest = file.get(FILE_HEADER..).ok_or_else(cut)?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let len = rest.get(8..12).and_then(|bytes| bytes.try_into().ok()).ok_or_else(cut)?;
        let len = usize::try_from(u32::from_le_bytes(len)).unwrap_or(usize::MAX);
        let end = FRAME_HEADER.saturating_add(len);
        frames.push(rest.get(FRAME_HEADER..end).ok_or_else(cut)?.to_vec());
        rest = rest.get(end..).unwrap_or_default();
    }
    Ok(frames)
}
