//! The same device by `vhost-user-backend`, `virtio-queue` and `smoltcp`: as ours, it takes,
//! answers and gives back until nothing is left, and then calls the driver. Each buffer that it
//! gives back is shown to the driver at once, as `virtio-queue` does it. There are no packed rings.

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv4Packet, Icmpv4Repr,
    IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket,
};
use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_harness::guest::{GATEWAY_IP, GATEWAY_MAC};
use vhost_user_backend::{
    VhostUserBackendMut, VhostUserDaemon, VringRwLock, VringState, VringT as _,
};
use virtio_queue::{DescriptorChain, QueueT as _};
use vm_memory::{GuestAddressSpace as _, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

/// Entries of a queue at most.
const QUEUE_MAX: usize = 1024;

/// Bytes of the header in front of a frame.
const HEADER_LEN: usize = 12;

/// What is in front of a reply: it says nothing but that there is one buffer.
const HEADER: [u8; HEADER_LEN] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

/// Bytes of the longest frame, and one more: what fills it is too long.
const FRAME_MAX: usize = 1515;

/// Port of a DHCP server, which there is none of.
const DHCP_SERVER: u16 = 67;

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;
type Chain<'m> = DescriptorChain<&'m GuestMemoryMmap>;

/// A device in the threads of its daemon.
pub(crate) struct Peer {
    daemon: VhostUserDaemon<Arc<Mutex<Device>>>,
}

impl Peer {
    /// Starts it, and gives the other end of its socket.
    pub(crate) fn new() -> (Self, UnixStream) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).expect("a socket");
        let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
        let device = Arc::new(Mutex::new(Device::new(memory.clone())));
        let daemon = VhostUserDaemon::new("peer".to_owned(), device, memory);
        let mut daemon = daemon.expect("a daemon");
        daemon.start_client(path.to_str().expect("a plain path")).expect("a connection");
        let (stream, _) = listener.accept().expect("a connection");
        (Self { daemon }, stream)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.daemon.request_shutdown();
        if let Err(error) = self.daemon.wait() {
            eprintln!("the other device: {error}");
        }
    }
}

/// A device behind which is a gateway that answers echo requests.
struct Device {
    memory: Memory,
    /// Header and frame that were sent.
    sent: [u8; HEADER_LEN + FRAME_MAX],
    /// Header and frame of a reply.
    reply: [u8; HEADER_LEN + FRAME_MAX],
}

impl Device {
    const fn new(memory: Memory) -> Self {
        let nothing = [0; HEADER_LEN + FRAME_MAX];
        Self { memory, sent: nothing, reply: nothing }
    }

    /// Takes what there is to take, answers, and calls the driver if it wants that.
    fn serve(
        &mut self,
        receive: &mut VringState<Memory>,
        transmit: &mut VringState<Memory>,
    ) -> io::Result<()> {
        let guard = self.memory.memory();
        let memory: &GuestMemoryMmap = &guard;
        let mut has_answered = false;
        loop {
            transmit.get_queue_mut().disable_notification(memory).map_err(io::Error::other)?;
            while let Some(chain) = transmit.get_queue_mut().pop_descriptor_chain(memory) {
                let head = chain.head_index();
                let len = copy(&mut self.sent, chain, memory)?;
                if let Some(len) = answer(&self.sent[..len], &mut self.reply) {
                    has_answered |= deliver(receive, memory, &self.reply[..len])?;
                }
                let queue = transmit.get_queue_mut();
                queue.add_used(memory, head, 0).map_err(io::Error::other)?;
            }
            let queue = transmit.get_queue_mut();
            if !queue.enable_notification(memory).map_err(io::Error::other)? {
                break;
            }
        }
        call(transmit, memory)?;
        if has_answered { call(receive, memory) } else { Ok(()) }
    }
}

/// Copies what a driver sends, as far as it may be judged.
fn copy(sent: &mut [u8], chain: Chain<'_>, memory: &GuestMemoryMmap) -> io::Result<usize> {
    let mut reader = chain.reader(memory).map_err(io::Error::other)?;
    let len = reader.available_bytes().min(sent.len());
    reader.read_exact(&mut sent[..len])?;
    Ok(len)
}

