//! The targets, and the registry that everything else loops over.

#[cfg(feature = "peer-vhost")]
pub mod diff_vhost;
pub mod mem_table;
pub mod msg_decode;
pub mod msg_stream;
pub mod session;

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
    #[cfg(feature = "peer-vhost")]
    Target {
        name: "diff_vhost",
        about: "our back-end and that of the vhost crate, on the same bytes and descriptors",
        run: diff_vhost::run,
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
        name: "session",
        about: "the session against its model: negotiation, memory, rings, every reply",
        run: session::run,
    },
];
