//! Packets through rings, by the front-end of the `vhost` crate.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_harness::guest::{
    GATEWAY_IP, GATEWAY_MAC, Options, VhostTestClient, VirtioClient, packet, parse,
};
use vhost_fuzz_world::driver::{Request, Style};

use super::{Case, Served, case};
use crate::back_end::GUEST_IP;
use crate::front::PATIENCE;
use crate::trial::Trial;

pub(super) const CASES: &[Case] = &[
    case("basic.split", "frames through split rings", |trial| {
        frames(trial, &[], Options::default())
    }),
    case("basic.packed", "frames through packed rings", |trial| {
        frames(trial, &["--packed"], Options { packed: true, ..Options::default() })
    }),
    case("basic.in-order", "frames through rings that are used in order", |trial| {
        frames(trial, &[], Options { in_order: true, ..Options::default() })
    }),
    case("basic.plain", "no event index, no indirect tables, no mergeable buffers", |trial| {
        let (event_idx, indirect, mergeable) = (false, false, false);
        frames(trial, &[], Options { event_idx, indirect, mergeable, ..Options::default() })
    }),
    case("basic.no-protocol-features", "a front-end of old: its rings need not be enabled", old),
    case("basic.notifications", "each packet is told of: 20, one at a time", notifications),
    case("basic.notifications-packed", "the same with packed rings", notifications_packed),
    case("basic.dhcp", "a lease, from DISCOVER to ACK, by its transaction", dhcp),
];

/// The Ethernet address of the guest.
pub(in crate::cases) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The queues.
pub(super) const RECEIVE: usize = 0;
pub(super) const TRANSMIT: usize = 1;

/// Bytes of the header in front of a frame.
pub(super) const HEADER: usize = 12;

/// A question that the gateway answers.
pub(in crate::cases) fn question() -> Vec<u8> {
    packet::arp_request(MAC, GUEST_IP, GATEWAY_IP)
}

/// # Errors
/// It is not the answer to the question.
pub(in crate::cases) fn is_answer(frame: &[u8]) -> Result<()> {
    let reply = parse::arp_reply(frame).with_context(|| format!("no ARP reply: {frame:02x?}"))?;
    let is_right = (reply.sender, reply.sender_mac) == (GATEWAY_IP, GATEWAY_MAC)
        && (reply.target, reply.target_mac) == (GUEST_IP, MAC);
    ensure!(is_right, "the ARP reply says {reply:?}");
    Ok(())
}

/// Echo requests: more than a ring of the client has entries.
const ECHOES: u16 = 150;

fn frames(trial: &mut Trial, arguments: &[&str], options: Options) -> Result<()> {
    let mut served = Served::start(trial, arguments)?;
    let mut client = VhostTestClient::with(&served.link.front, options)?;
    client.send_packet(&question())?;
    is_answer(&client.recv_packet(PATIENCE)?)?;
    // More than the ring has entries, in frames of one buffer and of several.
    for round in 0..ECHOES {
        // The gateway answers a thousand times a second, and no more.
        std::thread::sleep(Duration::from_millis(1));
        let data = vec![round.to_le_bytes()[0]; usize::from(round * 37 % 1473)];
        client.send_packet(&packet::echo_request(MAC, GUEST_IP, GATEWAY_IP, &data))?;
        let frame = client.recv_packet(PATIENCE).with_context(|| format!("echo {round}"))?;
        let echo = parse::echo_reply(&frame);
        ensure!(echo.as_deref() == Some(&data[..]), "echo {round}: {} bytes differ", data.len());
    }
    trial.note("negotiated", format!("{:#x}", client.features()));
    let at = client.stop()?;
    trial.note("echoes", format!("{ECHOES} of 0 to 1472 bytes; the rings stopped at {at:#x?}"));
    drop(client);
    let said = served.ended(trial, 1)?;
    ensure!(said.contains(" 0 malformed, 0 refused"), "the back-end says {said}");
    Ok(())
}

/// A guest whose rings have these features, with some receive buffers.
fn guest(served: &Served, features: u64, buffers: usize) -> Result<VirtioClient> {
    let mut client = VirtioClient::connect(&served.link.front)?;
    let missing = features & !client.offered();
    ensure!(missing == 0, "features {missing:#x} are not offered");
    client.negotiate(features, protocol::MQ | protocol::REPLY_ACK)?;
    client.share_memory()?;
    for _ in [RECEIVE, TRANSMIT] {
        client.start(64)?;
    }
    client.settle()?;
    for _ in 0..buffers {
        receive_buffer(&mut client)?;
    }
    client.kick(RECEIVE)?;
    Ok(client)
}

/// Makes a receive buffer available.
fn receive_buffer(client: &mut VirtioClient) -> Result<()> {
    client.publish(RECEIVE, &Request { readable: &[], writable: 1534 }, &Style::default())?;
    Ok(())
}

