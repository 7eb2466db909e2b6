//! Judges who serves the back-end channel: by the model, by what goes over the wire, and by what
//! becomes of descriptors and mappings.

use std::borrow::Cow;

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{
    FrontendDone, FrontendEffect, FrontendReply, FrontendStep, Setup, SharedObjects,
};
use vhost_fuzz_core::session::EffectError;
use vhost_fuzz_core::vhost_user::features::virtio;
use vhost_fuzz_core::vhost_user::payload::ShmemConfig;
use vhost_fuzz_core::vhost_user::{
    Channel, Frame, FrontendRequest as R, Kind, MAX_FDS, Message, Payload,
};
use vhost_fuzz_model::frontend as model;
use vhost_fuzz_model::vhost_user::{Context, message, number};
use vhost_fuzz_model::{Id, Verdict};

use super::id;
use crate::frontend::{Done, FrontendRole};
use crate::ledger::{Ledger, Token};

/// Most mappings that the front-end under test allows.
const MAX_MAPPINGS: u16 = 8;

/// Most shared objects of the machine.
const MAX_OBJECTS: usize = 8;

/// The front-end under test is this back-end's; another one exports an object as well.
const OWNER: u32 = 1;
const OTHER: u32 = 2;

/// The object that the other back-end exports.
pub const FOREIGN_OBJECT: [u8; 16] = [0xf0; 16];

/// What was negotiated before the back-end channel opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Virtio features of `SET_FEATURES`.
    pub virtio: u64,
    /// Protocol features of `SET_PROTOCOL_FEATURES`.
    pub protocol: u64,
    /// Rings.
    pub queues: u16,
    /// Bytes of a page.
    pub page_size: u64,
    /// Sizes in bytes of the shared memory regions by their ids. What is no whole number of
    /// pages is rounded down.
    pub shmem: Box<[u64; 256]>,
}

/// How the effects of a request end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Done,
    /// With this `errno`.
    Failed(i32),
    /// A shared object is not handed out; any other effect ends well.
    NoObject,
}

/// One thing that happens to a front-end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message on the back-end channel.
    Request {
        /// Header and payload.
        bytes: Cow<'a, [u8]>,
        /// Descriptors that came with it, at most 8.
        fds: usize,
        /// How its effect ends, if it has one.
        outcome: Outcome,
        /// The device is reset while the effect is done.
        resets_meanwhile: bool,
    },
    /// The device is reset.
    DeviceReset,
}

/// Runs events through a front-end; returns the rule of each refusal, in order.
///
/// # Panics
/// When one of the oracles finds a fault.
pub fn check<'a, R: FrontendRole>(
    offer: &Offer,
    events: impl IntoIterator<Item = Event<'a>>,
) -> Vec<Id> {
    let mut judge = Judge::<R>::new(offer);
    let mut refusals = Vec::new();
    for event in events {
        match event {
            Event::DeviceReset => judge.device_reset(),
            Event::Request { bytes, fds, outcome, resets_meanwhile } => {
                judge.resets_meanwhile = resets_meanwhile;
                refusals.extend(judge.request(&bytes, fds, outcome));
            }
        }
    }
    judge.finish();
    refusals
}

/// A front-end with an open back-end channel, beside its model.
#[derive(Debug)]
pub struct Judge<R> {
    role: R,
    objects: SharedObjects,
    model: model::Frontend,
    model_objects: model::Objects,
    descriptors: Ledger,
    mappings: Ledger,
    resets_meanwhile: bool,
}

impl<R: FrontendRole> Judge<R> {
    /// Negotiates what the offer says and opens the channel.
    ///
    /// # Panics
    /// When the front-end refuses what is legal.
    #[must_use]
    pub fn new(offer: &Offer) -> Self {
        let setup = Setup {
            owner: OWNER,
            queues: offer.queues,
            max_regions: 8,
            max_mappings: MAX_MAPPINGS,
            page_size: offer.page_size,
        };
        let sizes: Vec<u64> =
            offer.shmem.iter().map(|size| size - size % offer.page_size).collect();
        let mut role = R::open(setup);
        establish(&mut role, offer, &sizes);
        let mut objects = SharedObjects::new(MAX_OBJECTS);
        let added = objects.add(OTHER, FOREIGN_OBJECT);
        assert_eq!(added, Ok(()), "model: an object that nobody exports cannot be added");
        let model = model::Frontend::new(model::Setup {
            owner: OWNER.into(),
            queues: offer.queues.into(),
            page: offer.page_size,
            max_mappings: MAX_MAPPINGS.into(),
            virtio: offer.virtio,
            protocol: offer.protocol,
            sizes,
        });
        let table = vec![(FOREIGN_OBJECT, OTHER.into())];
        Self {
            role,
            objects,
            model,
            model_objects: model::Objects { table, limit: MAX_OBJECTS },
            descriptors: Ledger::default(),
            mappings: Ledger::default(),
            resets_meanwhile: false,
        }
    }

