//! What a session cannot do itself, because it is I/O, and what came of it.

use crate::vhost_user::payload::{CryptoSession, Inflight, LogBase, Region};

/// Something that the caller has to do before the session can go on. It answers with
/// [`Session::on_done`](super::Session::on_done). Handles in an effect belong to the caller.
#[derive(Debug)]
pub enum Effect<'a, F> {
    /// The front-end chose these virtio features. Without bit 30 every ring is enabled when the
    /// session has answered (VU-042), so rings that are started have to be looked at again.
    Features {
        /// All 64 bits, bits 26 and 30 among them.
        features: u64,
    },
    /// Map a memory region. [`MapRange`](crate::memory::map::MapRange) tells what to map of its
    /// file. Ends in [`Done::Mapped`].
    MapRegion {
        /// The region.
        region: Region,
        /// Its file.
        fd: F,
    },
    /// Stop touching guest memory, log and in-flight area until the session has answered: what
    /// is mapped now may be gone afterwards.
    Quiesce,
    /// Map the dirty log. Ends in [`Done::Mapped`].
    MapLog {
        /// Size and offset in bytes.
        log: LogBase,
        /// Its file.
        fd: F,
    },
    /// Begin to look at a ring, whether or not anybody kicks (VU-070, VU-071). It may not be
    /// bound yet, for want of memory or addresses; it is idle until it can be.
    StartRing {
        /// The ring.
        index: u32,
    },
    /// Something about a started ring has changed.
    UpdateRing {
        /// The ring.
        index: u32,
        /// What.
        change: RingChange,
    },
    /// Stop a ring. Ends in [`Done::Base`], the position that was reached.
    StopRing {
        /// The ring.
        index: u32,
        /// Complete all requests in flight first (VU-092), or suspend them at once and leave
        /// them in the in-flight area (VU-094, VU-095).
        drain: bool,
    },
    /// Look at a started ring: the kick came as a message.
    KickRing {
        /// The ring.
        index: u32,
    },
    /// The other end of the back-end channel. It replaces an earlier one.
    OpenChannel {
        /// A connected stream socket.
        fd: F,
    },
    /// Announce the guest after a migration.
    Rarp {
        /// Its MAC address.
        mac: [u8; 6],
    },
    /// The guest's MTU.
    Mtu {
        /// Bytes.
        mtu: u16,
    },
    /// Read the configuration space; the window is inside it. Ends in [`Done::Config`].
    ReadConfig {
        /// First byte.
        offset: u32,
        /// Bytes, at least one.
        size: u32,
    },
    /// Write the configuration space; the window is inside it and allowed.
    WriteConfig {
        /// First byte.
        offset: u32,
        /// 0 for a write of the driver, 1 for one of live migration.
        flags: u32,
        /// What to write.
        data: &'a [u8],
    },
    /// Create a crypto session. Ends in [`Done::Crypto`].
    CreateCrypto {
        /// Its parameters.
        session: CryptoSession<'a>,
    },
    /// Close a crypto session.
    CloseCrypto {
        /// Its id.
        id: u64,
    },
    /// Open a userfaultfd. Ends in [`Done::Fd`].
    OpenUserfault,
    /// Register all regions with the userfaultfd: from now on they may be touched.
    RegisterUserfault,
    /// Give up the userfaultfd.
    CloseUserfault,
    /// Make an in-flight area. Ends in [`Done::Inflight`].
    AllocateInflight {
        /// Queues, 1 up to those of the device.
        queues: u16,
        /// Entries of each.
        queue_size: u16,
    },
    /// Map an in-flight area; its size is enough. Ends in [`Done::Mapped`].
    MapInflight {
        /// Size, offset, queues and entries.
        area: Inflight,
        /// Its file.
        fd: F,
    },
    /// The socket of a GPU device.
    GpuSocket {
        /// A connected socket.
        fd: F,
    },
    /// Return to the initial state (VU-223) and leave all rings alone.
    Reset,
    /// The driver wrote the device status.
    Status {
        /// The byte; 0 for a reset.
        status: u8,
    },
    /// Look up a shared object. Ends in [`Done::MaybeFd`].
    SharedObject {
        /// Its UUID as on the wire.
        uuid: [u8; 16],
    },
    /// Begin to transfer the device state. Ends in [`Done::MaybeFd`]: a channel of the device's
    /// own, or none to use this one (VU-164).
    Transfer {
        /// 0 save, 1 load.
        direction: u32,
        /// The front-end's channel.
        fd: F,
    },
    /// The transfer is over: tell how it went. The side that writes has closed the channel.
    CheckTransfer,
}

/// What about a ring has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RingChange {
    /// Where kicks come from.
    Kick,
    /// Where calls go.
    Call,
    /// Where errors go.
    Err,
    /// Whether it is enabled.
    Enable,
    /// Its addresses or its log flag.
    Addr,
}

/// What came of an effect that succeeded. Handles in it belong to the session from now on.
#[derive(Debug)]
pub enum Done<'d, F, M> {
    /// Nothing but success.
    Nothing,
    /// A mapping.
    Mapped {
        /// Its handle: dropping it unmaps.
        mapping: M,
        /// Where the region starts in the back-end's address space; only postcopy tells it.
        address: u64,
    },
    /// Where a ring was stopped (P-BASE).
    Base(u32),
    /// Bytes of the configuration space, at most as many as asked for.
    Config(&'d [u8]),
    /// Id of a crypto session; negative for a failure (VU-248).
    Crypto(i64),
    /// A descriptor.
    Fd(F),
    /// A descriptor or none.
    MaybeFd(Option<F>),
    /// An in-flight area.
    Inflight {
        /// Its file.
        fd: F,
        /// Bytes.
        mmap_size: u64,
        /// Where it starts in the file.
        mmap_offset: u64,
    },
}

/// An effect failed, with this `errno`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EffectError(pub i32);
