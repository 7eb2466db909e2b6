//! A back-end that is wrong on purpose: its DHCP answers have another transaction's number.
//!
//! It is a network device as `vhost-net-responder` has it, whose rings are watched: what the
//! driver sends tells that a DHCP answer comes, and the number in it is changed before the driver
//! is shown the buffer. Both halves of the number change places, so that the checksum stays right.

use std::cell::RefCell;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use rustix::event::{EventfdFlags, eventfd};
use vhost_fuzz_backend::connection::Connection;
use vhost_fuzz_backend::listener::{Endpoint, Listener};
use vhost_fuzz_backend::net::{Config, GUEST_MAC, Net};
use vhost_fuzz_backend::sigbus;
use vhost_fuzz_backend::vring::{GuestMemory, OpenRing};
use vhost_fuzz_core::net::device::{self, Due};
use vhost_fuzz_core::ring::{Broken, Chain, PopError, PutError, Ring, Token};

/// Bytes in front of an IPv4 packet.
const ETHERNET: usize = 14;

/// Where the number of a transaction is, behind the IPv4 header: after the UDP header and four
/// bytes of DHCP.
const XID: usize = 12;

/// What is read of a frame: as far as the number can be.
const FRONT: usize = 128;

/// What the program is told, as `vhost-net-responder` is.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Listen at this path
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,

    /// Connect there, and do not listen
    #[arg(long)]
    client: bool,

    /// Ethernet address of the guest, which is always the same
    #[arg(long, value_parser = [crate::back_end::GUEST_MAC])]
    mac: String,

    /// Address that DHCP gives to the guest
    #[arg(long, value_name = "ADDRESS")]
    ipv4: Ipv4Addr,

    /// IPv6 address of the guest
    #[arg(long, value_name = "ADDRESS")]
    ipv6: Ipv6Addr,

    /// Pairs of queues
    #[arg(long, value_name = "PAIRS", default_value_t = 1)]
    queues: u16,

    /// Replies a second at most
    #[arg(long, value_name = "REPLIES", default_value_t = 1000)]
    rate: u32,

    /// Offer packed rings, too
    #[arg(long)]
    packed: bool,
}

/// Serves until it is killed.
///
/// # Errors
/// What the system says.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let mut config = Config::new(GUEST_MAC, Some(options.ipv4));
    config.has_packed = options.packed;
    config.pairs = options.queues;
    config.set_rate(options.rate);
    if let Some(ndp) = &mut config.gateway.ndp {
        ndp.guest = [options.ipv6].into_iter().collect();
    }
    let endpoint = if options.client {
        Endpoint::Client(options.socket.clone())
    } else {
        Endpoint::Server(Listener::bind(&options.socket)?)
    };
    sigbus::install()?;
    let mut connection = Connection::new(Net::serving_with(&config, serve_watched)?)?;
    // Nobody tells it to stop.
    let stop = eventfd(0, EventfdFlags::CLOEXEC)?;
    endpoint.serve_each(&mut connection, std::os::fd::AsFd::as_fd(&stop), |connection, end| {
        let counters = connection.device().counters();
        eprintln!(
            "front-end: {end:?}; so far {} frames taken, {} malformed, {} refused",
            counters.taken, counters.malformed, counters.refused
        );
        true
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Serves a pair of rings that are watched.
fn serve_watched<'r>(
    device: &mut device::Device,
    transmit: &mut OpenRing<'r>,
    receive: Option<&mut OpenRing<'r>>,
    guest: &GuestMemory<'r>,
    now_ms: u64,
) -> [Due; 2] {
    let header_len = device.control().features().header_len();
    let watch = RefCell::new(Watch { header_len, ..Watch::default() });
    let watched = |ring, is_transmit| Watched { ring, guest, is_transmit, watch: &watch };
    let mut receive = receive.map(|ring| watched(ring, false));
    device.serve(&mut watched(transmit, true), receive.as_mut(), guest, now_ms)
}

/// What is known of the frame that is answered now.
#[derive(Debug, Default)]
struct Watch {
    header_len: usize,
    /// The number of its transaction, if it is a DHCP request that was not answered yet.
    xid: Option<[u8; 4]>,
    /// The first buffer for the answer.
    buffer: Option<Chain>,
}

/// A ring that is watched.
struct Watched<'w, 'r> {
    ring: &'w mut OpenRing<'r>,
    guest: &'w GuestMemory<'r>,
    is_transmit: bool,
    watch: &'w RefCell<Watch>,
}

impl Ring for Watched<'_, '_> {
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        let popped = self.ring.pop(chain);
        if let Ok(Some(_)) = popped {
            let mut watch = self.watch.borrow_mut();
            if self.is_transmit {
                let mut front = vec![0; watch.header_len + FRONT];
                let len = chain.reader(self.guest).read(&mut front).unwrap_or(0);
                front.truncate(len);
                watch.xid = xid(front.get(watch.header_len..).unwrap_or_default());
                watch.buffer = None;
            } else if watch.buffer.is_none() {
                watch.buffer = Some(chain.clone());
            }
        }
        popped
    }

    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        self.ring.unpop(token)
    }

    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        if !self.is_transmit {
            let mut watch = self.watch.borrow_mut();
            if let (Some([a, b, c, d]), Some(buffer)) = (watch.xid.take(), watch.buffer.take()) {
                // The gateway's IPv4 headers have no options.
                let at = watch.header_len + ETHERNET + 20 + XID;
                let writer = buffer.writer(self.guest).split_at(at as u64);
                // A buffer that is gone shows nothing wrong.
                let _ = writer.map(|(_, mut writer)| writer.write(&[c, d, a, b]));
            }
        }
        self.ring.put(token, len)
    }

    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        self.ring.skip(token)
    }

    fn publish(&mut self) -> Result<bool, Broken> {
        Ring::publish(self.ring)
    }

    fn arm(&mut self) -> Result<bool, Broken> {
        self.ring.arm()
    }

    fn disarm(&mut self) -> Result<(), Broken> {
        self.ring.disarm()
    }
}

/// The number of the transaction in a frame to a DHCP server.
fn xid(frame: &[u8]) -> Option<[u8; 4]> {
    let packet = frame.strip_prefix(frame.get(..ETHERNET)?)?;
    let is_udp = frame.get(12..ETHERNET) == Some(&[8, 0]) && packet.get(9) == Some(&17);
    let len = 4 * usize::from(packet.first()? & 0xf);
    let datagram = packet.get(len..)?;
    let is_to_server = datagram.get(2..4) == Some(&67_u16.to_be_bytes());
    datagram.get(XID..)?.first_chunk().copied().filter(|_| is_udp && is_to_server)
}

#[cfg(test)]
mod tests {
    use vhost_fuzz_harness::guest::{GATEWAY_IP, packet};

    use super::*;

    #[test]
    fn only_dhcp_requests_have_a_number() {
        let mac = GUEST_MAC.0;
        assert_eq!(xid(&packet::dhcp_discover(mac, 0x1234_5678)), Some([0x12, 0x34, 0x56, 0x78]));
        let ip = Ipv4Addr::new(192, 0, 2, 10);
        assert_eq!(xid(&packet::echo_request(mac, ip, GATEWAY_IP, &[0; 40])), None);
        assert_eq!(xid(&packet::arp_request(mac, ip, GATEWAY_IP)), None);
        let frame = packet::dhcp_discover(mac, 1);
        assert!((0..46).all(|len| xid(&frame[..len]).is_none()), "what is cut has none");
    }
}
