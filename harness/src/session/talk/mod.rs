//! A front-end for tests: says one thing after another and hears what comes back.
//!
//! ```
//! use vhost_fuzz_harness::session::talk::{Seen, Talk, state};
//! use vhost_fuzz_core::vhost_user::FrontendRequest as R;
//!
//! let mut talk = Talk::ready();
//! talk.configure(0);
//! talk.start(0);
//! assert_eq!(talk.seen(), [Seen::StartRing(0)]);
//! assert_eq!(talk.ask(state(R::GET_VRING_BASE, 0, 0)).state(), (0, 0));
//! ```
//!
//! Every effect succeeds unless a test says otherwise. When a conversation is dropped, every
//! descriptor and every mapping in it has been given back exactly once.

mod effects;
mod said;
mod words;

use std::collections::VecDeque;

use vhost_fuzz_core::channel::Notifier;
use vhost_fuzz_core::memory::Backing;
use vhost_fuzz_core::session::{Done, EffectError, Offer, Ring, Step};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::payload::Region;
use vhost_fuzz_core::vhost_user::{Frame, FrontendRequest as R, HEADER_LEN, Kind, Message};

pub use effects::{Ending, Seen};
pub use said::Said;
pub use words::{
    REGION, USER, address, bare, encode, mem_reg, no_fd, number, offer, raw, region, state, table,
    vring_addr, vring_fd,
};

use super::back_end::Core;
use crate::ledger::{Ledger, Token};

/// What a configuration space is full of when no test says otherwise.
pub const CONFIG_BYTE: u8 = 0x5a;

/// Where the first mapping lies, when no test says otherwise; each is [`REGION`] bytes further.
pub const MAPPINGS: u64 = 0x5500_0000_0000;

/// Bytes of a configuration space that was read well.
static CONFIG: [u8; 4096] = [CONFIG_BYTE; 4096];

/// What a session wants next.
enum Next {
    Said(Said),
    Effect(Seen),
}

/// Settles when the session before it is gone.
#[derive(Debug, Default)]
struct Ledgers {
    fds: Ledger,
    mappings: Ledger,
}

impl Drop for Ledgers {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.fds.settle();
            self.mappings.settle();
        }
    }
}

/// A conversation with a session.
#[derive(Debug)]
pub struct Talk {
    session: Core,
    // Fields are dropped in their order: the session first.
    ledgers: Ledgers,
    endings: VecDeque<Ending>,
    seen: Vec<Seen>,
    given: Vec<u32>,
    mapped: u64,
}

impl Default for Talk {
    fn default() -> Self {
        Self::new()
    }
}

impl Talk {
    /// The features of [`ready`](Self::ready), as `SET_FEATURES` sends them.
    pub const FEATURES: u64 = virtio::PROTOCOL_FEATURES | 1 << 32;

    /// With a device that offers what scripts have as default.
    #[must_use]
    pub fn new() -> Self {
        Self::with(offer())
    }

    /// With a device that makes this offer.
    ///
    /// # Panics
    /// When no device can make it.
    #[must_use]
    pub fn with(offer: Offer) -> Self {
        let session = Core::new(offer).unwrap_or_else(|error| panic!("an illegal offer: {error}"));
        Self {
            session,
            ledgers: Ledgers::default(),
            endings: VecDeque::new(),
            seen: Vec::new(),
            given: Vec::new(),
            mapped: 0,
        }
    }

    /// With a device and all protocol features that it offers but `CONFIGURE_MEM_SLOTS`, which
    /// excludes postcopy, and with [`FEATURES`](Self::FEATURES).
    #[must_use]
    pub fn ready() -> Self {
        let mut talk = Self::new();
        talk.negotiate(talk.session.offer().protocol_features & !protocol::CONFIGURE_MEM_SLOTS);
        talk.features(Self::FEATURES);
        talk
    }

    /// As [`ready`](Self::ready), with exactly these protocol features, which are offered too.
    #[must_use]
    pub fn having(protocol_features: u64) -> Self {
        let offer = offer();
        let all = offer.protocol_features | protocol_features;
        let mut talk = Self::with(Offer { protocol_features: all, ..offer });
        talk.negotiate(protocol_features);
        talk.features(Self::FEATURES);
        talk
    }

    /// Negotiates exactly these protocol features.
    ///
    /// # Panics
    /// When the session refuses them.
    #[track_caller]
    pub fn negotiate(&mut self, bits: u64) {
        self.send(number(R::SET_PROTOCOL_FEATURES, bits), 0).silent();
    }

    /// Sets exactly these virtio features, and forgets that the effect was seen.
    ///
    /// # Panics
    /// When the session refuses them.
    #[track_caller]
    pub fn features(&mut self, bits: u64) {
        self.send(number(R::SET_FEATURES, bits), 0).silent();
        self.seen.clear();
    }

    /// Sends a message with so many descriptors, and does what the session wants until it says
    /// something.
    pub fn send(&mut self, message: Message<'_>, fds: usize) -> Said {
        self.bytes(&encode(&message), fds)
    }

