//! The targets, and the registry that everything else loops over.

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
];
