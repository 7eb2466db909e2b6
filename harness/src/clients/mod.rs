//! Recorded conversations of real clients with the gateway of the core.
//!
//! `corpus/clients/<name>.pcap` holds what one client sent and what it was answered.
//! `cargo xtask corpus record` makes such a file, with a gateway that is set up as [`config`]
//! says. Its addresses are those that the targets `arp`, `dhcp`, `dhcpv6` and `ndp` know, so that
//! each frame means the same there: over IPv4 the gateway is another station than over IPv6.

pub mod pcap;

use std::io;
use std::path::Path;

use vhost_fuzz_core::net::Mac;
use vhost_fuzz_core::net::gateway::Config;
use vhost_fuzz_core::net::rate::Limiter;

use crate::ipv6::{self, dhcpv6, ndp};

/// The folder of the recordings, below `corpus/`.
pub const FOLDER: &str = "clients";

/// What a recording's file name ends with.
pub const EXTENSION: &str = "pcap";

/// The station of every recorded client.
pub const CLIENT_MAC: Mac = ipv6::GUEST_MAC;

/// Seconds of a lease over IPv4: short, so that it is renewed in a recording.
pub const LEASE: u32 = 30;

/// Seconds for which a lease over IPv6 is preferred; it is valid for twice as long.
pub const PREFERRED: u32 = 24;

/// How the targets that share its inputs have to be set up to answer as the gateway does.
pub mod setup {
    use crate::dhcp;
    use crate::gateway;
    use crate::ipv6;

    /// Of the target `arp`.
    pub const ARP: gateway::Setup = gateway::Setup(0);
    /// Of the target `dhcp`, whose leases are longer.
    pub const DHCP: dhcp::Setup = dhcp::Setup([0, 0]);
    /// Of the target `ndp`.
    pub const NDP: u8 = ipv6::ndp::setup::PREFIX
        | ipv6::ndp::setup::DNS
        | ipv6::ndp::setup::SECOND
        | ipv6::ndp::setup::MANAGED;
    /// Of the target `dhcpv6`, whose leases are longer.
    pub const DHCPV6: u8 = ipv6::dhcpv6::setup::DNS;
}

/// The gateway that clients are recorded with.
#[must_use]
pub fn config() -> Config {
    Config {
        arp: setup::ARP.arp(),
        mtu: setup::ARP.mtu(),
        dhcp: Some(vhost_fuzz_core::net::dhcp::Config { lease: LEASE, ..setup::DHCP.config() }),
        ndp: Some(ndp::config(setup::NDP)),
        dhcpv6: Some(vhost_fuzz_core::net::dhcpv6::Config {
            preferred: PREFERRED,
            valid: 2 * PREFERRED,
            ..dhcpv6::config(setup::DHCPV6)
        }),
        limiter: Limiter::default(),
    }
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The name of the client.
    pub name: String,
    /// The frames of both sides, in the order in which they went.
    pub frames: Vec<pcap::Frame>,
}

impl Recording {
    /// The frames that the client sent.
    pub fn sent(&self) -> impl Iterator<Item = &pcap::Frame> {
        self.frames.iter().filter(|frame| is_of_client(&frame.bytes))
    }
}

/// Whether a frame comes from the station of the clients.
#[must_use]
pub fn is_of_client(frame: &[u8]) -> bool {
    frame.get(6..12) == Some(&CLIENT_MAC.0[..])
}

/// The recordings below `root`, in the order of their names; none when there is no folder of them.
///
/// # Errors
/// When one cannot be read or is no recording; the message names it.
pub fn recordings(root: &Path) -> io::Result<Vec<Recording>> {
    let folder = root.join(FOLDER);
    if !folder.try_exists()? {
        return Ok(Vec::new());
    }
    let mut recordings = Vec::new();
    for entry in std::fs::read_dir(&folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            recordings.push(recording(&path)?);
        }
    }
    recordings.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(recordings)
}

fn recording(path: &Path) -> io::Result<Recording> {
    let named = |error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| named(&error))?;
    let frames = pcap::read(&bytes).map_err(|error| named(&error))?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    Ok(Recording { name, frames })
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_core::net::gateway::Gateway;

    use super::*;
    use crate::{dhcp, gateway};

    #[test]
    fn there_can_be_such_a_gateway() {
        assert!(Gateway::new(config()).is_ok());
    }

    #[test]
    fn the_sides_of_a_recording_are_different_stations() {
        assert!(![gateway::GATEWAY_MAC, ipv6::GATEWAY_MAC.0].contains(&CLIENT_MAC.0));
        assert_eq!(dhcp::ADDRESS.octets(), gateway::LEASES[0], "one address on both targets");
    }
}
