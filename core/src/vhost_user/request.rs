//! Every request of the protocol, a row each (spec §3 and §4).
//!
//! To add a message: a row here, its rule in `spec/vhost-user.md`, a seed in `corpus/`; a file in
//! `payload/` and an arm in `decode.rs` only if the shape of the payload is new.

use core::fmt;

use super::features::{protocol, virtio};
use super::gate::Gate;
use super::{Channel, Direction, Kind};

/// How a payload is laid out: which sizes it may have and how it is read. Where the table of the
/// specification has a condition, the shape has a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// P-NONE.
    None,
    /// P-U64.
    U64,
    /// P-VRING-FD; one descriptor exactly when bit 8 is clear.
    VringFd,
    /// P-STATE or P-BASE.
    State,
    /// P-ADDR.
    Addr,
    /// P-MEMTABLE with one descriptor a region; nothing or 8 bytes when a postcopy
    /// acknowledgement is due (VU-133).
    MemTable,
    /// The reply to a memory table: a u64, or the table after `POSTCOPY_LISTEN` (VU-130).
    MemTableReply,
    /// P-MEMREG.
    MemReg,
    /// The reply to an added region: a u64, or the region after `POSTCOPY_LISTEN`.
    MemRegReply,
    /// P-LOG with a descriptor under `LOG_SHMFD`; else a u64 or P-LOG without one (DV-75).
    Log,
    /// The reply to a log: nothing, a u64 or P-LOG (DC-012, DV-14).
    LogReply,
    /// P-IOTLB.
    Iotlb,
    /// P-CONFIG with as much data as its size says (DC-007).
    ConfigGet,
    /// P-CONFIG with at least as much data as its size says (VU-269).
    ConfigSet,
    /// P-CONFIG, or nothing for an error (VU-191).
    ConfigReply,
    /// P-AREA; one descriptor exactly when bit 8 is clear (DC-010).
    Area,
    /// P-INFLIGHT.
    Inflight,
    /// P-INFLIGHT with a descriptor, or size 0 without one (VU-179).
    InflightReply,
    /// P-SHARED.
    Shared,
    /// P-SHARED or nothing (DV-20).
    SharedOrNone,
    /// P-XFER.
    Transfer,
    /// u64 with a descriptor exactly when it is 0 in bits 0-8 (VU-161, VU-162).
    TransferReply,
    /// u64 with a descriptor exactly when it is 0 (VU-232).
    LookupReply,
    /// P-MMAP.
    ShmemMap,
    /// P-SHMEMCFG.
    ShmemConfig,
    /// P-CRYPTO with keys that fit (DC-008).
    CryptoRequest,
    /// P-CRYPTO; only the session id means anything.
    CryptoReply,
}

/// How many descriptors a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fds {
    /// Fewest.
    pub min: usize,
    /// Most.
    pub max: usize,
}

impl Fds {
    /// No descriptor.
    pub const NONE: Self = Self::exactly(0);
    /// One descriptor.
    pub const ONE: Self = Self::exactly(1);
    /// One descriptor or none.
    pub const OPTIONAL: Self = Self { min: 0, max: 1 };
    /// As many as the payload says; its shape counts them.
    pub const BY_PAYLOAD: Self = Self { min: 0, max: super::MAX_FDS };

    const fn exactly(count: usize) -> Self {
        Self { min: count, max: count }
    }
}

/// When a request is answered (spec §1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyClass {
    /// Always, with a payload of its own (R-data).
    Data,
    /// With a payload of its own under a condition, else as [`Ack`](Self::Ack) (R-cond).
    Conditional,
    /// With a u64, only when `REPLY_ACK` was negotiated and the request asks for it (R-ack).
    Ack,
}

/// The form of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reply {
    /// When it is sent.
    pub class: ReplyClass,
    /// Its payload.
    pub shape: Shape,
    /// Its descriptors.
    pub fds: Fds,
}

impl Reply {
    /// The acknowledgement of a request that has no reply of its own.
    pub const ACK: Self = Self { class: ReplyClass::Ack, shape: Shape::U64, fds: Fds::NONE };

    const fn data(shape: Shape) -> Self {
        Self { class: ReplyClass::Data, shape, fds: Fds::NONE }
    }

    const fn data_with(shape: Shape, fds: Fds) -> Self {
        Self { class: ReplyClass::Data, shape, fds }
    }

    const fn conditional(shape: Shape) -> Self {
        Self { class: ReplyClass::Conditional, shape, fds: Fds::NONE }
    }
}

/// One request of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Message id.
    pub code: u32,
    /// Name without its `VHOST_USER_` or `VHOST_USER_BACKEND_` prefix.
    pub name: &'static str,
    /// Payload of the request.
    pub shape: Shape,
    /// Descriptors of the request.
    pub fds: Fds,
    /// The reply.
    pub reply: Reply,
    /// What has to be negotiated first.
    pub gate: Gate,
}

