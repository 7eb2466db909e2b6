//! Gateways with one mistake each.

use std::marker::PhantomData;

use vhost_fuzz_core::net::checksum::Transport;

use crate::gateway::build::checksum;
use crate::gateway::{Core, GATEWAY_MAC, GATEWAYS, LEASES, Port, Said, Setup};

/// What goes wrong around the gateway of the core.
pub trait Mistake: Default {
    /// The options that the gateway has.
    #[must_use]
    fn setup(setup: Setup) -> Setup {
        setup
    }

    /// Changes a frame before it is judged.
    fn before(&mut self, _frame: &mut Vec<u8>, _transport: &mut Transport, _now_ms: &mut u64) {}

    /// Changes what is said. `out` is what there is room for.
    fn after(&mut self, _frame: &[u8], said: Said, _out: &mut [u8]) -> Said {
        said
    }
}

/// A gateway that makes a mistake.
#[derive(Debug)]
pub struct Broken<M> {
    core: Core,
    mistake: M,
    /// The frame, in memory that is there before it comes.
    frame: Vec<u8>,
    kind: PhantomData<M>,
}

impl<M: Mistake> Port for Broken<M> {
    fn new(setup: Setup) -> Self {
        let core = Core::new(M::setup(setup));
        let frame = Vec::with_capacity(0x1_0000);
        Self { core, mistake: M::default(), frame, kind: PhantomData }
    }

    fn frame(
        &mut self,
        bytes: &[u8],
        mut transport: Transport,
        mut now_ms: u64,
        out: &mut [u8],
    ) -> Said {
        self.frame.clear();
        self.frame.extend_from_slice(bytes);
        self.mistake.before(&mut self.frame, &mut transport, &mut now_ms);
        let said = self.core.frame(&self.frame, transport, now_ms, out);
        self.mistake.after(bytes, said, out)
    }
}

/// A gateway without a mistake, built like the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Mistake for Nothing {}

/// Where the ARP packet of a frame without a tag begins.
const ARP: usize = 14;

fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..ARP) == Some(&[8, 6])
}

/// Makes the checksum of a header without options right, in a frame without a tag.
fn seal_header(frame: &mut [u8]) {
    frame[24..26].copy_from_slice(&[0, 0]);
    let right = checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&right);
}

/// A mistake in what is read of a frame.
macro_rules! before {
    ($($(#[$doc:meta])+ $name:ident: |$frame:ident, $transport:ident, $now:ident| $body:block)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Mistake for $name {
            fn before(
                &mut self,
                $frame: &mut Vec<u8>,
                $transport: &mut Transport,
                $now: &mut u64,
            ) $body
        }
    )+};
}

before! {
    /// Answers for other stations, too (AR-014).
    AnswersOtherStations: |frame, _transport, _now| {
        if is_arp(frame) {
            frame[..6].copy_from_slice(&GATEWAY_MAC);
        }
    }
    /// Does not look at the length of protocol addresses (AR04).
    IgnoresAddressLengths: |frame, _transport, _now| {
        if is_arp(frame) && frame.len() > ARP + 6 {
            frame[ARP + 4..ARP + 6].copy_from_slice(&[6, 4]);
        }
    }
    /// Reads a packet that is cut as if zeroes followed (AR01, AR02).
    ReadsPastTheEnd: |frame, _transport, _now| {
        if is_arp(frame) && frame.len() < ARP + 28 {
            frame.resize(ARP + 28, 0);
        }
    }
    /// Believes whoever a packet says has sent it (AR-010).
    BelievesTheSender: |frame, _transport, _now| {
        if is_arp(frame) && frame.len() >= ARP + 14 {
            let (link, packet) = frame.split_at_mut(ARP);
            packet[8..14].copy_from_slice(&link[6..12]);
        }
    }
    /// Takes the length of the frame for that of the packet, so that padding is minded.
    MindsPadding: |frame, _transport, _now| {
        if is_arp(frame) && frame.len() > ARP + 28 {
            frame.truncate(ARP + 27);
        }
    }
    /// Looks at the target address of requests (AR-013).
    MindsTheTarget: |frame, _transport, _now| {
        if is_arp(frame) && frame.len() >= ARP + 28 && frame[ARP + 18..ARP + 24] != [0; 6] {
            frame[ARP + 7] = 9;
        }
    }
    /// Compares no checksum (L2-010).
    IgnoresChecksums: |_frame, transport, _now| {
        *transport = Transport::Partial;
    }
    /// Compares checksums that the device has to complete (NET-055).
    ComparesPartialChecksums: |_frame, transport, _now| {
        *transport = Transport::Complete;
    }
    /// Takes the first fragment of a packet for the packet (L2-008).
    TakesFragments: |frame, _transport, _now| {
        if frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34 && frame[20] & 0x20 != 0 {
            frame[20] &= 0xdf;
            seal_header(frame);
        }
    }
    /// Does not look at the checksum of IPv4 (L2-007).
    IgnoresTheHeaderChecksum: |frame, _transport, _now| {
        if frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34 && frame[14] == 0x45 {
            seal_header(frame);
        }
    }
    /// Has a clock that runs a thousand times too fast: no interval, no bound.
    RunsFast: |_frame, _transport, now| {
        *now *= 1000;
    }
    /// Answers when the guest probes for its own address (AR-005).
    AnswersForTheGuest: |frame, _transport, _now| {
        if is_arp(frame) && frame.len() >= ARP + 28 && frame[ARP + 24..ARP + 28] == LEASES[0] {
            frame[ARP + 24..ARP + 28].copy_from_slice(&GATEWAYS[0]);
        }
    }
    /// Makes a copy of what it reads.
    Allocates: |frame, _transport, _now| {
        *frame = frame.to_vec();
    }
}