/// Makes a frame available, and kicks.
fn send(client: &mut VirtioClient, frame: &[u8]) -> Result<()> {
    let bytes = [&[0; HEADER][..], frame].concat();
    client.publish(TRANSMIT, &Request { readable: &bytes, writable: 0 }, &Style::default())?;
    Ok(client.kick(TRANSMIT)?)
}

fn old(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut client = guest(&served, virtio::VERSION_1, 8)?;
    send(&mut client, &question())?;
    let answer = client.wait(RECEIVE, Instant::now() + PATIENCE)?;
    is_answer(answer.data.get(HEADER..).unwrap_or_default())?;
    trial
        .note("negotiated", format!("{:#x}, and SET_VRING_ENABLE was not sent", client.features()));
    Ok(())
}

/// Packets that are sent one at a time.
const PACKETS: usize = 20;

/// Without event indices the device has to call for each buffer that it uses: for the frame that
/// it has taken, and for the answer that it gives. Nothing is looked at before the call.
fn each_is_told(trial: &mut Trial, arguments: &[&str], features: u64) -> Result<()> {
    let served = Served::start(trial, arguments)?;
    let mut client = guest(&served, features | virtio::PROTOCOL_FEATURES, 8)?;
    let begin = Instant::now();
    for number in 1..=PACKETS {
        send(&mut client, &question())?;
        for (queue, name) in [(TRANSMIT, "the frame"), (RECEIVE, "its answer")] {
            let end = Instant::now() + Duration::from_secs(2);
            ensure!(
                client.is_called(queue, end)?,
                "packet {number} of {PACKETS}: no used notification for {name}"
            );
            let used = client.reap(queue)?;
            let used = used.with_context(|| format!("packet {number}: a call for nothing"))?;
            if queue == RECEIVE {
                is_answer(used.data.get(HEADER..).unwrap_or_default())?;
                receive_buffer(&mut client)?;
                client.kick(RECEIVE)?;
            }
        }
    }
    let elapsed = begin.elapsed().as_micros();
    trial.note("calls", format!("{PACKETS} for frames, {PACKETS} for answers, in {elapsed} us"));
    Ok(())
}

fn notifications(trial: &mut Trial) -> Result<()> {
    each_is_told(trial, &[], virtio::VERSION_1)
}

fn notifications_packed(trial: &mut Trial) -> Result<()> {
    each_is_told(trial, &["--packed"], virtio::VERSION_1 | virtio::RING_PACKED)
}

/// Sends a message of DHCP; gives the answer, which has to be one, of the same transaction.
fn dhcp_round(
    client: &mut VhostTestClient,
    frame: &[u8],
    xid: u32,
    kind: &str,
) -> Result<parse::DhcpResponse> {
    client.send_packet(frame)?;
    let answer = client.recv_packet(PATIENCE).with_context(|| format!("no {kind}"))?;
    let answer = parse::dhcp_response(&answer)
        .ok_or_else(|| anyhow!("no DHCP message, but {answer:02x?}"))?;
    ensure!(answer.xid == xid, "the {kind} has xid {:#x}, and {xid:#x} was asked", answer.xid);
    ensure!(format!("{:?}", answer.kind) == kind, "a {:?} comes, and no {kind}", answer.kind);
    Ok(answer)
}

fn dhcp(trial: &mut Trial) -> Result<()> {
    let served = Served::start(trial, &[])?;
    let mut client = VhostTestClient::new(&served.link.front)?;
    for xid in [0x1234_5678, 1, u32::MAX] {
        let discover = packet::dhcp_discover(MAC, xid);
        let offer = dhcp_round(&mut client, &discover, xid, "Offer")?;
        ensure!(offer.address == GUEST_IP, "{} is offered", offer.address);
        let Some(server) = offer.server else { bail!("the offer names no server") };
        let xid = xid ^ 0xff;
        let request = packet::dhcp_request(MAC, xid, offer.address, server);
        let ack = dhcp_round(&mut client, &request, xid, "Ack")?;
        ensure!(ack.address == GUEST_IP, "{} is acknowledged", ack.address);
        ensure!(ack.lease == Some(86400), "the lease has {:?} seconds", ack.lease);
        ensure!(ack.routers == [GATEWAY_IP], "the routers are {:?}", ack.routers);
        if xid == 0xff ^ 1 {
            let dns: Vec<_> = ack.dns.iter().map(ToString::to_string).collect();
            let mask = ack.mask.map(|mask| mask.to_string()).unwrap_or_default();
            let words = format!("{GUEST_IP} mask {mask}, 86400 s, DNS {}", dns.join(" "));
            trial.note("lease", words);
        }
    }
    Ok(())
}
