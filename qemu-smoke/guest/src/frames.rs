//! Raw frames to the gateway, and its answers.

use std::time::{Duration as Time, Instant as Clock};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use smoltcp::phy::{Device as _, Medium, RawSocket, RxToken as _, TxToken as _};
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Ipv4Address,
};

/// Frames that are on their way at most: half of what the gateway answers at once.
const WINDOW: u64 = 32;

/// How long an answer may take before it counts as lost.
const PATIENCE: Time = Time::from_secs(2);

/// Sends ARP requests to the gateway as fast as it answers them
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The interface
    #[arg(long, default_value = "eth0")]
    interface: String,

    /// How many requests
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,

    /// The address that is asked for
    #[arg(long, default_value = "169.254.0.1")]
    gateway: Ipv4Address,

    /// The address that asks
    #[arg(long, default_value = "192.0.2.10")]
    address: Ipv4Address,
}

/// Sends, and counts what comes back.
///
/// # Errors
/// There is no such interface, or an answer is lost.
pub(crate) fn run(options: &Options) -> Result<()> {
    let interface = &options.interface;
    let file = format!("/sys/class/net/{interface}/address");
    let address = std::fs::read_to_string(&file).with_context(|| file.clone())?;
    let mac: EthernetAddress =
        address.trim().parse().ok().with_context(|| format!("{file}: {address:?}"))?;
    let mut socket = RawSocket::new(interface, Medium::Ethernet)
        .with_context(|| format!("no raw socket at {interface}"))?;
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: options.address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: options.gateway,
    };
    let head = EthernetRepr {
        src_addr: mac,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let (mut sent, mut answered) = (0, 0);
    let begin = Clock::now();
    let mut heard = begin;
    while answered < options.count {
        while sent < options.count && sent - answered < WINDOW {
            let Some(token) = socket.transmit(Instant::now()) else { break };
            token.consume(head.buffer_len() + request.buffer_len(), |buffer| {
                let mut frame = EthernetFrame::new_unchecked(buffer);
                head.emit(&mut frame);
                request.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
            });
            sent += 1;
        }
        while let Some((token, _)) = socket.receive(Instant::now()) {
            if token.consume(|frame| is_answer(frame, mac, options.gateway)) {
                answered += 1;
                heard = Clock::now();
            }
        }
        ensure!(heard.elapsed() < PATIENCE, "{answered} answers to {sent} requests");
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("frames {answered} seconds {seconds:.3}");
    Ok(())
}

/// Whether a frame is the gateway's answer.
fn is_answer(frame: &[u8], mac: EthernetAddress, gateway: Ipv4Address) -> bool {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return false };
    if frame.ethertype() != EthernetProtocol::Arp || frame.dst_addr() != mac {
        return false;
    }
    let packet = ArpPacket::new_checked(frame.payload());
    let repr = packet.and_then(|packet| ArpRepr::parse(&packet));
    matches!(
        repr,
        Ok(ArpRepr::EthernetIpv4 { operation: ArpOperation::Reply, source_protocol_addr, .. })
            if source_protocol_addr == gateway
    )
}
