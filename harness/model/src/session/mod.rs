//! A model of the back-end role: what one message does to a session (spec §1.6, §3, §6).
//!
//! [`Backend`] takes one whole front-end request after the other and says what has to happen:
//! nothing, a reply, an effect that somebody has to carry out first, or the end of the
//! connection. It knows descriptors and mappings only by their number.
//!
//! The parts: `gate` says which messages may come at all, `request` holds the plain ones, `rings`,
//! `memory`, `postcopy` and `transfer` the others, `done` what follows an effect, `reply` what an
//! answer looks like and how a refusal is told.

mod done;
mod gate;
mod memory;
mod postcopy;
mod reply;
mod request;
mod rings;
mod transfer;

#[cfg(test)]
mod tests;

pub use reply::Bytes;

use crate::vhost_user::{self, Context, message::judge, number};
use crate::{Id, Verdict};
use memory::{Again, Memory, NewTable};
use postcopy::Postcopy;
use rings::Form;

/// What the device offers; constant for a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Virtio device id. No rule of the session looks at it.
    pub device: u32,
    /// Answer to `GET_FEATURES`.
    pub features: u64,
    /// Answer to `GET_PROTOCOL_FEATURES`.
    pub protocol_features: u64,
    /// Number of rings; their indexes are below it.
    pub queues: u64,
    /// Answer to `GET_QUEUE_NUM`.
    pub queue_num: u64,
    /// Largest size of a ring, in entries.
    pub max_queue_size: u64,
    /// Answer to `GET_MAX_MEM_SLOTS`, and the most regions that fit.
    pub max_mem_slots: u64,
    /// Bytes of the configuration space.
    pub config_len: u64,
    /// What offset plus size of `GET_CONFIG` may reach, in bytes; 256 or more.
    pub config_limit: u64,
    /// Fields of the configuration space that the guest may write: first byte, and the byte after
    /// the last one.
    pub config_writable: Vec<(u64, u64)>,
    /// Bytes of a host page. No rule of the session looks at it.
    pub page_size: u64,
    /// Bytes of each shared memory region: 256 numbers, or none.
    pub shmem: Vec<u64>,
}

/// What somebody has to do before the session goes on; the answer goes to [`Backend::done`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Take these virtio features.
    Features(u64),
    /// Map a memory region with the descriptor that came for it.
    MapRegion {
        /// First guest physical address.
        guest: u64,
        /// Bytes.
        size: u64,
        /// First address in the front-end's own counting.
        user: u64,
        /// Offset of the region in the file.
        offset: u64,
    },
    /// Stop touching guest memory, log and in-flight area until the message is answered.
    Quiesce,
    /// Map the log of dirty pages.
    MapLog {
        /// Bytes.
        size: u64,
        /// Offset in the file.
        offset: u64,
    },
    /// Start the ring with this index.
    StartRing(u64),
    /// Something changed in the running ring with this index: `Kick`, `Call`, `Err`, `Enable` or
    /// `Addr`.
    UpdateRing(u64, &'static str),
    /// Stop a ring.
    StopRing {
        /// Its index.
        index: u64,
        /// Complete what is in flight first.
        drain: bool,
    },
    /// The ring with this index was kicked by a message.
    KickRing(u64),
    /// Take the descriptor as the back-end channel.
    OpenChannel,
    /// Announce this address.
    Rarp([u8; 6]),
    /// Take this MTU.
    Mtu(u64),
    /// Read from the configuration space.
    ReadConfig {
        /// First byte.
        offset: u64,
        /// Bytes.
        size: u64,
    },
    /// Write to the configuration space.
    WriteConfig {
        /// First byte.
        offset: u64,
        /// 0 for a write by the guest, 1 for live migration.
        flags: u64,
        /// The bytes.
        data: Vec<u8>,
    },
    /// Create a crypto session.
    CreateCrypto,
    /// Close the crypto session with this id.
    CloseCrypto(u64),
    /// Open a userfaultfd.
    OpenUserfault,
    /// Register all regions with the userfaultfd.
    RegisterUserfault,
    /// Close the userfaultfd.
    CloseUserfault,
    /// Make an in-flight area.
    AllocateInflight {
        /// Number of queues.
        queues: u64,
        /// Entries of each.
        queue_size: u64,
    },
    /// Map an in-flight area.
    MapInflight {
        /// Bytes.
        size: u64,
        /// Offset in the file.
        offset: u64,
        /// Number of queues.
        queues: u64,
        /// Entries of each.
        queue_size: u64,
    },
    /// Take the descriptor as the socket of the GPU process.
    GpuSocket,
    /// Reset the device.
    Reset,
    /// The driver wrote this status byte.
    Status(u64),
    /// Find the object with this UUID.
    SharedObject([u8; 16]),
    /// Begin to save (0) or load (1) the device state.
    Transfer(u64),
    /// How did the transfer end?
    CheckTransfer,
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well. Fields that the effect has no use for are ignored.
    Done {
        /// Address of a mapping, base of a stopped ring, id of a crypto session (two's
        /// complement), bytes of an in-flight area that was made (at offset 0 of its file).
        number: u64,
        /// Bytes of the configuration space.
        bytes: Vec<u8>,
        /// A descriptor came back (`SharedObject`, `Transfer`).
        fd: bool,
    },
    /// It failed.
    Failed,
}

