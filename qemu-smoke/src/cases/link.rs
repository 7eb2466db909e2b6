//! Cases that notice what goes wrong between both ends, without a guest. `selftest` shows that
//! they do.

use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use vhost_fuzz_backend::net::GUEST_MAC;
use vhost_fuzz_backend::socket::send;
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::{Flags, FrontendRequest};
use vhost_fuzz_harness::guest::parse::DhcpResponse;
use vhost_fuzz_harness::guest::{GATEWAY_IP, Options, VhostTestClient, packet, parse};

use super::{Case, Group};
use crate::back_end::{BackEnd, GUEST_IP};
use crate::link::{Link, Listens};
use crate::trial::Trial;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// Packets that are sent one at a time: fewer than the gateway answers at once.
const PACKETS: usize = 50;

/// Bytes of the memory that is shared.
const MEMORY: u64 = 0x10_0000;

const fn case(name: &'static str, shows: &'static str, run: fn(&mut Trial) -> Result<()>) -> Case {
    let limit = Duration::from_secs(30);
    Case { name, group: Group::Basic, shows, needs: &[], limit, is_in_ci: true, run }
}

pub(super) const CASES: &[Case] = &[
    case("basic.link-calls", "the driver is called for each of fifty answers", calls),
    case("basic.link-memory", "a memory table that is good is acknowledged with 0", memory),
    case("basic.link-lease", "DHCP by hand: each answer is to the question that was asked", lease),
];

/// A back-end, and where its front-end connects.
fn back_end(trial: &Trial) -> Result<(BackEnd, Link)> {
    let link = Link::new(trial, "net", Listens::Back)?;
    Ok((BackEnd::start(trial, &link, Listens::Back, &[])?, link))
}

/// One packet after another, each of which waits to be called for its answer.
fn calls(trial: &mut Trial) -> Result<()> {
    let (_back_end, link) = back_end(trial)?;
    let options = Options { event_idx: false, ..Options::default() };
    let mut client = VhostTestClient::with(&link.front, options)?;
    for number in 1..=PACKETS {
        client.send_packet(&packet::arp_request(GUEST_MAC.0, GUEST_IP, GATEWAY_IP))?;
        let reply = client.recv_packet(ANSWER);
        let reply = reply.with_context(|| format!("no call for answer {number} of {PACKETS}"))?;
        ensure!(parse::is_arp_reply(&reply), "answer {number} is no ARP reply: {reply:02x?}");
    }
    trial.note("calls", format!("{PACKETS} answers, each in time"));
    Ok(())
}

/// A front-end that wants to know whether its memory was taken.
fn memory(trial: &mut Trial) -> Result<()> {
    let (_back_end, link) = back_end(trial)?;
    let stream = UnixStream::connect(&link.front)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.set_write_timeout(Some(ANSWER))?;
    let features = virtio::VERSION_1 | virtio::PROTOCOL_FEATURES;
    let file = memfd_create("memory", MemfdFlags::CLOEXEC)?;
    ftruncate(&file, MEMORY)?;
    let tell = |request: FrontendRequest, words: &[u64]| {
        (&stream).write_all(&message(request, Flags::REQUEST, words))
    };
    tell(FrontendRequest::SET_OWNER, &[])?;
    tell(FrontendRequest::SET_FEATURES, &[features])?;
    tell(FrontendRequest::SET_PROTOCOL_FEATURES, &[protocol::REPLY_ACK])?;
    // One region: where it is for the guest, how long, where for the front-end and in the file.
    let table = [1, 0, MEMORY, 0x7f00_0000_0000, 0];
    let table = message(FrontendRequest::SET_MEM_TABLE, Flags::NEED_REPLY, &table);
    send(stream.as_fd(), &table, &[file.as_fd()])?;
    let mut answer = [0; 20];
    (&stream).read_exact(&mut answer).context("SET_MEM_TABLE is not answered")?;
    let (head, value) = answer.split_at(12);
    let expected = [FrontendRequest::SET_MEM_TABLE.0, Flags::REPLY.0, 8];
    ensure!(
        head == expected.map(u32::to_ne_bytes).as_flattened(),
        "the answer to SET_MEM_TABLE begins with {head:02x?}"
    );
    let value = value.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    ensure!(value == 0, "SET_MEM_TABLE is answered with {value:#x}, and 0 was expected");
    trial.note("SET_MEM_TABLE", "acknowledged with 0");
    Ok(())
}

/// A message; payloads are 64-bit words.
fn message(request: FrontendRequest, flags: Flags, words: &[u64]) -> Vec<u8> {
    let size = u32::try_from(8 * words.len()).unwrap_or(u32::MAX);
    let head = [request.0, flags.0, size].map(u32::to_ne_bytes);
    let words: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    [head.as_flattened(), &words].concat()
}

/// DISCOVER, OFFER, REQUEST, ACK.
fn lease(trial: &mut Trial) -> Result<()> {
    let (_back_end, link) = back_end(trial)?;
    let mut client = VhostTestClient::new(&link.front)?;
    let mut ask = |what: &str, xid: u32, frame: &[u8]| -> Result<DhcpResponse> {
        client.send_packet(frame)?;
        let reply =
            client.recv_packet(ANSWER).with_context(|| format!("{what} is not answered"))?;
        let reply = parse::dhcp_response(&reply)
            .with_context(|| format!("the answer to {what} is no DHCP: {reply:02x?}"))?;
        ensure!(reply.xid == xid, "{what} has xid {xid:#x}, its answer {:#x}", reply.xid);
        Ok(reply)
    };
    let (mac, xids) = (GUEST_MAC.0, [0x1234_5678, 0x9abc_def0]);
    let offer = ask("DISCOVER", xids[0], &packet::dhcp_discover(mac, xids[0]))?;
    let address = offer.address;
    ensure!(address == GUEST_IP, "{address} is offered, and {GUEST_IP} was expected");
    let request = packet::dhcp_request(mac, xids[1], address, GATEWAY_IP);
    let ack = ask("REQUEST", xids[1], &request)?;
    ensure!(ack.address == address, "{address} was offered, and {} is leased", ack.address);
    trial.note("lease", format!("{address}"));
    Ok(())
}
