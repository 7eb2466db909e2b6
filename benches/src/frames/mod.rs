//! Frames: the virtio-net header in front of one, and what a gateway makes of those of a guest.
//!
//! A `parse` reads a frame down to what it asks; a `reply` reads it and writes the whole answer,
//! as the responder of its protocol does; a `gateway` operation is the same behind
//! [`Gateway::answer`], which looks for the protocol first and limits how often it answers.

pub mod samples;

use std::hint::black_box;

use vhost_fuzz_core::net::checksum::Transport;
use vhost_fuzz_core::net::ethernet::Frame;
use vhost_fuzz_core::net::gateway::Gateway;
use vhost_fuzz_core::net::header::{Header, Port, Receive};
use vhost_fuzz_core::net::icmpv6::Message;
use vhost_fuzz_core::net::ipv6::Packet;
use vhost_fuzz_core::net::ndp::{self, Discovery};
use vhost_fuzz_core::net::{arp, dhcp};

/// Bytes that there are for an answer.
const ROOM: usize = 2048;

/// What is done to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Reads the header of 12 bytes in front of a frame of the driver; its checksum is left to
    /// the device, or not.
    HeaderParse {
        /// It is.
        partial: bool,
    },
    /// Makes the header in front of a frame for the driver, and writes it.
    HeaderBuild {
        /// The frame's checksum is left to the driver.
        partial: bool,
    },
    /// An ARP request.
    ArpParse,
    /// An ARP request and its reply.
    ArpReply,
    /// A DISCOVER: header and all options.
    DhcpParse,
    /// A DISCOVER and its OFFER, both as payloads of UDP.
    DhcpReply,
    /// A neighbour solicitation, with its checksum.
    NdpParse,
    /// A neighbour solicitation and its advertisement.
    NdpReply,
    /// What a gateway answers.
    Gateway(Asked),
}

/// What a gateway is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An ARP request.
    Arp,
    /// A DISCOVER.
    Discover,
    /// An echo request over IPv4, with 56 bytes of data.
    Echo,
    /// The same over IPv6.
    EchoV6,
    /// A neighbour solicitation.
    Neighbor,
    /// A router solicitation.
    Router,
}

/// A task with its input.
#[derive(Debug)]
pub struct Job {
    what: What,
    input: Vec<u8>,
    out: Vec<u8>,
    now_ms: u64,
}

#[derive(Debug)]
enum What {
    HeaderParse(Port),
    HeaderBuild(Port, Receive),
    ArpParse,
    ArpReply(arp::Responder),
    DhcpParse,
    DhcpReply(Box<dhcp::Server>),
    NdpParse,
    NdpReply(ndp::Responder),
    Gateway(Box<Gateway>),
}

impl Job {
    /// Makes the input, and whatever answers it.
    ///
    /// # Panics
    /// When a configuration of the harness is none.
    #[must_use]
    pub fn new(task: Task) -> Self {
        const NONE: &str = "a configuration of the harness";
        let (what, input) = match task {
            Task::HeaderParse { partial } => (What::HeaderParse(samples::port()), sent(partial)),
            Task::HeaderBuild { partial } => {
                (What::HeaderBuild(samples::port(), samples::about(partial)), samples::segment())
            }
            Task::ArpParse => (What::ArpParse, samples::arp_request()),
            Task::ArpReply => {
                (What::ArpReply(samples::arp_responder().expect(NONE)), samples::arp_request())
            }
            Task::DhcpParse => (What::DhcpParse, samples::discover()),
            Task::DhcpReply => {
                let server = Box::new(samples::dhcp_server().expect(NONE));
                (What::DhcpReply(server), samples::discover())
            }
            Task::NdpParse => (What::NdpParse, samples::solicitation()),
            Task::NdpReply => {
                (What::NdpReply(samples::ndp_responder().expect(NONE)), samples::solicitation())
            }
            Task::Gateway(asked) => {
                let input = match asked {
                    Asked::Arp => samples::arp_request(),
                    Asked::Discover => samples::discover_frame(),
                    Asked::Echo => samples::echo(),
                    Asked::EchoV6 => samples::echo_v6(),
                    Asked::Neighbor => samples::solicitation(),
                    Asked::Router => samples::router_solicitation(),
                };
                (What::Gateway(Box::new(samples::gateway().expect(NONE))), input)
            }
        };
        Self { what, input, out: vec![0; ROOM], now_ms: 0 }
    }