    /// Whether the channel has ended, as the model sees it. Later requests are all refused.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.model.is_closed()
    }

    /// Hands over one whole message; returns the rule that it broke, if any.
    ///
    /// # Panics
    /// When one of the oracles finds a fault.
    pub fn request(&mut self, bytes: &[u8], fds: usize, outcome: Outcome) -> Option<Id> {
        let fds = fds.min(MAX_FDS);
        let mut expected = self.model.request(bytes, fds, &mut self.model_objects);
        let tokens: ArrayVec<Token, MAX_FDS> = (0..fds).map(|_| self.descriptors.open()).collect();
        let frame = Frame { kind: Kind::BACKEND_REQUEST, bytes, fds: tokens };
        let (role, objects) = (&mut self.role, &mut self.objects);
        let mut step = None;
        watch("a request", || step = Some(role.on_request(frame, objects)));
        let mut result = None;
        if let Some(FrontendStep::Need(effect)) = &step {
            let model::Step::Need(wanted) = &expected else { differ(&step, &expected) };
            if !is_same(effect, wanted) {
                differ(&step, &expected);
            }
            result = Some(finish_effect(effect, outcome, &self.descriptors, &self.mappings));
        }
        if let Some(result) = result {
            // The effect with its descriptor belonged to the caller, who is done with it.
            drop(step);
            let made = usize::from(matches!(result, Ok(FrontendDone::Mapped(_))));
            self.count_mappings(made, "while an effect is done");
            if std::mem::take(&mut self.resets_meanwhile) {
                self.role.on_device_reset();
                self.model.device_reset();
                self.count_mappings(made, "after a reset of the device");
            }
            expected = self.model.done(in_words_of_the_model(outcome));
            let role = &mut self.role;
            step = None;
            watch("the result of an effect", || step = Some(role.on_done(result)));
        }
        let refusal = compare(step.as_ref(), &expected, bytes);
        drop(step);
        self.count_descriptors();
        self.count_mappings(0, "after a request");
        self.count_objects();
        refusal
    }

    /// The device is reset.
    ///
    /// # Panics
    /// When a mapping stays.
    pub fn device_reset(&mut self) {
        self.role.on_device_reset();
        self.model.device_reset();
        self.count_mappings(0, "after a reset of the device");
    }

    /// The connection ends.
    ///
    /// # Panics
    /// When a descriptor or a mapping stays, or was dropped twice.
    pub fn finish(self) {
        let Self { role, descriptors, mappings, .. } = self;
        drop(role);
        descriptors.settle();
        mappings.settle();
    }

    fn count_descriptors(&self) {
        let open = self.descriptors.open_count();
        assert!(open == 0, "fd ledger: {open} descriptors are open after a request");
    }

    fn count_mappings(&self, in_flight: usize, when: &str) {
        let (have, wanted) = (self.mappings.open_count(), self.model.mapped() + in_flight);
        assert!(have == wanted, "mapping ledger: {have} mappings {when}, the model has {wanted}");
    }

    fn count_objects(&self) {
        for (uuid, owner) in &self.model_objects.table {
            let got = self.objects.owner(uuid).map(u64::from);
            assert!(got == Some(*owner), "model: {got:?} exports {uuid:x?}, not {owner}");
        }
        let (got, wanted) = (self.objects.len(), self.model_objects.table.len());
        assert!(got == wanted, "model: {got} objects are exported, not {wanted}");
    }
}

/// Negotiates over the main channel, as a front-end does.
fn establish<T: FrontendRole>(role: &mut T, offer: &Offer, sizes: &[u64]) {
    let bytes: Vec<u8> = sizes.iter().flat_map(|size| size.to_ne_bytes()).collect();
    let regions = u32::try_from(sizes.iter().filter(|size| **size != 0).count()).unwrap_or(256);
    let sizes = bytes.first_chunk().unwrap_or(&[0; 2048]);
    let config = ShmemConfig { regions, padding: 0, sizes };
    ask(role, R::GET_FEATURES, Payload::U64(offer.virtio | virtio::PROTOCOL_FEATURES));
    ask(role, R::GET_PROTOCOL_FEATURES, Payload::U64(offer.protocol));
    role.sent(&Message::frontend(R::SET_PROTOCOL_FEATURES, Payload::U64(offer.protocol)), 0);
    role.sent(&Message::frontend(R::SET_FEATURES, Payload::U64(offer.virtio)), 0);
    ask(role, R::GET_SHMEM_CONFIG, Payload::ShmemConfig(config));
    role.sent(&Message::frontend(R::SET_BACKEND_REQ_FD, Payload::None), 1);
}

