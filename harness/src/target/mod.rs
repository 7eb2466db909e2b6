//! The targets, and the registry that everything else loops over.

pub mod arp;
pub mod dhcp;
pub mod dhcpv6;
#[cfg(feature = "peer-vhost")]
pub mod diff_vhost;
#[cfg(feature = "peer-virtio-queue")]
pub mod diff_virtio_queue;
pub mod mem_table;
pub mod msg_decode;
pub mod msg_stream;
pub mod ndp;
pub mod net_device;
pub mod net_header;
pub mod packed_chain;
pub mod packed_ring;
pub mod ring_equivalence;
pub mod session;
pub mod split_chain;
pub mod split_ring;

/// One fuzz target: a name and a body that takes the bytes of one input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Name of the fuzz binary, the corpus folder, the dictionary and the property test file.
    pub name: &'static str,
    /// One line for a person who reads the list.
    pub about: &'static str,
    /// Runs one input; panics when an oracle finds a fault.
    pub run: fn(&[u8]),
}

/// Every target. A fuzz binary names its body directly and never refers to this table, so that
/// each binary links one body only.
pub const TARGETS: &[Target] = &[
    Target {
        name: "arp",
        about: "ARP, ping and UDP at the gateway of a guest, frame by frame",
        run: arp::run,
    },
    Target {
        name: "dhcp",
        about: "the DHCP server of a port: message by message, every byte of every reply",
        run: dhcp::run,
    },
    Target {
        name: "dhcpv6",
        about: "a DHCPv6 server with one address for the client of a port",
        run: dhcpv6::run,
    },
    #[cfg(feature = "peer-vhost")]
    Target {
        name: "diff_vhost",
        about: "our back-end and that of the vhost crate, on the same bytes and descriptors",
        run: diff_vhost::run,
    },
    #[cfg(feature = "peer-virtio-queue")]
    Target {
        name: "diff_virtio_queue",
        about: "our split ring and that of the virtio-queue crate, on the same memory",
        run: diff_virtio_queue::run,
    },
    Target {
        name: "mem_table",
        about: "memory regions, IOTLB, dirty log and ring addresses, message by message",
        run: mem_table::run,
    },
    Target {
        name: "msg_decode",
        about: "one vhost-user message, both channels and directions, every payload",
        run: msg_decode::run,
    },
    Target {
        name: "msg_stream",
        about: "the framer: how a stream is cut never changes what comes out",
        run: msg_stream::run,
    },
    Target {
        name: "ndp",
        about: "neighbour discovery, router advertisement and ICMPv6 echo of a gateway",
        run: ndp::run,
    },
    Target {
        name: "net_device",
        about: "a network device behind its queues: frames, commands, receive buffers",
        run: net_device::run,
    },
    Target {
        name: "net_header",
        about: "the virtio-net header: what a driver may send, and what it may be given",
        run: net_header::run,
    },
    Target {
        name: "packed_chain",
        about: "one list of a packed ring, from a plain image of descriptors",
        run: packed_chain::run,
    },
    Target {
        name: "packed_ring",
        about: "a packed ring against its model: lists, notifications, restarts",
        run: packed_ring::run,
    },
    Target {
        name: "ring_equivalence",
        about: "one history on a split and on a packed ring ends in the same deliveries",
        run: ring_equivalence::run,
    },
    Target {
        name: "session",
        about: "the session against its model: negotiation, memory, rings, every reply",
        run: session::run,
    },
    Target {
        name: "split_chain",
        about: "one chain of a split ring, from a plain image of descriptors",
        run: split_chain::run,
    },
    Target {
        name: "split_ring",
        about: "a split ring against its model: chains, notifications, restarts",
        run: split_ring::run,
    },
];