/// Puts a reply into the next receive buffer. `false`: there is none, or it is too short.
fn deliver(
    receive: &mut VringState<Memory>,
    memory: &GuestMemoryMmap,
    reply: &[u8],
) -> io::Result<bool> {
    let queue = receive.get_queue_mut();
    queue.disable_notification(memory).map_err(io::Error::other)?;
    let Some(chain) = queue.pop_descriptor_chain(memory) else { return Ok(false) };
    let head = chain.head_index();
    let mut writer = chain.writer(memory).map_err(io::Error::other)?;
    let has_room = writer.available_bytes() >= reply.len();
    let len = if has_room { u32::try_from(reply.len()).map_err(io::Error::other)? } else { 0 };
    if has_room {
        writer.write_all(reply)?;
    }
    queue.add_used(memory, head, len).map_err(io::Error::other)?;
    Ok(true)
}

/// Calls the driver if it wants that.
fn call(vring: &mut VringState<Memory>, memory: &GuestMemoryMmap) -> io::Result<()> {
    let queue = vring.get_queue_mut();
    if queue.needs_notification(memory).map_err(io::Error::other)? {
        vring.signal_used_queue()?;
    }
    Ok(())
}

/// The reply to what was sent, header and frame, and its bytes.
fn answer(sent: &[u8], reply: &mut [u8]) -> Option<usize> {
    let (header, bytes) = sent.split_at_checked(HEADER_LEN)?;
    // Without offloads a driver asks for nothing.
    if header.iter().any(|byte| *byte != 0) || bytes.len() == FRAME_MAX {
        return None;
    }
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let ours = EthernetAddress(GATEWAY_MAC);
    if frame.dst_addr() != ours || frame.ethertype() != EthernetProtocol::Ipv4 {
        return None;
    }
    let sums = ChecksumCapabilities::default();
    let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
    let asked = Ipv4Repr::parse(&packet, &sums).ok()?;
    match asked.next_header {
        IpProtocol::Icmp => {
            let (front, room) = reply.split_first_chunk_mut()?;
            *front = HEADER;
            let link = EthernetRepr {
                src_addr: ours,
                dst_addr: frame.src_addr(),
                ethertype: EthernetProtocol::Ipv4,
            };
            echo(&asked, packet.payload(), &link, room).map(|len| HEADER_LEN + len)
        }
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
            let [from, to] = [asked.src_addr, asked.dst_addr].map(IpAddress::Ipv4);
            let is_for_us =
                datagram.verify_checksum(&from, &to) && datagram.dst_port() == DHCP_SERVER;
            // There is no server: nothing but the reading is left to do.
            black_box(is_for_us);
            None
        }
        _ => None,
    }
}

/// Writes the reply to an echo request, and tells its bytes.
fn echo(asked: &Ipv4Repr, message: &[u8], link: &EthernetRepr, out: &mut [u8]) -> Option<usize> {
    let sums = ChecksumCapabilities::default();
    let message = Icmpv4Packet::new_checked(message).ok()?;
    let Icmpv4Repr::EchoRequest { ident, seq_no, data } =
        Icmpv4Repr::parse(&message, &sums).ok()?
    else {
        return None;
    };
    if asked.dst_addr != GATEWAY_IP || asked.src_addr == GATEWAY_IP {
        return None;
    }
    let reply = Icmpv4Repr::EchoReply { ident, seq_no, data };
    let header = Ipv4Repr {
        src_addr: asked.dst_addr,
        dst_addr: asked.src_addr,
        next_header: IpProtocol::Icmp,
        payload_len: reply.buffer_len(),
        hop_limit: 64,
    };
    let len = link.buffer_len() + header.buffer_len() + reply.buffer_len();
    let mut frame = EthernetFrame::new_unchecked(out.get_mut(..len)?);
    link.emit(&mut frame);
    let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
    header.emit(&mut packet, &sums);
    reply.emit(&mut Icmpv4Packet::new_unchecked(packet.payload_mut()), &sums);
    Some(len)
}

impl VhostUserBackendMut for Device {
    type Bitmap = ();
    type Vring = VringRwLock<Memory>;

    fn num_queues(&self) -> usize {
        2
    }

    fn max_queue_size(&self) -> usize {
        QUEUE_MAX
    }

    fn features(&self) -> u64 {
        virtio::VERSION_1 | virtio::EVENT_IDX | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn set_event_idx(&mut self, _enabled: bool) {
        // The queues know it.
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn exit_event(&self, _thread_index: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(
        &mut self,
        device_event: u16,
        _events: EventSet,
        vrings: &[Self::Vring],
        _thread_id: usize,
    ) -> io::Result<()> {
        match (device_event, vrings) {
            (1, [receive, transmit]) => self.serve(&mut receive.get_mut(), &mut transmit.get_mut()),
            // Receive buffers are looked for when there is something to put into them.
            _ => Ok(()),
        }
    }
}
