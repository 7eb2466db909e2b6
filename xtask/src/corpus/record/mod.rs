//! `corpus record`: a real client gets its addresses from the gateway of the core, and every frame
//! of both sides is kept.
//!
//! The client runs in namespaces of its own, with one network interface: a TAP device whose other
//! end is this process. When its script ends, or this process does, everything that it started
//! ends with it. Nothing of the machine is in the frames: the station, the name of the host and
//! the identity of the client are set, and times count from the start.

mod port;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::gateway::Gateway;
use vhost_fuzz_harness::clients::{self, EXTENSION, pcap};

use port::{NAME, Port};

/// How long a recording may take.
const LIMIT: Duration = Duration::from_secs(120);

/// How long an answer is on its way. Clients expect that it comes after they asked.
const WAY: Duration = Duration::from_millis(5);

/// How long to wait for a frame before looking whether the client is still there.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of the longest answer.
const ROOM: usize = 2048;

/// The name of the host, for clients that tell it.
const HOST: &str = "guest";

/// What every script begins with.
const COMMON: &str = include_str!("common.sh");

/// A client that is in a package of Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Client {
    /// `dhclient` over IPv4 and IPv6 (isc-dhcp-client).
    Dhclient,
    /// `dhcpcd` over IPv4 and IPv6 (dhcpcd-base).
    Dhcpcd,
    /// `dibbler-client` over IPv6 (dibbler-client).
    Dibbler,
    /// iPXE in a virtual machine (ipxe-qemu, qemu-system-x86).
    Ipxe,
    /// `systemd-networkd` over IPv4 and IPv6 (systemd).
    Networkd,
    /// `arping`, `ping`, `ndisc6` and `rdisc6` (iputils-arping, iputils-ping, ndisc6).
    Tools,
    /// `udhcpc` over IPv4 (udhcpc).
    Udhcpc,
    /// `dhcp6c` over IPv6 (wide-dhcpv6-client).
    WideDhcpv6,
}

impl Client {
    /// Its name on the command line and in the corpus.
    fn name(self) -> &'static str {
        match self {
            Self::Dhclient => "dhclient",
            Self::Dhcpcd => "dhcpcd",
            Self::Dibbler => "dibbler",
            Self::Ipxe => "ipxe",
            Self::Networkd => "networkd",
            Self::Tools => "tools",
            Self::Udhcpc => "udhcpc",
            Self::WideDhcpv6 => "wide-dhcpv6",
        }
    }

    /// What it does in a recording.
    fn script(self) -> &'static str {
        match self {
            Self::Dhclient => include_str!("dhclient.sh"),
            Self::Dhcpcd => include_str!("dhcpcd.sh"),
            Self::Dibbler => include_str!("dibbler.sh"),
            Self::Ipxe => include_str!("ipxe.sh"),
            Self::Networkd => include_str!("networkd.sh"),
            Self::Tools => include_str!("tools.sh"),
            Self::Udhcpc => include_str!("udhcpc.sh"),
            Self::WideDhcpv6 => include_str!("wide-dhcpv6.sh"),
        }
    }
}

/// Records `client`, and writes the frames to a file of its name in the folder `out`.
///
/// # Errors
/// When the namespaces or the interface cannot be made, which needs root, or the client does not
/// do what its script expects. Then nothing is written.
pub(super) fn record(client: Client, out: &Path, force: bool) -> Result<PathBuf> {
    let name = client.name();
    let path = std::path::absolute(out)?.join(name).with_extension(EXTENSION);
    if !force && path.try_exists()? {
        super::refuse_to_replace(&[path.display().to_string()])?;
    }
    std::fs::create_dir_all(out).with_context(|| format!("{} cannot be made", out.display()))?;
    isolate().context("no namespaces of its own for the client, which needs root")?;
    let port = Port::open().context("no TAP device, which needs root and /dev/net/tun")?;
    let mut script = start(client).context("setpriv (util-linux) cannot be started")?;
    let recorded = talk(port, &mut script);
    // Without its first process a namespace has no others.
    let _ = script.kill();
    let _ = script.wait();
    let (frames, status) = recorded?;
    ensure!(status.success(), "the script of {name} ended with {status}");
    ensure!(frames.iter().any(|frame| clients::is_of_client(&frame.bytes)), "{name} sent nothing");
    std::fs::write(&path, pcap::write(&frames))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}

/// Puts what this thread starts from now on into namespaces of its own.
fn isolate() -> Result<()> {
    unshare(
        CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWUTS,
    )?;
    let none = None::<&str>;
    // Mounts of the script are seen by nobody else.
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    nix::unistd::sethostname(HOST)?;
    Ok(())
}

fn start(client: Client) -> Result<Child> {
    let script = format!("{COMMON}\n{}", client.script());
    // The namespace ends with this process, also when that is interrupted.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "sh", "-c", &script, client.name()]);
    command.env("PORT", NAME).stdin(Stdio::null());
    Ok(command.spawn()?)
}

/// Answers frames until the script ends.
fn talk(mut port: Port, script: &mut Child) -> Result<(Vec<pcap::Frame>, ExitStatus)> {
    let mut gateway = Gateway::new(clients::config())?;
    let mut frames = Vec::new();
    let mut out = [0; ROOM];
    let start = Instant::now();
    loop {
        port.wait(PAUSE)?;
        while let Some(bytes) = port.receive() {
            let at_ms = u64::try_from(start.elapsed().as_millis())?;
            let said = gateway.answer(&bytes, Transport::Complete, at_ms, &mut out);
            frames.push(pcap::Frame { at_ms, bytes });
            match said {
                Ok(Some(len)) => {
                    let reply = out.get(..len).unwrap_or_default();
                    std::thread::sleep(WAY);
                    port.send(reply);
                    let at_ms = at_ms + u64::try_from(WAY.as_millis())?;
                    frames.push(pcap::Frame { at_ms, bytes: reply.to_vec() });
                }
                Ok(None) => {}
                Err(error) => println!("not answered: frame {}: {error}", frames.len() - 1),
            }
        }
        if let Some(status) = script.try_wait()? {
            return Ok((frames, status));
        }
        if start.elapsed() > LIMIT {
            bail!("the script did not end within {} s", LIMIT.as_secs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::manifest::check_name;

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_the_corpus() {
        for client in Client::value_variants() {
            let value = client.to_possible_value().expect("a value");
            assert_eq!(value.get_name(), client.name());
            assert!(check_name(client.name()).is_ok());
        }
    }

    #[test]
    fn a_recording_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("udhcpc.pcap");
        std::fs::write(&path, "kept").expect("written");
        let error = record(Client::Udhcpc, folder.path(), false).expect_err("it is there");
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(std::fs::read(&path).expect("a file"), b"kept");
    }
}
