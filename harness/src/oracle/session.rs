//! Judges a session by the model: each step, what it believes, and what it holds.

use vhost_fuzz_core::channel::Notifier;
use vhost_fuzz_core::session::{Effect, Endian, Position, Reply, Ring, RingChange, Step, postcopy};
use vhost_fuzz_core::vhost_user::Layout;
use vhost_fuzz_core::vhost_user::payload::Inflight;
use vhost_fuzz_model::session as model;
use vhost_fuzz_model::vhost_user::{Context, message, number};
use vhost_fuzz_model::{Id, Verdict};

use super::id;
use crate::ledger::Token;
use crate::session::back_end::Core;

/// Compares what the code wants next with what the model does. Returns the requirement that the
/// message broke, if both say so.
///
/// # Panics
/// When they differ.
#[inline]
#[must_use]
pub fn step(got: &Step<'_, Token>, expected: &model::Step) -> Option<Id> {
    // One after the other: matching both at once costs an instrumented target three times as much.
    match expected {
        model::Step::Silent => {
            if let Step::Silent = got {
                return None;
            }
        }
        model::Step::Reply { bytes, fds, refusal } => {
            if let Step::Reply(reply) = got {
                let rule = reply.refusal.map(|refusal| id(refusal.rule()));
                let has_fds = usize::from(reply.fd.is_some()) == *fds;
                if has_fds && rule == *refusal && reply.bytes == &bytes[..] {
                    return rule;
                }
            }
        }
        model::Step::Need(wanted) => {
            if let Step::Need(effect) = got
                && is_same(effect, wanted)
            {
                return None;
            }
        }
        model::Step::Close(wanted) => {
            if let Step::Close(refusal) = got
                && id(refusal.rule()) == *wanted
            {
                return Some(*wanted);
            }
        }
    }
    differ(got, expected)
}

#[cold]
fn differ(got: &Step<'_, Token>, expected: &model::Step) -> ! {
    panic!("model: the code wants {got:?}, the model {expected:?}")
}

/// Whether an effect of the code is that of the model, with all its numbers.
fn is_same(got: &Effect<'_, Token>, expected: &model::Effect) -> bool {
    use model::Effect as E;
    match (got, expected) {
        (Effect::Features { features }, E::Features(wanted)) => features == wanted,
        (Effect::MapRegion { region, .. }, E::MapRegion { guest, size, user, offset }) => {
            [region.guest_address, region.size, region.user_address, region.mmap_offset]
                == [*guest, *size, *user, *offset]
        }
        (Effect::MapLog { log, .. }, E::MapLog { size, offset }) => {
            (log.size, log.offset) == (*size, *offset)
        }
        (Effect::StartRing { index }, E::StartRing(wanted))
        | (Effect::KickRing { index }, E::KickRing(wanted)) => u64::from(*index) == *wanted,
        (Effect::UpdateRing { index, change }, E::UpdateRing(wanted, name)) => {
            u64::from(*index) == *wanted && change_name(*change) == *name
        }
        (Effect::StopRing { index, drain }, E::StopRing { index: wanted, drain: drains }) => {
            (u64::from(*index), *drain) == (*wanted, *drains)
        }
        (Effect::Rarp { mac }, E::Rarp(wanted)) => mac == wanted,
        (Effect::Mtu { mtu }, E::Mtu(wanted)) => u64::from(*mtu) == *wanted,
        (Effect::ReadConfig { offset, size }, E::ReadConfig { offset: from, size: len }) => {
            (u64::from(*offset), u64::from(*size)) == (*from, *len)
        }
        (
            Effect::WriteConfig { offset, flags, data },
            E::WriteConfig { offset: from, flags: wanted, data: bytes },
        ) => (u64::from(*offset), u64::from(*flags)) == (*from, *wanted) && *data == &bytes[..],
        (Effect::CloseCrypto { id }, E::CloseCrypto(wanted)) => id == wanted,
        (
            Effect::AllocateInflight { queues, queue_size },
            E::AllocateInflight { queues: count, queue_size: entries },
        ) => (u64::from(*queues), u64::from(*queue_size)) == (*count, *entries),
        (Effect::MapInflight { area, .. }, E::MapInflight { size, offset, queues, queue_size }) => {
            let Inflight { mmap_size, mmap_offset, num_queues, queue_size: entries, .. } = *area;
            [mmap_size, mmap_offset, num_queues.into(), entries.into()]
                == [*size, *offset, *queues, *queue_size]
        }
        (Effect::Status { status }, E::Status(wanted)) => u64::from(*status) == *wanted,
        (Effect::SharedObject { uuid }, E::SharedObject(wanted)) => uuid == wanted,
        (Effect::Transfer { direction, .. }, E::Transfer(wanted)) => {
            u64::from(*direction) == *wanted
        }
        (Effect::Quiesce, E::Quiesce)
        | (Effect::OpenChannel { .. }, E::OpenChannel)
        | (Effect::CreateCrypto { .. }, E::CreateCrypto)
        | (Effect::OpenUserfault, E::OpenUserfault)
        | (Effect::RegisterUserfault, E::RegisterUserfault)
        | (Effect::CloseUserfault, E::CloseUserfault)
        | (Effect::GpuSocket { .. }, E::GpuSocket)
        | (Effect::Reset, E::Reset)
        | (Effect::CheckTransfer, E::CheckTransfer) => true,
        _ => false,
    }
}