/// A request without payload, and the reply to it.
fn ask<T: FrontendRole>(role: &mut T, request: R, answer: Payload<'_>) {
    role.sent(&Message::frontend(request, Payload::None), 0);
    let reply = Message::reply(Channel::Main, request.0, answer);
    let mut bytes = vec![0; reply.encoded_len()];
    let written = reply.encode(&mut bytes);
    assert_eq!(written, Ok(bytes.len()), "wire check: a reply cannot be encoded");
    role.on_reply(Frame { kind: Kind::BACKEND_REPLY, bytes: &bytes, fds: ArrayVec::new() });
}

/// Does an effect.
fn finish_effect(
    effect: &FrontendEffect<Token>,
    outcome: Outcome,
    descriptors: &Ledger,
    mappings: &Ledger,
) -> Done {
    use FrontendEffect as E;
    match (outcome, effect) {
        (Outcome::Failed(errno), _) => Err(EffectError(errno)),
        (Outcome::NoObject, E::FetchObject { .. }) => Ok(FrontendDone::Object(None)),
        (_, E::FetchObject { .. }) => Ok(FrontendDone::Object(Some(descriptors.open()))),
        (_, E::MapNotifier { .. } | E::MapShmem { .. }) => {
            Ok(FrontendDone::Mapped(mappings.open()))
        }
        _ => Ok(FrontendDone::Nothing),
    }
}

fn in_words_of_the_model(outcome: Outcome) -> model::Outcome {
    match outcome {
        Outcome::Done => model::Outcome::Done,
        Outcome::Failed(_) => model::Outcome::Failed,
        Outcome::NoObject => model::Outcome::NoObject,
    }
}

/// Runs with the allocator watched: everything was allocated before.
fn watch(what: &str, run: impl FnOnce()) {
    let info = allocation_counter::measure(run);
    assert!(
        info.count_total == 0,
        "budget: {what} allocated {} times, {} bytes",
        info.count_total,
        info.bytes_total
    );
}

/// Compares what the code wants with what the model does, and reads a reply as its receiver.
fn compare(
    step: Option<&FrontendStep<'_, Token>>,
    expected: &model::Step,
    request: &[u8],
) -> Option<Id> {
    match (step, expected) {
        (Some(FrontendStep::Silent), model::Step::Silent) => None,
        (Some(FrontendStep::Close(error)), model::Step::Close(wanted))
            if id(error.rule()) == *wanted =>
        {
            Some(*wanted)
        }
        (Some(FrontendStep::Reply(reply)), model::Step::Reply { value, fd, refusal }) => {
            wire_check(reply, request);
            let rule = reply.refusal.map(|error| id(error.rule()));
            let got = (number(reply.bytes, 12, 8), reply.fd.is_some(), rule);
            if got != (*value, *fd, *refusal) {
                differ(&step, expected);
            }
            rule
        }
        _ => differ(&step, expected),
    }
}

#[cold]
fn differ(got: &impl std::fmt::Debug, expected: &model::Step) -> ! {
    panic!("model: the code wants {got:?}, the model {expected:?}")
}

/// A reply is a legal one to the request, to somebody who knows nothing of the code.
fn wire_check(reply: &FrontendReply<'_, Token>, request: &[u8]) {
    let context = Context { backend_channel: true, reply: true, ..Context::default() };
    let fds = usize::from(reply.fd.is_some());
    if let Verdict::Reject(rule) = message::judge(context, reply.bytes, fds) {
        let bytes = reply.bytes;
        panic!("wire check: the reply {bytes:x?} with {fds} descriptors breaks {rule}");
    }
    let (asked, answered) = (number(request, 0, 4), number(reply.bytes, 0, 4));
    assert!(asked == answered, "wire check: a reply to {answered}, but {asked} was asked (VU-009)");
}

/// Whether an effect of the code is that of the model, with all its numbers.
fn is_same(got: &FrontendEffect<Token>, expected: &model::Effect) -> bool {
    use FrontendEffect as E;
    let words = match got {
        E::Translate { iova, permissions } => {
            model::Effect::Translate(*iova, u64::from(*permissions))
        }
        E::AccessFailed { iova, permissions } => {
            model::Effect::AccessFailed(*iova, u64::from(*permissions))
        }
        E::ConfigChanged => model::Effect::ConfigChanged,
        E::MapNotifier { index, offset, size, .. } => {
            model::Effect::MapNotifier(u64::from(*index), *size, *offset)
        }
        E::Call { index } => model::Effect::Call(u64::from(*index)),
        E::RingError { index } => model::Effect::RingError(u64::from(*index)),
        E::FetchObject { owner, uuid } => model::Effect::FetchObject(u64::from(*owner), *uuid),
        E::MapShmem { range, fd_offset, is_writable, .. } => {
            let shmid = u64::from(range.shmid);
            model::Effect::MapShmem(shmid, range.offset, range.len, *fd_offset, *is_writable)
        }
    };
    words == *expected
}
