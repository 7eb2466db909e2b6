//! The same path by other people's libraries: rings by `virtio-queue`, frames by `smoltcp`, DHCP
//! by `dhcproto`.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use dhcproto::v4::DhcpOption;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Address,
    Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};
use vhost_fuzz_benches::frames::samples;
use vhost_fuzz_benches::path::{BATCH, Driver, HEADER, Memory, Plan, Request, Ring};
use vhost_fuzz_core::vhost_user::payload::VringAddr;
use vhost_fuzz_harness::dhcp::FAR_ROUTER;
use vhost_fuzz_harness::gateway::GATEWAY_MAC;
use vhost_fuzz_harness::guest::parse;
use virtio_queue::{Queue, QueueT as _};
use vm_memory::GuestMemoryMmap;

use crate::libraries::{dhcproto_dhcp, smoltcp_arp};

/// Bytes that there are for a frame.
const ROOM: usize = 2048;

/// A device that is made with other people's libraries.
pub(crate) struct Peer {
    request: Request,
    memory: Memory,
    drivers: [Driver; 2],
    queues: [Queue; 2],
    frames: Frames,
}

/// What it needs to answer frames, allocated once.
struct Frames {
    sent: Vec<u8>,
    reply: Vec<u8>,
    message: Vec<u8>,
    routes: DhcpOption,
}

/// The halves of an address.
fn halves(address: u64) -> (Option<u32>, Option<u32>) {
    let half = |shift: u32| u32::try_from(address >> shift & u64::from(u32::MAX)).ok();
    (half(0), half(32))
}

/// A ring that was started.
fn queue(memory: &GuestMemoryMmap, addresses: &VringAddr) -> Queue {
    let mut queue = Queue::new(BATCH).expect("a size of a ring");
    queue.set_size(BATCH);
    let (low, high) = halves(addresses.descriptor);
    queue.set_desc_table_address(low, high);
    let (low, high) = halves(addresses.available);
    queue.set_avail_ring_address(low, high);
    let (low, high) = halves(addresses.used);
    queue.set_used_ring_address(low, high);
    queue.set_ready(true);
    assert!(queue.is_valid(memory), "a ring");
    queue
}

impl Peer {
    /// A device on memory of its own, which has gone through two batches and answered everything.
    pub(crate) fn new(plan: Plan) -> Self {
        let memory = Memory::new(plan);
        let rings = [Ring::Receive, Ring::Transmit];
        let queues = rings.map(|ring| queue(memory.mapped, &ring.addresses()));
        let drivers = rings.map(|ring| Driver::new(&memory, ring));
        let frames = Frames {
            sent: vec![0; ROOM],
            reply: vec![0; ROOM],
            message: Vec::with_capacity(ROOM),
            routes: dhcproto_dhcp::routes(),
        };
        let mut peer = Self { request: plan.request, memory, drivers, queues, frames };
        for _ in 0..2 {
            peer.memory.forget();
            peer.serve();
            peer.check();
        }
        peer
    }

    /// What was received is what ours answers.
    fn check(&self) {
        let answer = samples::answer(&self.request.frame());
        for at in 0..BATCH {
            // Behind the frame is what was there before: zeros.
            let found = self.memory.received(at, 1500);
            match self.request {
                Request::Arp => assert_eq!(found[..answer.len()], answer, "buffer {at}"),
                Request::Discover => {
                    let read = parse::dhcp_response(&found);
                    assert!(read.is_some(), "buffer {at}: an offer");
                    assert_eq!(read, parse::dhcp_response(&answer), "buffer {at}");
                }
            }
        }
    }

    /// Answers a batch. How long that took, without the driver.
    pub(crate) fn serve(&mut self) -> Duration {
        self.drivers.iter_mut().for_each(Driver::arm);
        let Self { request, memory, queues: [receive, transmit], frames, .. } = self;
        let memory = memory.mapped;
        let start = Instant::now();
        while let Some(chain) = transmit.pop_descriptor_chain(memory) {
            let head = chain.head_index();
            let mut reader = chain.reader(memory).expect("a good chain");
            let len = reader.available_bytes();
            let sent = frames.sent.get_mut(..len).expect("room");
            reader.read_exact(sent).expect("a request");
            if let Some(len) = frames.answer(*request, len) {
                let chain = receive.pop_descriptor_chain(memory).expect("a buffer");
                let head = chain.head_index();
                let mut writer = chain.writer(memory).expect("a good chain");
                writer.write_all(&frames.reply[..HEADER + len]).expect("room");
                let written = u32::try_from(writer.bytes_written()).expect("a short frame");
                receive.add_used(memory, head, written).expect("a used ring");
            }
            transmit.add_used(memory, head, 0).expect("a used ring");
        }
        assert!(receive.needs_notification(memory).expect("an available ring"));
        assert!(transmit.needs_notification(memory).expect("an available ring"));
        start.elapsed()
    }
}

impl Frames {
    /// Answers the request of so many bytes: header, then frame.
    fn answer(&mut self, request: Request, len: usize) -> Option<usize> {
        let Self { sent, reply, message, routes } = self;
        let frame = sent.get(HEADER..len)?;
        // Flags and type: nothing is asked for.
        if sent[..2] != [0, 0] {
            return None;
        }
        let (header, room) = reply.split_at_mut(HEADER);
        header.fill(0);
        header[10] = 1;
        match request {
            Request::Arp => smoltcp_arp::reply(frame, room),
            Request::Discover => offer(frame, room, message, routes),
        }
    }
}

/// The OFFER to a DISCOVER, as frames.
fn offer(
    frame: &[u8],
    out: &mut [u8],
    message: &mut Vec<u8>,
    routes: &DhcpOption,
) -> Option<usize> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let sums = ChecksumCapabilities::default();
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let header = Ipv4Repr::parse(&packet, &sums).ok()?;
    if header.next_header != IpProtocol::Udp {
        return None;
    }
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let (from, to) = (header.src_addr.into(), header.dst_addr.into());
    let ports = UdpRepr::parse(&datagram, &from, &to, &sums).ok()?;
    if ports.dst_port != 67 {
        return None;
    }
    dhcproto_dhcp::reply(datagram.payload(), message, samples::lease(), routes)?;
    let ours = EthernetAddress(GATEWAY_MAC);
    let link = EthernetRepr {
        src_addr: ours,
        dst_addr: frame.src_addr(),
        ethertype: EthernetProtocol::Ipv4,
    };
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: FAR_ROUTER,
        dst_addr: Ipv4Address::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + message.len(),
        hop_limit: 64,
    };
    let len = link.buffer_len() + ip.buffer_len() + ip.payload_len;
    let mut frame = EthernetFrame::new_unchecked(out.get_mut(..len)?);
    link.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet, &sums);
    let mut datagram = UdpPacket::new_unchecked(packet.payload_mut());
    let (from, to) = (ip.src_addr.into(), ip.dst_addr.into());
    let copy = |room: &mut [u8]| room.copy_from_slice(message);
    udp.emit(&mut datagram, &from, &to, message.len(), copy, &sums);
    Some(len)
}