/// What follows a message or the end of an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is sent.
    Silent,
    /// This is sent.
    Reply {
        /// Header and payload.
        bytes: Bytes,
        /// Number of descriptors with it.
        fds: usize,
        /// The requirement that the request broke, when the reply says that it failed.
        refusal: Option<Id>,
    },
    /// The answer has to wait for this.
    Need(Effect),
    /// The connection ends, for this requirement.
    Close(Id),
}

/// What a ring was given to notify with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notifier {
    /// Nothing yet.
    #[default]
    None,
    /// Bit 8 of P-VRING-FD: the ring is polled (kick) or muted (call, err).
    Flag,
    /// A descriptor.
    Fd,
}

/// One ring (spec §6.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ring {
    /// It was started.
    pub started: bool,
    /// It is enabled.
    pub enabled: bool,
    /// Entries; 0 before the first `SET_VRING_NUM`.
    pub size: u64,
    /// The fields of P-ADDR in their order: index, flags, descriptor, used, available, log.
    pub addr: Option<[u64; 6]>,
    /// The base as it was given last, by the front-end or by the ring that stopped.
    pub base: u64,
    /// Its fields are big endian.
    pub big_endian: bool,
    /// What starts its work.
    pub kick: Notifier,
    /// What tells that buffers were used.
    pub call: Notifier,
    /// What tells an error.
    pub err: Notifier,
}

/// The request that is being served.
#[derive(Clone, Copy, Debug)]
struct Request {
    code: u64,
    /// An acknowledgement is due if the request has no reply of its own.
    ack: bool,
}

/// What the session does when the effect it asked for has ended.
#[derive(Debug)]
enum Waiting {
    /// Acknowledge, whatever the effect was.
    Ack,
    Features(u64),
    Status(u64),
    Reset,
    Channel,
    MapTable(NewTable),
    QuiesceTable(NewTable),
    MapAdded([u64; 4]),
    QuiesceAgain(Again),
    QuiesceRemove(usize),
    QuiesceInvalidate,
    MapLog([u64; 2]),
    QuiesceLog([u64; 2]),
    Start(usize),
    Stop {
        index: usize,
        drain: bool,
    },
    ReadConfig {
        head: [u64; 3],
        asked: u64,
    },
    Crypto,
    OpenUserfault,
    RegisterUserfault,
    CloseUserfault,
    AllocateInflight([u64; 2]),
    MapInflight,
    SharedObject,
    Transfer,
    CheckTransfer,
}

/// Why a request is not carried out.
enum Fault {
    /// It is refused as its class has it.
    Refuse(Id),
    /// It ends the connection, whatever its class.
    Close(Id),
}

