//! What a front-end remembers about the main channel.

use core::fmt;

use super::regions::ActiveRegions;
use super::setup::Setup;
use crate::memory::DirtyLog;
use crate::vhost_user::features::{protocol, virtio};
use crate::vhost_user::gate::Negotiated;
use crate::vhost_user::payload::{Region, VringState};
use crate::vhost_user::request::ReplyClass;
use crate::vhost_user::{FrontendRequest as R, Layout, Message, Payload};

/// Where a postcopy migration is, for the front-end of its destination (spec §6.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Postcopy {
    /// None.
    #[default]
    Off,
    /// `POSTCOPY_ADVISE` was sent.
    Advised,
    /// `POSTCOPY_LISTEN` was sent: the next memory table is answered with a table.
    Listening,
    /// That table was sent, and its reply has not come.
    TableSent,
    /// The reply came: the next memory table has to be its acknowledgement (VU-133).
    AckDue,
    /// It was acknowledged.
    Active,
}

impl Postcopy {
    /// Whether memory tables are answered with tables (VU-130).
    #[must_use]
    pub const fn answers_tables(self) -> bool {
        matches!(self, Self::Listening | Self::TableSent | Self::AckDue | Self::Active)
    }
}

impl fmt::Display for Postcopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Advised => "advised",
            Self::Listening => "listening",
            Self::TableSent => "waiting for the back-end's table",
            Self::AckDue => "before the acknowledgement of a table",
            Self::Active => "active",
        })
    }
}

/// What the reply to a request has to be, and what a refusal undoes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) is_data: bool,
    /// Ring index of a `GET_VRING_BASE`, or size of a `GET_CONFIG` window in bytes.
    pub(super) argument: u32,
    pub(super) undo: Undo,
}

/// What was before a request that the back-end may refuse (DC-065).
#[derive(Clone, Copy, Debug)]
pub(super) enum Undo {
    Nothing,
    Features(Option<u64>),
    Protocol(u64),
    Table(u64),
    Added(Region),
    Removed(Region),
    Log(Option<DirtyLog>),
    RingSize { index: u32, num: u32 },
    Postcopy(Postcopy),
    Channel,
}

/// An in-flight area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflightArea {
    /// There is none, or it is that of an earlier connection.
    NotFetched,
    /// The back-end gave it.
    Fetched,
    /// It did so before the device was reset.
    Outdated,
}

/// The main channel.
#[derive(Debug)]
pub(super) struct Main {
    pub(super) negotiated: Negotiated,
    /// `GET_FEATURES` was answered.
    pub(super) knows_features: bool,
    /// `SET_OWNER` was sent.
    pub(super) has_owner: bool,
    /// The reply to `GET_QUEUE_NUM`.
    pub(super) queue_num: Option<u64>,
    /// The reply to `GET_MAX_MEM_SLOTS`.
    pub(super) slots: Option<u64>,
    pub(super) regions: ActiveRegions,
    pub(super) log: Option<DirtyLog>,
    /// The in-flight area, as far as it came from this connection.
    pub(super) inflight: InflightArea,
    /// Sizes that were sent, by ring; 0 before.
    ring_sizes: Box<[u32]>,
    pub(super) postcopy: Postcopy,
}

impl Main {
    pub(super) fn new(setup: &Setup) -> Self {
        Self {
            negotiated: Negotiated::default(),
            knows_features: false,
            has_owner: false,
            queue_num: None,
            slots: None,
            regions: ActiveRegions::new(setup.max_regions.into()),
            log: None,
            inflight: InflightArea::NotFetched,
            ring_sizes: vec![0; setup.queues.into()].into_boxed_slice(),
            postcopy: Postcopy::Off,
        }
    }

    pub(super) fn reset(&mut self) {
        self.negotiated = Negotiated::default();
        self.knows_features = false;
        self.has_owner = false;
        self.queue_num = None;
        self.slots = None;
        self.regions.reset();
        self.log = None;
        self.inflight = InflightArea::NotFetched;
        self.ring_sizes.fill(0);
        self.postcopy = Postcopy::Off;
    }

    /// The device was reset: what is in flight belongs to the time before it (VU-180).
    pub(super) fn on_device_reset(&mut self) {
        if self.inflight == InflightArea::Fetched {
            self.inflight = InflightArea::Outdated;
        }
    }

    pub(super) const fn layout(&self) -> Layout {
        Layout {
            xen_mmap: self.negotiated.has(protocol::XEN_MMAP),
            log_shmfd: self.negotiated.has(protocol::LOG_SHMFD),
            postcopy_ack: matches!(self.postcopy, Postcopy::AckDue),
        }
    }

    pub(super) const fn is_packed(&self) -> bool {
        self.negotiated.has_virtio(virtio::RING_PACKED)
    }

    pub(super) fn ring_size(&self, index: u32) -> u32 {
        usize::try_from(index).ok().and_then(|at| self.ring_sizes.get(at)).copied().unwrap_or(0)
    }

    fn set_ring_size(&mut self, VringState { index, num }: VringState) {
        if let Ok(at) = usize::try_from(index)
            && let Some(size) = self.ring_sizes.get_mut(at)
        {
            *size = num;
        }
    }