macro_rules! requests {
    ($(#[$doc:meta])* $type:ident in $table:ident:
     $($code:literal $name:ident, $shape:ident, $fds:ident, $reply:expr, $gate:expr;)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub u32);

        impl $type {
            $(
                #[doc = concat!("Request ", stringify!($code), ".")]
                pub const $name: Self = Self($code);
            )*

            /// The row of this request, if the specification has it.
            #[must_use]
            #[inline]
            pub fn row(self) -> Option<&'static Row> {
                // Ids count from 1 without a gap; a test checks it.
                $table.get(usize::try_from(self.0.checked_sub(1)?).ok()?)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.row() {
                    Some(row) => f.write_str(row.name),
                    None => write!(f, concat!(stringify!($type), "({:#x})"), self.0),
                }
            }
        }

        #[doc = concat!("The rows of [`", stringify!($type), "`], in the order of their ids.")]
        pub static $table: [Row; [$($code),*].len()] = [$(Row {
            code: $code,
            name: stringify!($name),
            shape: Shape::$shape,
            fds: Fds::$fds,
            reply: $reply,
            gate: $gate,
        }),*];
    };
}

requests! {
    /// Id of a request on the main channel. Any number is a value.
    FrontendRequest in FRONTEND:
    1  GET_FEATURES,              None,          NONE,       Reply::data(Shape::U64), Gate::OPEN;
    2  SET_FEATURES,              U64,           NONE,       Reply::ACK, Gate::OPEN;
    3  SET_OWNER,                 None,          NONE,       Reply::ACK, Gate::OPEN;
    4  RESET_OWNER,               None,          NONE,       Reply::ACK, Gate::OPEN;
    5  SET_MEM_TABLE,             MemTable,      BY_PAYLOAD, Reply::conditional(Shape::MemTableReply), Gate::OPEN;
    6  SET_LOG_BASE,              Log,           BY_PAYLOAD, Reply::conditional(Shape::LogReply), Gate::OPEN;
    7  SET_LOG_FD,                None,          ONE,        Reply::ACK, Gate::OPEN;
    8  SET_VRING_NUM,             State,         NONE,       Reply::ACK, Gate::OPEN;
    9  SET_VRING_ADDR,            Addr,          NONE,       Reply::ACK, Gate::OPEN;
    10 SET_VRING_BASE,            State,         NONE,       Reply::ACK, Gate::OPEN;
    11 GET_VRING_BASE,            State,         NONE,       Reply::data(Shape::State), Gate::OPEN;
    12 SET_VRING_KICK,            VringFd,       OPTIONAL,   Reply::ACK, Gate::OPEN;
    13 SET_VRING_CALL,            VringFd,       OPTIONAL,   Reply::ACK, Gate::OPEN;
    14 SET_VRING_ERR,             VringFd,       OPTIONAL,   Reply::ACK, Gate::OPEN;
    15 GET_PROTOCOL_FEATURES,     None,          NONE,       Reply::data(Shape::U64), Gate::offered_virtio(virtio::PROTOCOL_FEATURES, 44);
    16 SET_PROTOCOL_FEATURES,     U64,           NONE,       Reply::ACK, Gate::offered_virtio(virtio::PROTOCOL_FEATURES, 47);
    17 GET_QUEUE_NUM,             None,          NONE,       Reply::data(Shape::U64), Gate::offered(protocol::MQ, 115).for_senders();
    18 SET_VRING_ENABLE,          State,         NONE,       Reply::ACK, Gate::virtio(virtio::PROTOCOL_FEATURES, 108).for_senders();
    19 SEND_RARP,                 U64,           NONE,       Reply::ACK, Gate::offered(protocol::RARP, 197);
    20 NET_SET_MTU,               U64,           NONE,       Reply::ACK, Gate::offered(protocol::MTU, 199);
    21 SET_BACKEND_REQ_FD,        None,          ONE,        Reply::ACK, Gate::offered(protocol::BACKEND_REQ, 201);
    22 IOTLB_MSG,                 Iotlb,         NONE,       Reply::data(Shape::U64), Gate::virtio(virtio::IOMMU_PLATFORM, 207);
    23 SET_VRING_ENDIAN,          State,         NONE,       Reply::ACK, Gate::protocol(protocol::CROSS_ENDIAN, 111);
    24 GET_CONFIG,                ConfigGet,     NONE,       Reply::data(Shape::ConfigReply), Gate::protocol(protocol::CONFIG, 189);
    25 SET_CONFIG,                ConfigSet,     NONE,       Reply::ACK, Gate::protocol(protocol::CONFIG, 189);
    26 CREATE_CRYPTO_SESSION,     CryptoRequest, NONE,       Reply::data(Shape::CryptoReply), Gate::protocol(protocol::CRYPTO_SESSION, 247);
    27 CLOSE_CRYPTO_SESSION,      U64,           NONE,       Reply::ACK, Gate::protocol(protocol::CRYPTO_SESSION, 247);
    28 POSTCOPY_ADVISE,           None,          NONE,       Reply::data_with(Shape::None, Fds::ONE), Gate::POSTCOPY;
    29 POSTCOPY_LISTEN,           None,          NONE,       Reply::ACK, Gate::POSTCOPY;
    30 POSTCOPY_END,              None,          NONE,       Reply::data(Shape::U64), Gate::POSTCOPY;
    31 GET_INFLIGHT_FD,           Inflight,      NONE,       Reply::data_with(Shape::InflightReply, Fds::OPTIONAL), Gate::protocol(protocol::INFLIGHT_SHMFD, 178);
    32 SET_INFLIGHT_FD,           Inflight,      ONE,        Reply::ACK, Gate::protocol(protocol::INFLIGHT_SHMFD, 178);
    33 GPU_SET_SOCKET,            None,          ONE,        Reply::ACK, Gate::OPEN;
    34 RESET_DEVICE,              None,          NONE,       Reply::ACK, Gate::offered(protocol::RESET_DEVICE, 221);
    35 VRING_KICK,                State,         NONE,       Reply::ACK, Gate::protocol(protocol::INBAND_NOTIFICATIONS, 26);
    36 GET_MAX_MEM_SLOTS,         None,          NONE,       Reply::data(Shape::U64), Gate::protocol(protocol::CONFIGURE_MEM_SLOTS, 135);
    37 ADD_MEM_REG,               MemReg,        ONE,        Reply::conditional(Shape::MemRegReply), Gate::protocol(protocol::CONFIGURE_MEM_SLOTS, 135);
    38 REM_MEM_REG,               MemReg,        OPTIONAL,   Reply::ACK, Gate::protocol(protocol::CONFIGURE_MEM_SLOTS, 135);
    39 SET_STATUS,                U64,           NONE,       Reply::ACK, Gate::protocol(protocol::STATUS, 225);
    40 GET_STATUS,                None,          NONE,       Reply::data(Shape::U64), Gate::protocol(protocol::STATUS, 225);
    41 GET_SHARED_OBJECT,         SharedOrNone,  NONE,       Reply::data_with(Shape::SharedOrNone, Fds::OPTIONAL), Gate::protocol(protocol::SHARED_OBJECT, 228);
    42 SET_DEVICE_STATE_FD,       Transfer,      ONE,        Reply::data_with(Shape::TransferReply, Fds::OPTIONAL), Gate::protocol(protocol::DEVICE_STATE, 158);
    43 CHECK_DEVICE_STATE,        None,          NONE,       Reply::data(Shape::U64), Gate::protocol(protocol::DEVICE_STATE, 158);
    44 GET_SHMEM_CONFIG,          None,          NONE,       Reply::data(Shape::ShmemConfig), Gate::protocol(protocol::SHMEM, 237);
    45 GET_VRING_BASE_SKIP_DRAIN, State,         NONE,       Reply::data(Shape::State), Gate::protocol(protocol::GET_VRING_BASE_SKIP_DRAIN, 93);
}