    /// Sends a message that asks for an acknowledgement and has no descriptor.
    pub fn ask(&mut self, message: Message<'_>) -> Said {
        self.send(message.with_need_reply(), 0)
    }

    /// Sends a message that asks for an acknowledgement, with so many descriptors.
    pub fn ask_with(&mut self, message: Message<'_>, fds: usize) -> Said {
        self.send(message.with_need_reply(), fds)
    }

    /// Sends any bytes.
    ///
    /// # Panics
    /// When the reply is one to another request (VU-009).
    #[track_caller]
    pub fn bytes(&mut self, bytes: &[u8], fds: usize) -> Said {
        let next = self.begin(bytes, fds);
        let said = self.go_on(next);
        if let (Said::Reply { code, .. }, Some(asked)) = (&said, bytes.first_chunk()) {
            assert_eq!(*code, u32::from_ne_bytes(*asked), "the request that is answered");
        }
        said
    }

    /// Sends a message and leaves the first effect that it needs undone.
    ///
    /// # Panics
    /// When it needs none.
    #[track_caller]
    pub fn hold(&mut self, message: Message<'_>, fds: usize) -> Seen {
        match self.begin(&encode(&message), fds) {
            Next::Effect(seen) => {
                self.seen.push(seen.clone());
                seen
            }
            Next::Said(said) => panic!("{message:?} needs no effect, it is answered by {said:?}"),
        }
    }

    /// Ends the effect that was held, or any other, and goes on to what is said then.
    pub fn release(&mut self, effect: &Seen, ending: &Ending) -> Said {
        let next = self.end(effect, ending);
        self.go_on(next)
    }

    /// Whether a message without descriptors may be given now.
    #[must_use]
    pub fn takes(&self, message: Message<'_>) -> bool {
        let bytes = encode(&message);
        let frame = Frame {
            kind: Kind::FRONTEND_REQUEST,
            bytes: &bytes,
            fds: std::iter::empty().collect(),
        };
        self.session.takes(&frame)
    }

    /// The next effect ends like this, and those after it well.
    pub fn next_effect(&mut self, ending: Ending) {
        self.endings.push_back(ending);
    }

    /// The next effect fails with this `errno`.
    pub fn fail_next(&mut self, errno: i32) {
        self.next_effect(Ending::Fails(errno));
    }

    /// The effects since the last look.
    pub fn seen(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// Numbers of the descriptors of the last message, in order.
    #[must_use]
    pub fn given(&self) -> &[u32] {
        &self.given
    }

    /// How many descriptors are open.
    #[must_use]
    pub fn open_fds(&self) -> usize {
        self.ledgers.fds.open_count()
    }

    /// How many mappings exist.
    #[must_use]
    pub fn open_mappings(&self) -> usize {
        self.ledgers.mappings.open_count()
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &Core {
        &self.session
    }

    /// One of its rings.
    ///
    /// # Panics
    /// When the device has no such ring.
    #[must_use]
    #[track_caller]
    pub fn ring(&self, index: u32) -> &Ring<Token> {
        self.session.ring(index).expect("a ring of the device")
    }

    /// All that the session believes, and the numbers of all that it holds, to be compared.
    #[must_use]
    pub fn belief(&self) -> String {
        let session = &self.session;
        let number = |notifier: &Notifier<Token>| notifier.fd().map(Token::number);
        let rings = session.rings().iter().map(|ring| {
            let notifiers = [ring.kick(), ring.call(), ring.err()].map(number);
            (ring.state(), ring.size(), ring.addr(), ring.base(), ring.endian(), notifiers)
        });
        let slots = session.memory().slots().iter().map(|slot| match &slot.backing {
            Backing::OnDemand(held) | Backing::Mapped(held) => (slot.region, held.number()),
        });
        let held = (
            session.log().map(|log| (log.mapping.number(), log.dirty)),
            session.log_fd().map(Token::number),
            session.inflight().map(|held| (held.mapping.number(), held.area)),
        );
        let flags = [
            session.is_owned(),
            session.is_suspended(),
            session.has_channel(),
            session.is_transferring(),
        ];
        format!(
            "{:?} {:?} {:?} {:?} {held:?} {flags:?} {:?} {:?} {:?}",
            session.negotiated(),
            rings.collect::<Vec<_>>(),
            slots.collect::<Vec<_>>(),
            session.iotlb().entries().collect::<Vec<_>>(),
            session.postcopy(),
            session.status(),
            session.pending(),
        )
    }

    /// The connection ends.
    pub fn disconnect(&mut self) {
        self.session.reset();
    }

    /// The end: every descriptor and every mapping was given back exactly once.
    ///
    /// # Panics
    /// When one was not.
    pub fn finish(self) {
        drop(self);
    }

    fn begin(&mut self, bytes: &[u8], fds: usize) -> Next {
        let tokens: Vec<_> = (0..fds).map(|_| self.ledgers.fds.open()).collect();
        self.given = tokens.iter().map(Token::number).collect();
        let fds = tokens.into_iter().collect();
        let step = self.session.on_frame(Frame { kind: Kind::FRONTEND_REQUEST, bytes, fds });
        own(step)
    }

    /// Does what the session wants until it says something.
    fn go_on(&mut self, mut next: Next) -> Said {
        loop {
            match next {
                Next::Said(said) => return said,
                Next::Effect(seen) => {
                    let ending = self.endings.pop_front().unwrap_or(Ending::Well);
                    next = self.end(&seen, &ending);
                    self.seen.push(seen);
                }
            }
        }
    }

    fn end(&mut self, effect: &Seen, ending: &Ending) -> Next {
        let result = self.result(effect, ending);
        own(self.session.on_done(result))
    }

    fn result<'d>(
        &mut self,
        effect: &Seen,
        ending: &'d Ending,
    ) -> Result<Done<'d, Token, Token>, EffectError> {
        let Ledgers { fds, mappings } = &self.ledgers;
        Ok(match ending {
            Ending::Fails(errno) => return Err(EffectError(*errno)),
            Ending::Nothing => Done::Nothing,
            Ending::Mapped(address) => Done::Mapped { mapping: mappings.open(), address: *address },
            Ending::Base(base) => Done::Base(*base),
            Ending::Config(bytes) => Done::Config(bytes),
            Ending::Crypto(id) => Done::Crypto(*id),
            Ending::MaybeFd(is_one) => Done::MaybeFd(is_one.then(|| fds.open())),
            Ending::Area(mmap_size, mmap_offset) => {
                let (mmap_size, mmap_offset) = (*mmap_size, *mmap_offset);
                Done::Inflight { fd: fds.open(), mmap_size, mmap_offset }
            }
            Ending::Well => match effect {
                Seen::MapRegion(_) | Seen::MapLog(_) | Seen::MapInflight(_) => {
                    let address = MAPPINGS + REGION * self.mapped;
                    self.mapped += 1;
                    Done::Mapped { mapping: mappings.open(), address }
                }
                Seen::StopRing { .. } => Done::Base(0),
                Seen::ReadConfig { size, .. } => Done::Config(&CONFIG[..*size as usize]),
                Seen::CreateCrypto => Done::Crypto(0),
                Seen::OpenUserfault => Done::Fd(fds.open()),
                Seen::SharedObject(_) | Seen::Transfer(_) => Done::MaybeFd(Some(fds.open())),
                Seen::AllocateInflight { .. } => {
                    Done::Inflight { fd: fds.open(), mmap_size: 0x2000, mmap_offset: 0 }
                }
                _ => Done::Nothing,
            },
        })
    }
}