    /// Whether a request has a reply (spec §1.6).
    pub(super) fn awaits(&self, message: &Message<'_>) -> bool {
        self.is_data(message) || self.is_acknowledged(message)
    }

    /// Whether a request is answered with a reply of its own.
    fn is_data(&self, message: &Message<'_>) -> bool {
        match message.row().map(|row| row.reply.class) {
            Some(ReplyClass::Data) => true,
            Some(ReplyClass::Conditional) => match R(message.code) {
                R::SET_LOG_BASE => self.negotiated.has(protocol::LOG_SHMFD), // VU-029
                R::SET_MEM_TABLE => {
                    // VU-130; the acknowledgement of the reply has none itself.
                    self.postcopy.answers_tables()
                        && matches!(message.payload, Payload::MemTable(_))
                }
                _ => self.postcopy.answers_tables(),
            },
            Some(ReplyClass::Ack) | None => false,
        }
    }

    /// Whether a request is answered with a u64 because it asks for that (VU-032); after
    /// `POSTCOPY_LISTEN` no memory table is.
    fn is_acknowledged(&self, message: &Message<'_>) -> bool {
        let is_table = R(message.code) == R::SET_MEM_TABLE && self.postcopy.answers_tables();
        // VU-263: a listening back-end answers this one without REPLY_ACK too.
        let is_listen = R(message.code) == R::POSTCOPY_LISTEN;
        message.flags.needs_reply() && (self.negotiated.has_reply_ack() || is_listen) && !is_table
    }

    /// A request was sent: changes what later ones are judged by, and tells what its reply has
    /// to be, if it has one.
    pub(super) fn sent(&mut self, message: &Message<'_>) -> Option<Note> {
        let is_data = self.is_data(message);
        let has_reply = is_data || self.is_acknowledged(message);
        let argument = match message.payload {
            Payload::State(state) => state.index,
            Payload::Config(config) => config.size,
            _ => 0,
        };
        let undo = self.apply(message);
        has_reply.then_some(Note { is_data, argument, undo })
    }

    fn apply(&mut self, message: &Message<'_>) -> Undo {
        match (R(message.code), message.payload) {
            (R::SET_FEATURES, Payload::U64(bits)) => {
                Undo::Features(self.negotiated.virtio.replace(bits))
            }
            (R::SET_PROTOCOL_FEATURES, Payload::U64(bits)) => {
                Undo::Protocol(core::mem::replace(&mut self.negotiated.protocol, bits))
            }
            (R::SET_OWNER, _) => {
                self.has_owner = true;
                Undo::Nothing
            }
            (R::SET_MEM_TABLE, Payload::MemTable(table)) => {
                if self.postcopy.answers_tables() {
                    self.postcopy = Postcopy::TableSent;
                }
                Undo::Table(self.regions.replace(&table))
            }
            // The acknowledgement of a postcopy table.
            (R::SET_MEM_TABLE, _) => self.go_to(Postcopy::Active),
            (R::ADD_MEM_REG, Payload::MemReg(added)) => {
                self.regions.add(added.region);
                Undo::Added(added.region)
            }
            (R::REM_MEM_REG, Payload::MemReg(removed)) => {
                self.regions.remove(&removed.region);
                Undo::Removed(removed.region)
            }
            (R::SET_LOG_BASE, Payload::Log(base)) if self.negotiated.has(protocol::LOG_SHMFD) => {
                Undo::Log(core::mem::replace(&mut self.log, DirtyLog::check(&base).ok()))
            }
            (R::SET_VRING_NUM, Payload::State(state)) => {
                let num = self.ring_size(state.index);
                self.set_ring_size(state);
                Undo::RingSize { index: state.index, num }
            }
            (R::SET_BACKEND_REQ_FD, _) => Undo::Channel,
            (R::POSTCOPY_ADVISE, _) => self.go_to(Postcopy::Advised),
            (R::POSTCOPY_LISTEN, _) => self.go_to(Postcopy::Listening),
            (R::POSTCOPY_END, _) => self.go_to(Postcopy::Off),
            (R::RESET_DEVICE, _) => {
                // The driver negotiates and sets its rings up again.
                self.ring_sizes.fill(0);
                Undo::Features(self.negotiated.virtio.take())
            }
            _ => Undo::Nothing,
        }
    }

    fn go_to(&mut self, state: Postcopy) -> Undo {
        Undo::Postcopy(core::mem::replace(&mut self.postcopy, state))
    }

    /// The back-end refused a request: things are as they were before it (DC-065).
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Features(before) => self.negotiated.virtio = before,
            Undo::Protocol(before) => self.negotiated.protocol = before,
            Undo::Table(number) => self.regions.restore(number),
            Undo::Added(region) => self.regions.remove(&region),
            Undo::Removed(region) => self.regions.add(region),
            Undo::Log(before) => self.log = before,
            Undo::RingSize { index, num } => self.set_ring_size(VringState { index, num }),
            Undo::Postcopy(before) => self.postcopy = before,
            Undo::Nothing | Undo::Channel => {}
        }
    }
}