requests! {
    /// Id of a request on the back-end channel. Any number is a value.
    BackendRequest in BACKEND:
    1  IOTLB_MSG,                 Iotlb,         NONE,       Reply::ACK, Gate::virtio(virtio::IOMMU_PLATFORM, 26);
    2  CONFIG_CHANGE_MSG,         None,          NONE,       Reply::ACK, Gate::protocol(protocol::CONFIG, 196);
    3  VRING_HOST_NOTIFIER_MSG,   Area,          OPTIONAL,   Reply::ACK, Gate::protocol(protocol::HOST_NOTIFIER, 234);
    4  VRING_CALL,                State,         NONE,       Reply::ACK, Gate::protocol(protocol::INBAND_NOTIFICATIONS, 26);
    5  VRING_ERR,                 State,         NONE,       Reply::ACK, Gate::protocol(protocol::INBAND_NOTIFICATIONS, 26);
    6  SHARED_OBJECT_ADD,         Shared,        NONE,       Reply::ACK, Gate::protocol(protocol::SHARED_OBJECT, 233);
    7  SHARED_OBJECT_REMOVE,      Shared,        NONE,       Reply::ACK, Gate::protocol(protocol::SHARED_OBJECT, 233);
    8  SHARED_OBJECT_LOOKUP,      Shared,        NONE,       Reply::data_with(Shape::LookupReply, Fds::OPTIONAL), Gate::protocol(protocol::SHARED_OBJECT, 233);
    9  SHMEM_MAP,                 ShmemMap,      ONE,        Reply::ACK, Gate::protocol(protocol::SHMEM, 26);
    10 SHMEM_UNMAP,               ShmemMap,      NONE,       Reply::ACK, Gate::protocol(protocol::SHMEM, 26);
}