impl From<Id> for Fault {
    fn from(id: Id) -> Self {
        Self::Refuse(id)
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// The model of a back-end on one connection.
///
/// The views ([`rings`](Self::rings) and so on) say what holds between two messages. While an
/// effect is pending they show the state before what the effect leads to.
#[derive(Debug)]
pub struct Backend {
    offer: Offer,
    virtio: Option<u64>,
    protocol: u64,
    status: u64,
    rings: Vec<Ring>,
    memory: Memory,
    postcopy: Postcopy,
    has_log: bool,
    has_log_fd: bool,
    has_inflight: bool,
    has_channel: bool,
    has_transfer: bool,
    pending: Option<(Request, Waiting)>,
}

impl Backend {
    /// A back-end that nobody has spoken to yet.
    #[must_use]
    pub fn new(offer: Offer) -> Self {
        // VU-058: stopped and disabled.
        let rings = vec![Ring::default(); index_of(offer.queues)];
        Self {
            offer,
            virtio: None,
            protocol: 0,
            status: 0,
            rings,
            memory: Memory::default(),
            postcopy: Postcopy::Off,
            has_log: false,
            has_log_fd: false,
            has_inflight: false,
            has_channel: false,
            has_transfer: false,
            pending: None,
        }
    }

    /// One whole message came, header first, with this many descriptors.
    pub fn message(&mut self, bytes: &[u8], fds: usize) -> Step {
        if let Err(id) = header(bytes) {
            return Step::Close(id);
        }
        let code = number(bytes, 0, 4);
        let need_reply = number(bytes, 4, 4) == 9;
        // VU-263: QEMU waits for this answer also without REPLY_ACK.
        let ack = need_reply && (bit(self.protocol, 3) || code == 29);
        let request = Request { code, ack };
        let body = &bytes[12..];
        if self.pending.is_some() && !self.takes(code, body) {
            return Step::Close(Id::Dc(36));
        }
        let context = Context {
            xen_mmap: bit(self.protocol, 17),
            log_shmfd: bit(self.protocol, 1),
            postcopy_ack: self.postcopy == Postcopy::TableSent,
            ..Context::default()
        };
        let regions = match judge(context, bytes, fds) {
            Verdict::Accept(meaning) => meaning.regions,
            Verdict::Reject(id) => return self.refuse(request, id),
        };
        let step = self.gate(code).and_then(|()| self.act(request, body, regions));
        match step {
            Ok(step) => step,
            Err(Fault::Refuse(id)) => self.refuse(request, id),
            Err(Fault::Close(id)) => Step::Close(id),
        }
    }

    /// Spec §6.12: the device may need a translation before it can complete what is in flight.
    fn takes(&self, code: u64, body: &[u8]) -> bool {
        let drains = matches!(self.pending, Some((_, Waiting::Stop { drain: true, .. })));
        drains && code == 22 && body.len() == 32 && body[25] == 2
    }

    fn need(&mut self, request: Request, waiting: Waiting, effect: Effect) -> Step {
        self.pending = Some((request, waiting));
        Step::Need(effect)
    }

    /// The connection ended. Everything is as it was in the beginning (spec §6.7).
    pub fn disconnect(&mut self) {
        self.virtio = None;
        self.protocol = 0;
        self.status = 0;
        self.rings.fill(Ring::default());
        self.memory = Memory::default();
        self.postcopy = Postcopy::Off;
        self.has_log = false;
        self.has_log_fd = false;
        self.has_inflight = false;
        self.has_channel = false;
        self.has_transfer = false;
        self.pending = None;
    }

    /// The rings, by their index.
    #[must_use]
    #[inline]
    pub fn rings(&self) -> &[Ring] {
        &self.rings
    }

    /// Guest address, size, user address and mmap offset of each region, in the order in which
    /// they came.
    #[must_use]
    #[inline]
    pub fn regions(&self) -> &[[u64; 4]] {
        &self.memory.regions
    }

    /// What the last `SET_FEATURES` said.
    #[must_use]
    #[inline]
    pub fn virtio(&self) -> Option<u64> {
        self.virtio
    }

    /// What the last `SET_PROTOCOL_FEATURES` said; 0 before.
    #[must_use]
    #[inline]
    pub fn protocol(&self) -> u64 {
        self.protocol
    }

    /// The virtio status byte.
    #[must_use]
    #[inline]
    pub fn status(&self) -> u64 {
        self.status
    }

    /// Where postcopy stands: `Off`, `Advised`, `Listening`, `TableSent` or `Active`.
    #[must_use]
    #[inline]
    pub fn postcopy(&self) -> &'static str {
        self.postcopy.name()
    }

    /// A log of dirty pages is mapped.
    #[must_use]
    #[inline]
    pub fn has_log(&self) -> bool {
        self.has_log
    }

    /// An in-flight area is mapped.
    #[must_use]
    #[inline]
    pub fn has_inflight(&self) -> bool {
        self.has_inflight
    }

    /// A back-end channel was opened.
    #[must_use]
    #[inline]
    pub fn has_channel(&self) -> bool {
        self.has_channel
    }

    /// An effect is pending.
    #[must_use]
    #[inline]
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// How many descriptors the session owns: kick, call, err and log descriptors, those of
    /// regions that are mapped on demand, and those of a table that is still being mapped. What
    /// was handed out with an effect is not among them.
    #[must_use]
    pub fn held_fds(&self) -> usize {
        let mut count = usize::from(self.has_log_fd) + self.memory.fds();
        for ring in &self.rings {
            for notifier in [ring.kick, ring.call, ring.err] {
                count += usize::from(notifier == Notifier::Fd);
            }
        }
        count
            + match &self.pending {
                Some((_, Waiting::MapTable(table))) => table.fds_while_mapping(),
                Some((_, Waiting::QuiesceTable(table))) => table.memory.fds(),
                Some((_, Waiting::QuiesceAgain(again))) => usize::from(again.on_demand),
                _ => 0,
            }
    }

    /// How many mappings the session owns: regions, log, in-flight area, and those of a table or
    /// a log that are not in use yet.
    #[must_use]
    pub fn held_mappings(&self) -> usize {
        usize::from(self.has_log)
            + usize::from(self.has_inflight)
            + self.memory.mappings()
            + match &self.pending {
                Some((_, Waiting::MapTable(table))) => table.mappings_while_mapping(),
                Some((_, Waiting::QuiesceTable(table))) => table.memory.mappings(),
                Some((_, Waiting::QuiesceAgain(again))) => usize::from(!again.on_demand),
                Some((_, Waiting::QuiesceLog(_))) => 1,
                _ => 0,
            }
    }

    /// Where a range of user addresses is: the index of its region and the offset in it. `None`
    /// when no single region holds all of it (VU-144).
    #[must_use]
    pub fn translate_user(&self, address: u64, len: u64) -> Option<(usize, u64)> {
        self.memory.find(2, address, len)
    }

    /// The same for guest physical addresses (VU-145).
    #[must_use]
    pub fn translate_guest(&self, address: u64, len: u64) -> Option<(usize, u64)> {
        self.memory.find(0, address, len)
    }

    fn any_started(&self) -> bool {
        self.rings.iter().any(|ring| ring.started)
    }

    /// `RING_PACKED` of the last `SET_FEATURES`.
    fn form(&self) -> Form {
        match self.virtio {
            None => Form::Unknown,
            Some(features) if bit(features, 34) => Form::Packed,
            Some(_) => Form::Split,
        }
    }
}

/// Spec §1.7 step 3: no such fault leaves the stream in a state that anybody could rely on.
fn header(bytes: &[u8]) -> std::result::Result<(), Id> {
    if bytes.len() < 12 {
        return Err(Id::Vu(1));
    }
    vhost_user::flags(bytes, Context::default())?;
    if number(bytes, 8, 4) != bytes.len() as u64 - 12 {
        return Err(Id::Vu(1));
    }
    Ok(())
}

fn bit(bits: u64, which: u32) -> bool {
    bits >> which & 1 == 1
}

/// A number that is known to be small, as an index.
fn index_of(small: u64) -> usize {
    usize::try_from(small).expect("an index fits")
}
