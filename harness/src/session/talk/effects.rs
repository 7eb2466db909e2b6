//! What a session wanted, and how it ended.

use vhost_fuzz_core::session::{Effect, RingChange};
use vhost_fuzz_core::vhost_user::payload::{Inflight, LogBase, Region};

use crate::ledger::Token;

/// An effect that a session wanted, without its handles.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are those of Effect")]
pub enum Seen {
    Features(u64),
    MapRegion(Region),
    Quiesce,
    MapLog(LogBase),
    StartRing(u32),
    UpdateRing(u32, RingChange),
    StopRing { index: u32, drain: bool },
    KickRing(u32),
    OpenChannel,
    Rarp([u8; 6]),
    Mtu(u16),
    ReadConfig { offset: u32, size: u32 },
    WriteConfig { offset: u32, flags: u32, data: Vec<u8> },
    CreateCrypto,
    CloseCrypto(u64),
    OpenUserfault,
    RegisterUserfault,
    CloseUserfault,
    AllocateInflight { queues: u16, queue_size: u16 },
    MapInflight(Inflight),
    GpuSocket,
    Reset,
    Status(u8),
    SharedObject([u8; 16]),
    Transfer(u32),
    CheckTransfer,
}

impl From<Effect<'_, Token>> for Seen {
    /// Drops the descriptor of the effect, as a caller does when it is done.
    fn from(effect: Effect<'_, Token>) -> Self {
        match effect {
            Effect::Features { features } => Self::Features(features),
            Effect::MapRegion { region, .. } => Self::MapRegion(region),
            Effect::Quiesce => Self::Quiesce,
            Effect::MapLog { log, .. } => Self::MapLog(log),
            Effect::StartRing { index } => Self::StartRing(index),
            Effect::UpdateRing { index, change } => Self::UpdateRing(index, change),
            Effect::StopRing { index, drain } => Self::StopRing { index, drain },
            Effect::KickRing { index } => Self::KickRing(index),
            Effect::OpenChannel { .. } => Self::OpenChannel,
            Effect::Rarp { mac } => Self::Rarp(mac),
            Effect::Mtu { mtu } => Self::Mtu(mtu),
            Effect::ReadConfig { offset, size } => Self::ReadConfig { offset, size },
            Effect::WriteConfig { offset, flags, data } => {
                Self::WriteConfig { offset, flags, data: data.to_vec() }
            }
            Effect::CreateCrypto { .. } => Self::CreateCrypto,
            Effect::CloseCrypto { id } => Self::CloseCrypto(id),
            Effect::OpenUserfault => Self::OpenUserfault,
            Effect::RegisterUserfault => Self::RegisterUserfault,
            Effect::CloseUserfault => Self::CloseUserfault,
            Effect::AllocateInflight { queues, queue_size } => {
                Self::AllocateInflight { queues, queue_size }
            }
            Effect::MapInflight { area, .. } => Self::MapInflight(area),
            Effect::GpuSocket { .. } => Self::GpuSocket,
            Effect::Reset => Self::Reset,
            Effect::Status { status } => Self::Status(status),
            Effect::SharedObject { uuid } => Self::SharedObject(uuid),
            Effect::Transfer { direction, .. } => Self::Transfer(direction),
            Effect::CheckTransfer => Self::CheckTransfer,
        }
    }
}

/// How an effect ends. An ending that is none of the effect's is a mistake, which can be made
/// on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Well, with what a caller would give.
    Well,
    /// With this `errno`.
    Fails(i32),
    /// With nothing.
    Nothing,
    /// With a mapping at this address.
    Mapped(u64),
    /// With this base.
    Base(u32),
    /// With these bytes.
    Config(Vec<u8>),
    /// With this crypto session.
    Crypto(i64),
    /// With a descriptor, or without.
    MaybeFd(bool),
    /// With an area of this size and offset.
    Area(u64, u64),
}