/// The row of message `code` on `channel`, if the specification has it.
#[must_use]
#[inline]
pub fn row(channel: Channel, code: u32) -> Option<&'static Row> {
    match channel {
        Channel::Main => FrontendRequest(code).row(),
        Channel::Backend => BackendRequest(code).row(),
    }
}

/// What decoding needs of a row, in one word, so that looking it up costs one load.
#[derive(Clone, Copy, Debug)]
#[repr(align(4))]
pub(super) struct Form {
    pub(super) shape: Shape,
    min_fds: u8,
    /// How many descriptors more than `min_fds` are allowed.
    more_fds: u8,
}

impl Form {
    /// How many descriptors a message of this form may have.
    pub(super) fn fds(self) -> Fds {
        let min = usize::from(self.min_fds);
        Fds { min, max: min + usize::from(self.more_fds) }
    }

    /// Whether a message of this form may have so many descriptors.
    #[inline(always)]
    pub(super) fn admits(self, fds: usize) -> bool {
        // Fewer than the least wraps to a number above every span.
        fds.wrapping_sub(self.min_fds.into()) <= self.more_fds.into()
    }
}

/// Forms by message id, for each kind in the order of [`Kind::ALL`]; ids without a row have none.
static FORMS: [[Option<Form>; FORM_COUNT]; 4] = [
    table(&FRONTEND, Direction::Request),
    table(&FRONTEND, Direction::Reply),
    table(&BACKEND, Direction::Request),
    table(&BACKEND, Direction::Reply),
];

/// A power of two above every id, so that an index needs no multiplication.
const FORM_COUNT: usize = 64;

#[expect(clippy::cast_possible_truncation, reason = "no message has more than 8 descriptors")]
const fn table<const N: usize>(
    rows: &[Row; N],
    direction: Direction,
) -> [Option<Form>; FORM_COUNT] {
    let mut forms = [None; FORM_COUNT];
    let mut at = 0;
    while at < N {
        let (shape, fds) = rows[at].form(direction);
        let (min_fds, more_fds) = (fds.min as u8, (fds.max - fds.min) as u8);
        forms[rows[at].code as usize] = Some(Form { shape, min_fds, more_fds });
        at += 1;
    }
    forms
}

/// The form of message `code` of a kind, if the specification has it.
#[inline(always)]
pub(super) fn form(kind: Kind, code: u32) -> Option<Form> {
    let at = 2 * usize::from(kind.channel == Channel::Backend)
        + usize::from(kind.direction == Direction::Reply);
    FORMS.get(at)?.get(usize::try_from(code).ok()?).copied().flatten()
}

impl Row {
    /// Shape and descriptors of this request, or of the reply to it.
    #[must_use]
    #[inline]
    pub const fn form(&self, direction: Direction) -> (Shape, Fds) {
        match direction {
            Direction::Request => (self.shape, self.fds),
            Direction::Reply => (self.reply.shape, self.reply.fds),
        }
    }

    /// All rows of a channel.
    #[must_use]
    #[inline]
    pub fn all(channel: Channel) -> &'static [Self] {
        match channel {
            Channel::Main => &FRONTEND,
            Channel::Backend => &BACKEND,
        }
    }
}

/// Every pair of kind and row: 55 requests and 55 replies.
pub fn forms() -> impl Iterator<Item = (Kind, &'static Row)> {
    Kind::ALL.into_iter().flat_map(|kind| Row::all(kind.channel).iter().map(move |row| (kind, row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_from_one_without_a_gap() {
        for channel in [Channel::Main, Channel::Backend] {
            for (code, row) in (1..).zip(Row::all(channel)) {
                assert_eq!(row.code, code, "{}", row.name);
                assert_eq!(super::row(channel, code), Some(row));
            }
        }
        assert_eq!((FRONTEND.len(), BACKEND.len()), (45, 10));
        assert_eq!(forms().count(), 110);
    }

    #[test]
    fn unknown_ids_are_values() {
        for code in [0, 46, 1006, u32::MAX] {
            assert_eq!(FrontendRequest(code).row(), None);
        }
        assert_eq!(BackendRequest(11).row(), None);
        assert_eq!(format!("{:?}", FrontendRequest(46)), "FrontendRequest(0x2e)");
        assert_eq!(format!("{:?}", FrontendRequest::SET_VRING_ADDR), "SET_VRING_ADDR");
    }
}