/// What tests of rings and memory begin with.
impl Talk {
    /// Sends a table of these regions, each with a descriptor.
    pub fn table(&mut self, regions: &[Region]) -> Said {
        self.bytes(&table(regions), regions.len())
    }

    /// Gives the device the [`region`]s 0 and 1, and forgets the effects.
    ///
    /// # Panics
    /// When it refuses them.
    #[track_caller]
    pub fn give_memory(&mut self) {
        self.table(&[region(0), region(1)]).silent();
        self.seen.clear();
    }

    /// Gives size, base and addresses of a ring.
    ///
    /// # Panics
    /// When the session refuses them.
    #[track_caller]
    pub fn configure(&mut self, index: u32) {
        self.send(state(R::SET_VRING_NUM, index, 16), 0).silent();
        self.send(state(R::SET_VRING_BASE, index, 0), 0).silent();
        self.send(address(index), 0).silent();
    }

    /// Starts a ring with a kick descriptor.
    ///
    /// # Panics
    /// When the session refuses it.
    #[track_caller]
    pub fn start(&mut self, index: u8) {
        self.send(vring_fd(R::SET_VRING_KICK, index), 1).silent();
    }

    /// Stops a ring, which ends where it began or at the base that is queued.
    ///
    /// # Panics
    /// When the session refuses it.
    #[track_caller]
    pub fn stop(&mut self, index: u32) {
        let said = self.send(state(R::GET_VRING_BASE, index, 0), 0);
        assert_eq!(said.state().0, index, "the ring of the reply");
    }

    /// Gives memory, then configures, enables and starts ring 0, and forgets the effects.
    ///
    /// # Panics
    /// When the session refuses something of that.
    #[track_caller]
    pub fn run(&mut self) {
        self.give_memory();
        self.configure(0);
        self.send(state(R::SET_VRING_ENABLE, 0, 1), 0).silent();
        self.start(0);
        self.seen.clear();
    }
}

/// Takes what is borrowed out of a step. The form of a reply is judged here, once for all tests.
fn own(step: Step<'_, Token>) -> Next {
    match step {
        Step::Silent => Next::Said(Said::Silent),
        Step::Need(effect) => Next::Effect(effect.into()),
        Step::Close(refusal) => Next::Said(Said::Closed(refusal)),
        Step::Reply(reply) => {
            let (header, payload) = reply.bytes.split_at(HEADER_LEN);
            let code = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
            let size = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            assert_eq!(header[4..8], 5_u32.to_ne_bytes(), "flags of a reply");
            assert_eq!(header[8..], size.to_ne_bytes(), "size of a reply");
            let fd = reply.fd.is_some();
            Next::Said(Said::Reply { code, payload: payload.to_vec(), fd, refusal: reply.refusal })
        }
    }
}