    /// The frame, or the payload.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.input
    }

    /// Does it `times` times. A millisecond passes between two of them.
    #[inline(never)]
    pub fn run(&mut self, times: u64) {
        let Self { what, input, out, now_ms } = self;
        let (input, out) = (input.as_slice(), out.as_mut_slice());
        match what {
            What::HeaderParse(port) => {
                let port = black_box(*port);
                repeat(times, || black_box(port.transmit(black_box(input), 0).is_ok()));
            }
            What::HeaderBuild(port, about) => {
                let port = black_box(*port);
                repeat(times, || header_build(&port, black_box(input), black_box(about), out));
            }
            What::ArpParse => repeat(times, || arp_parse(black_box(input))),
            What::ArpReply(responder) => repeat(times, || {
                *now_ms += 1;
                arp_reply(responder, black_box(input), *now_ms, out)
            }),
            What::DhcpParse => repeat(times, || dhcp_parse(black_box(input))),
            What::DhcpReply(server) => repeat(times, || {
                *now_ms += 1;
                dhcp_reply(server, black_box(input), *now_ms, out)
            }),
            What::NdpParse => repeat(times, || ndp_parse(black_box(input))),
            What::NdpReply(responder) => repeat(times, || {
                *now_ms += 1;
                ndp_reply(responder, black_box(input), *now_ms, out)
            }),
            What::Gateway(gateway) => repeat(times, || {
                *now_ms += 1;
                gateway_answer(gateway, black_box(input), *now_ms, out)
            }),
        }
    }

    /// Does it once; gives what is written.
    pub fn answer(&mut self) -> Option<Vec<u8>> {
        self.now_ms += 1;
        let Self { what, input, out, now_ms } = self;
        let now = *now_ms;
        let len = match what {
            What::HeaderBuild(port, about) => header_build(port, input, about, out),
            What::ArpReply(responder) => arp_reply(responder, input, now, out),
            What::DhcpReply(server) => dhcp_reply(server, input, now, out),
            What::NdpReply(responder) => ndp_reply(responder, input, now, out),
            What::Gateway(gateway) => gateway_answer(gateway, input, now, out),
            _ => None,
        };
        out.get(..len?).map(<[u8]>::to_vec)
    }

    /// Asserts that what comes of it is right, also the second time.
    ///
    /// # Panics
    /// When it is not.
    pub fn check(&mut self, name: &str) {
        let is_parsed = match &self.what {
            What::HeaderParse(port) => {
                let sent = port.transmit(&self.input, 0).expect(name);
                let is_partial = self.input.first() != Some(&0);
                assert_eq!(sent.checksum, is_partial.then_some(samples::CHECKSUM), "{name}");
                sent.frame == samples::segment()
            }
            What::ArpParse => arp_parse(&self.input).is_some(),
            What::DhcpParse => dhcp_parse(&self.input) == Some((dhcp::kind::DISCOVER, 3)),
            What::NdpParse => {
                matches!(ndp_parse(&self.input), Some(Discovery::NeighborSolicitation { .. }))
            }
            _ => self.answer().is_some() && self.answer().is_some(),
        };
        assert!(is_parsed, "{name}: it is not what was asked for");
    }
}

/// A frame of the driver with its header.
fn sent(is_partial: bool) -> Vec<u8> {
    let port = samples::port();
    let mut bytes = vec![0; port.features.header_len()];
    let _ = samples::header(is_partial).encode(port.features, &mut bytes);
    bytes.extend(samples::segment());
    bytes
}

#[inline]
fn repeat<R>(times: u64, mut turn: impl FnMut() -> R) {
    for _ in 0..times {
        black_box(turn());
    }
}

/// The header in front of a frame for the driver: its bytes.
#[inline]
fn header_build(port: &Port, frame: &[u8], about: &Receive, out: &mut [u8]) -> Option<usize> {
    let header: Header = port.receive(frame, about).ok()?;
    header.encode(port.features, out).ok()
}

/// The fields of an ARP packet in a frame.
#[must_use]
#[inline]
pub fn arp_parse(frame: &[u8]) -> Option<arp::Packet> {
    arp::Packet::parse(Frame::parse(frame).ok()?.payload).ok()
}

#[inline]
fn arp_reply(
    responder: &mut arp::Responder,
    frame: &[u8],
    now_ms: u64,
    out: &mut [u8],
) -> Option<usize> {
    match responder.answer(&Frame::parse(frame).ok()?, now_ms, out).ok()? {
        arp::Answer::Reply { len } => Some(len),
        _ => None,
    }
}

/// The type of a DHCP message, and how many options it has.
#[must_use]
#[inline]
pub fn dhcp_parse(payload: &[u8]) -> Option<(u8, usize)> {
    let message = dhcp::Message::parse(payload).ok()?;
    let options = message.options.iter().map(black_box).count();
    Some((message.kind, options))
}

#[inline]
fn dhcp_reply(
    server: &mut dhcp::Server,
    payload: &[u8],
    now_ms: u64,
    out: &mut [u8],
) -> Option<usize> {
    let request = dhcp::Request {
        payload,
        ethernet_source: vhost_fuzz_harness::dhcp::GUEST,
        source: std::net::Ipv4Addr::UNSPECIFIED,
        destination: std::net::Ipv4Addr::BROADCAST,
        port: dhcp::SERVER_PORT,
    };
    match server.handle(&request, now_ms, out).ok()? {
        dhcp::Outcome::Answer(answer) => Some(answer.len),
        dhcp::Outcome::Silent(_) => None,
    }
}

/// The message about the link in a frame.
#[must_use]
#[inline]
pub fn ndp_parse(frame: &[u8]) -> Option<Discovery> {
    let frame = Frame::parse(frame).ok()?;
    let packet = Packet::parse(frame.payload).ok()??;
    let message = Message::parse(&packet, Transport::Complete).ok()?;
    Discovery::parse(&packet, &message, frame.source).ok()?
}

#[inline]
fn ndp_reply(
    responder: &mut ndp::Responder,
    frame: &[u8],
    now_ms: u64,
    out: &mut [u8],
) -> Option<usize> {
    let frame = Frame::parse(frame).ok()?;
    let packet = Packet::parse(frame.payload).ok()??;
    responder.answer(&frame, &packet, Transport::Complete, now_ms, out).ok()?
}

#[inline]
fn gateway_answer(
    gateway: &mut Gateway,
    frame: &[u8],
    now_ms: u64,
    out: &mut [u8],
) -> Option<usize> {
    gateway.answer(frame, Transport::Complete, now_ms, out).ok()?
}