const fn change_name(change: RingChange) -> &'static str {
    match change {
        RingChange::Kick => "Kick",
        RingChange::Call => "Call",
        RingChange::Err => "Err",
        RingChange::Enable => "Enable",
        RingChange::Addr => "Addr",
    }
}

/// Reads a reply as a front-end does, which knows nothing of the code that built it. `layout` is
/// what was negotiated when the request came.
///
/// # Panics
/// When it is no legal reply to the request.
pub fn wire_check(layout: Layout, request: &[u8], reply: &Reply<'_, Token>) {
    let context = Context {
        reply: true,
        xen_mmap: layout.xen_mmap,
        log_shmfd: layout.log_shmfd,
        ..Context::default()
    };
    let fds = usize::from(reply.fd.is_some());
    if let Verdict::Reject(rule) = message::judge(context, reply.bytes, fds) {
        let len = reply.bytes.len();
        panic!("wire check: a reply of {len} bytes and {fds} descriptors breaks {rule}");
    }
    let (asked, answered) = (number(request, 0, 4), number(reply.bytes, 0, 4));
    assert!(asked == answered, "wire check: a reply to {answered}, but {asked} was asked (VU-009)");
}

/// Compares what the code believes with what the model does.
///
/// # Panics
/// When they differ.
pub fn state(session: &Core, model: &model::Backend) {
    let negotiated = session.negotiated();
    same("virtio features", &negotiated.virtio, &model.virtio());
    same("protocol features", &negotiated.protocol, &model.protocol());
    same("device status", &u64::from(session.status()), &model.status());
    same("postcopy", &postcopy(session.postcopy()), &model.postcopy());
    same("dirty log", &session.log().is_some(), &model.has_log());
    same("in-flight area", &session.inflight().is_some(), &model.has_inflight());
    same("back-end channel", &session.has_channel(), &model.has_channel());
    for (index, (ring, wanted)) in (0..).zip(session.rings().iter().zip(model.rings())) {
        same("ring", &view(ring), wanted);
        let position = session.position(index).map(numbers);
        let wanted = usize::try_from(index).ok().map(|index| model.position(index));
        same("position of a ring", &position, &wanted);
    }
    let is_started = model.rings().iter().any(|ring| ring.started);
    same("suspended", &session.is_suspended(), &!is_started);
    let slots = session.memory().slots();
    same("number of regions", &slots.len(), &model.regions().len());
    for region in model.regions() {
        let is_there = slots.iter().map(|slot| slot.region).any(|slot| {
            [slot.guest_address, slot.size, slot.user_address, slot.mmap_offset] == *region
        });
        assert!(is_there, "model: region {region:x?} is not in the table");
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, expected: &T) {
    assert!(got == expected, "model: {what}: the code has {got:?}, the model {expected:?}");
}

/// The model's name of a state.
const fn postcopy(state: postcopy::State) -> &'static str {
    match state {
        postcopy::State::Off => "Off",
        postcopy::State::Advised => "Advised",
        postcopy::State::Listening => "Listening",
        postcopy::State::TableSent => "TableSent",
        postcopy::State::Active => "Active",
    }
}

/// A ring in the words of the model.
fn view(ring: &Ring<Token>) -> model::Ring {
    let addr = ring.addr().map(|addr| {
        let (index, flags) = (addr.index.into(), addr.flags.into());
        [index, flags, addr.descriptor, addr.used, addr.available, addr.log]
    });
    model::Ring {
        started: ring.state().started,
        enabled: ring.state().enabled,
        size: ring.size().into(),
        addr,
        base: ring.base().into(),
        big_endian: ring.endian() == Some(Endian::Big),
        kick: notifier(ring.kick()),
        call: notifier(ring.call()),
        err: notifier(ring.err()),
    }
}

/// A position in the words of the model.
fn numbers(position: Position) -> [u64; 4] {
    match position {
        Position::Split { available } => [available.into(), 0, 0, 0],
        Position::Packed { available, available_wrap, used, used_wrap } => {
            [available.into(), available_wrap.into(), used.into(), used_wrap.into()]
        }
    }
}

const fn notifier(notifier: &Notifier<Token>) -> model::Notifier {
    match notifier {
        Notifier::None => model::Notifier::None,
        Notifier::Flag => model::Notifier::Flag,
        Notifier::Fd(_) => model::Notifier::Fd,
    }
}