/// A mistake in what is said.
macro_rules! after {
    ($($(#[$doc:meta])+ $name:ident: |$frame:ident, $said:ident, $out:ident| $body:block)+) => {$(
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Mistake for $name {
            fn after(&mut self, $frame: &[u8], $said: Said, $out: &mut [u8]) -> Said $body
        }
    )+};
}

after! {
    /// Sends as many bytes as it got, padding and all (L2-005).
    EchoesPadding: |frame, said, out| {
        match said {
            Said::Reply(len) if len < frame.len() && frame.len() <= out.len() => {
                out[len..frame.len()].copy_from_slice(&frame[len..]);
                Said::Reply(frame.len())
            }
            said => said,
        }
    }
    /// Pads replies to the least length of a wire with what is in memory (L2-006).
    PadsWithMemory: |_frame, said, out| {
        match said {
            Said::Reply(len) if len < 60 && out.len() >= 60 => Said::Reply(60),
            said => said,
        }
    }
    /// Writes a byte behind its reply.
    WritesBehind: |_frame, said, out| {
        if let Said::Reply(len) = said
            && let Some(byte) = out.get_mut(len)
        {
            *byte = 0;
        }
        said
    }
    /// Writes a reply before it knows that it sends one.
    WritesFirst: |_frame, said, out| {
        if let Said::Silent(_) = said {
            out[0] = 0;
        }
        said
    }
    /// Exchanges sender and target of an ARP reply once too often.
    SwapsAddresses: |_frame, said, out| {
        if let Said::Reply(len) = said
            && is_arp(&out[..len])
        {
            let (sender, target) = out[ARP + 8..len].split_at_mut(10);
            sender.swap_with_slice(target);
        }
        said
    }
    /// Replies with the source of somebody else (AR-004).
    SendsAsTheGuest: |frame, said, out| {
        if let Said::Reply(_) = said {
            out[6..12].copy_from_slice(&frame[6..12]);
        }
        said
    }
    /// Leaves the checksum of UDP to somebody else.
    LeavesChecksums: |_frame, said, out| {
        if let Said::Reply(len) = said
            && out[..len].get(12..14) == Some(&[8, 0])
            && out[23] == 17
        {
            out[40..42].copy_from_slice(&[0, 0]);
        }
        said
    }
    /// Replies without the tag of the request (L2-004).
    ForgetsTheTag: |_frame, said, out| {
        match said {
            Said::Reply(len) if out[12] == 0x81 => {
                out.copy_within(16..len, 12);
                out[len - 4..len].fill(0xa5);
                Said::Reply(len - 4)
            }
            said => said,
        }
    }
    /// Tells everybody who the gateway is (AR-003).
    BroadcastsAlways: |_frame, said, out| {
        if let Said::Reply(len) = said
            && is_arp(&out[..len])
            && out[ARP + 7] == 2
        {
            out[..6].fill(0xff);
        }
        said
    }
}

/// Is as strict as it can be, though nobody asked for it (AR-011).
#[derive(Clone, Copy, Debug, Default)]
pub struct IsAlwaysStrict;

impl Mistake for IsAlwaysStrict {
    fn setup(setup: Setup) -> Setup {
        Setup(setup.0 | 1)
    }
}

/// Defends its addresses, though nobody asked for it (AR-017).
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysDefends;

impl Mistake for AlwaysDefends {
    fn setup(setup: Setup) -> Setup {
        Setup(setup.0 | 8)
    }
}

/// Sends what is longer than the guest can take (L2-012).
#[derive(Clone, Copy, Debug, Default)]
pub struct IgnoresTheMtu;

impl Mistake for IgnoresTheMtu {
    fn setup(setup: Setup) -> Setup {
        Setup(setup.0 & !0x20)
    }
}

/// Answers as often as it is asked (L2-013).
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswersWithoutBound;

impl Mistake for AnswersWithoutBound {
    fn setup(setup: Setup) -> Setup {
        Setup(setup.0 & !0x40)
    }
}

/// Says nothing any more, once it was refused an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivesUp {
    is_dead: bool,
}

impl Mistake for GivesUp {
    fn after(&mut self, _frame: &[u8], said: Said, out: &mut [u8]) -> Said {
        if self.is_dead
            && let Said::Reply(len) = said
        {
            out[..len].fill(0xa5);
            return Said::Silent(vhost_fuzz_core::rule::Rule::dc(105));
        }
        self.is_dead |= matches!(said, Said::Refused(_));
        said
    }
}
