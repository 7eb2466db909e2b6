//! Network devices with one mistake each: around the device of the core, or around its rings.

mod alone;

use std::sync::atomic::Ordering;

use vhost_fuzz_core::net::device::{Config, Device, Due};
use vhost_fuzz_core::net::header::Features;
use vhost_fuzz_core::ring::{Broken, Chain, Guest, PopError, PutError, Ring, RingMemory, Token};

use crate::net_device::NetDevice;
use crate::ram::RamRegion;

pub use alone::{LeavesChecksums, LooksFirst};

/// Which queue a ring is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What the driver sends.
    Transmit,
    /// What it receives.
    Receive,
    /// What it commands.
    Control,
}

/// What goes wrong.
pub trait Mistake: Default {
    /// What the device believes was negotiated.
    #[must_use]
    fn features(features: Features) -> Features {
        features
    }

    /// Changes the pair that gets answers; `right` is the right one.
    #[must_use]
    fn receiver(_pair: u16, right: u16) -> u16 {
        right
    }

    /// Before a wake-up. The clock that the device has.
    fn before(&mut self, _guest: &Guest<'_, RamRegion>, now_ms: u64) -> u64 {
        now_ms
    }

    /// After a reset, in which the driver chose these features.
    fn reset(&mut self, _features: Features) {
        *self = Self::default();
    }

    /// A chain of frames was taken.
    fn taken(&mut self, _kind: Kind, _chain: &Chain, _guest: &Guest<'_, RamRegion>) {}

    /// A buffer is about to be given back.
    fn given(&mut self, _kind: Kind, _len: u32, _guest: &Guest<'_, RamRegion>) {}

    /// Changes what is due after a wake-up.
    fn due(&mut self, _kind: Kind, due: Due) -> Due {
        due
    }

    /// As [`Ring::pop`].
    ///
    /// # Errors
    /// As [`Ring::pop`].
    fn pop<R: Ring>(
        &mut self,
        _kind: Kind,
        ring: &mut R,
        chain: &mut Chain,
    ) -> Result<Option<Token>, PopError> {
        ring.pop(chain)
    }

    /// As [`Ring::unpop`].
    ///
    /// # Errors
    /// As [`Ring::unpop`].
    fn unpop<R: Ring>(&mut self, _kind: Kind, ring: &mut R, token: Token) -> Result<(), PutError> {
        ring.unpop(token)
    }

    /// As [`Ring::put`].
    ///
    /// # Errors
    /// As [`Ring::put`].
    fn put<R: Ring>(
        &mut self,
        _kind: Kind,
        ring: &mut R,
        token: Token,
        len: u32,
    ) -> Result<(), PutError> {
        ring.put(token, len)
    }

    /// As [`Ring::publish`].
    ///
    /// # Errors
    /// As [`Ring::publish`].
    fn publish<R: Ring>(&mut self, _kind: Kind, ring: &mut R) -> Result<bool, Broken> {
        ring.publish()
    }

    /// As [`Ring::arm`].
    ///
    /// # Errors
    /// As [`Ring::arm`].
    fn arm<R: Ring>(&mut self, _kind: Kind, ring: &mut R) -> Result<bool, Broken> {
        ring.arm()
    }

    /// As [`Ring::disarm`].
    ///
    /// # Errors
    /// As [`Ring::disarm`].
    fn disarm<R: Ring>(&mut self, _kind: Kind, ring: &mut R) -> Result<(), Broken> {
        ring.disarm()
    }
}

/// A device that makes a mistake.
#[derive(Debug)]
pub struct BrokenDevice<M> {
    core: Device,
    mistake: M,
}

/// A ring in the hands of a mistake.
struct Wrapped<'a, R, M> {
    kind: Kind,
    ring: &'a mut R,
    /// None when nothing comes of what is taken.
    guest: Option<&'a Guest<'a, RamRegion>>,
    /// Two rings of a wake-up share it, one after the other.
    mistake: &'a std::cell::RefCell<&'a mut M>,
}

impl<R: Ring, M: Mistake> Ring for Wrapped<'_, R, M> {
    fn pop(&mut self, chain: &mut Chain) -> Result<Option<Token>, PopError> {
        let mut mistake = self.mistake.borrow_mut();
        let popped = mistake.pop(self.kind, self.ring, chain);
        if let (Ok(Some(_)), Some(guest)) = (&popped, self.guest) {
            mistake.taken(self.kind, chain, guest);
        }
        popped
    }

    fn unpop(&mut self, token: Token) -> Result<(), PutError> {
        self.mistake.borrow_mut().unpop(self.kind, self.ring, token)
    }

    fn put(&mut self, token: Token, len: u32) -> Result<(), PutError> {
        let mut mistake = self.mistake.borrow_mut();
        if let Some(guest) = self.guest {
            mistake.given(self.kind, len, guest);
        }
        mistake.put(self.kind, self.ring, token, len)
    }

    fn skip(&mut self, token: Token) -> Result<(), PutError> {
        self.ring.skip(token)
    }

    fn publish(&mut self) -> Result<bool, Broken> {
        self.mistake.borrow_mut().publish(self.kind, self.ring)
    }

    fn arm(&mut self) -> Result<bool, Broken> {
        self.mistake.borrow_mut().arm(self.kind, self.ring)
    }

    fn disarm(&mut self) -> Result<(), Broken> {
        self.mistake.borrow_mut().disarm(self.kind, self.ring)
    }
}

impl<M: Mistake> NetDevice for BrokenDevice<M> {
    fn open(config: Config) -> Self {
        Self { core: Device::open(config), mistake: M::default() }
    }

    fn core(&mut self) -> &mut Device {
        &mut self.core
    }

    fn negotiated(&mut self, features: Features) {
        self.mistake.reset(features);
        self.core.negotiated(M::features(features));
    }

    fn receiver_of(&mut self, pair: u16) -> u16 {
        M::receiver(pair, Device::receiver_of(&self.core, pair))
    }

    fn serve<T: Ring, R: Ring>(
        &mut self,
        transmit: &mut T,
        receive: Option<&mut R>,
        guest: &Guest<'_, RamRegion>,
        now_ms: u64,
    ) -> [Due; 2] {
        let now_ms = self.mistake.before(guest, now_ms);
        let mistake = &std::cell::RefCell::new(&mut self.mistake);
        let lent = Some(guest);
        let transmit = &mut Wrapped { kind: Kind::Transmit, ring: transmit, guest: lent, mistake };
        let mut receive =
            receive.map(|ring| Wrapped { kind: Kind::Receive, ring, guest: lent, mistake });
        let [sent, received] = self.core.serve(transmit, receive.as_mut(), guest, now_ms);
        let mut mistake = mistake.borrow_mut();
        [mistake.due(Kind::Transmit, sent), mistake.due(Kind::Receive, received)]
    }

    fn discard<T: Ring>(&mut self, transmit: &mut T) -> Due {
        let mistake = &std::cell::RefCell::new(&mut self.mistake);
        let (kind, guest) = (Kind::Transmit, None);
        let due = self.core.discard(&mut Wrapped { kind, ring: transmit, guest, mistake });
        mistake.borrow_mut().due(Kind::Transmit, due)
    }

    fn command<C: Ring>(&mut self, queue: &mut C, guest: &Guest<'_, RamRegion>) -> Due {
        let mistake = &std::cell::RefCell::new(&mut self.mistake);
        let lent = Some(guest);
        let queue = &mut Wrapped { kind: Kind::Control, ring: queue, guest: lent, mistake };
        let due = self.core.command(queue, guest);
        mistake.borrow_mut().due(Kind::Control, due)
    }
}

/// A device without a mistake, built like the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nothing;

impl Mistake for Nothing {}

/// Says of receive buffers that they were filled to their end (NET-024, NET-036).
#[derive(Clone, Copy, Debug, Default)]
pub struct TellsWholeBuffers;

impl Mistake for TellsWholeBuffers {
    fn put<R: Ring>(
        &mut self,
        kind: Kind,
        ring: &mut R,
        token: Token,
        len: u32,
    ) -> Result<(), PutError> {
        let len = if kind == Kind::Receive && len > 0 { token.writable() } else { len };
        ring.put(token, len)
    }
}

/// Shows the driver each buffer of a frame as soon as it is given back (NET-025).
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishesEachBuffer;

impl Mistake for PublishesEachBuffer {
    fn put<R: Ring>(
        &mut self,
        kind: Kind,
        ring: &mut R,
        token: Token,
        len: u32,
    ) -> Result<(), PutError> {
        ring.put(token, len)?;
        if kind == Kind::Receive {
            let _ = ring.publish();
        }
        Ok(())
    }
}

/// Uses up buffers that a frame does not fit into (NET-026).
#[derive(Clone, Copy, Debug, Default)]
pub struct UsesUpSmallBuffers;

impl Mistake for UsesUpSmallBuffers {
    fn unpop<R: Ring>(&mut self, kind: Kind, ring: &mut R, token: Token) -> Result<(), PutError> {
        if kind == Kind::Receive { ring.put(token, 0) } else { ring.unpop(token) }
    }
}

/// Gives back a frame that has to wait, and answers it never (DC-124).
#[derive(Clone, Copy, Debug, Default)]
pub struct LosesWhatHasToWait;

impl Mistake for LosesWhatHasToWait {
    fn unpop<R: Ring>(&mut self, kind: Kind, ring: &mut R, token: Token) -> Result<(), PutError> {
        if kind == Kind::Transmit { ring.put(token, 0) } else { ring.unpop(token) }
    }
}

/// Goes to sleep without asking for kicks (VQ-048).
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverArms;

impl Mistake for NeverArms {
    fn arm<R: Ring>(&mut self, _: Kind, _: &mut R) -> Result<bool, Broken> {
        Ok(false)
    }
}

/// Wants kicks for receive buffers that it does not wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct WantsKicksForBuffers;

impl Mistake for WantsKicksForBuffers {
    fn disarm<R: Ring>(&mut self, _: Kind, _: &mut R) -> Result<(), Broken> {
        Ok(())
    }
}

/// Never tells the driver what was used of a transmit queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepsWhatIsSent;

impl Mistake for KeepsWhatIsSent {
    fn publish<R: Ring>(&mut self, kind: Kind, ring: &mut R) -> Result<bool, Broken> {
        if kind == Kind::Transmit { Ok(false) } else { ring.publish() }
    }
}

/// Never tells the driver that a command was obeyed.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeepsCommands;

impl Mistake for KeepsCommands {
    fn publish<R: Ring>(&mut self, kind: Kind, ring: &mut R) -> Result<bool, Broken> {
        if kind == Kind::Control { Ok(false) } else { ring.publish() }
    }
}

/// Says of a command that only its ack was written (NET-036).
#[derive(Clone, Copy, Debug, Default)]
pub struct ForgetsResults;

impl Mistake for ForgetsResults {
    fn put<R: Ring>(
        &mut self,
        kind: Kind,
        ring: &mut R,
        token: Token,
        len: u32,
    ) -> Result<(), PutError> {
        ring.put(token, if kind == Kind::Control { len.min(1) } else { len })
    }
}

/// Calls the driver never.
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverCalls;

impl Mistake for NeverCalls {
    fn due(&mut self, _: Kind, due: Due) -> Due {
        Due { call: false, ..due }
    }
}

/// Calls the driver after every wake-up.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysCalls;

impl Mistake for AlwaysCalls {
    fn due(&mut self, _: Kind, due: Due) -> Due {
        Due { call: true, ..due }
    }
}

/// Does not say that there is more to do (VQ-035).
#[derive(Clone, Copy, Debug, Default)]
pub struct ForgetsTheRest;

impl Mistake for ForgetsTheRest {
    fn due(&mut self, _: Kind, due: Due) -> Due {
        Due { again: false, ..due }
    }
}

/// Does not say that a ring is broken.
#[derive(Clone, Copy, Debug, Default)]
pub struct HidesBrokenRings;

impl Mistake for HidesBrokenRings {
    fn due(&mut self, _: Kind, due: Due) -> Due {
        Due { broken: None, ..due }
    }
}

/// Puts a frame into one buffer only (NET-024).
#[derive(Clone, Copy, Debug, Default)]
pub struct NeverMerges;

impl Mistake for NeverMerges {
    fn features(features: Features) -> Features {
        features.without(Features::MRG_RXBUF)
    }
}

/// Spreads a frame over buffers of a driver that did not ask for that (NET-022).
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysMerges;

impl Mistake for AlwaysMerges {
    fn features(features: Features) -> Features {
        features | Features::MRG_RXBUF
    }
}

/// Leaves the hash out of the header (NET-001).
#[derive(Clone, Copy, Debug, Default)]
pub struct ShortensHeaders;

impl Mistake for ShortensHeaders {
    fn features(features: Features) -> Features {
        features.without(Features::HASH_REPORT)
    }
}

/// Has no limit for frames (NET-017, NET-019).
#[derive(Clone, Copy, Debug, Default)]
pub struct IgnoresTheMtu;

impl Mistake for IgnoresTheMtu {
    fn features(features: Features) -> Features {
        features.without(Features::MTU)
    }
}

/// Gives the driver every frame, whatever it filters out (NET-042).
#[derive(Clone, Copy, Debug, Default)]
pub struct IgnoresTheFilter;

impl Mistake for IgnoresTheFilter {
    fn features(features: Features) -> Features {
        features.without(Features::CTRL_RX | Features::CTRL_VLAN)
    }
}

/// Answers on a queue that the driver does not use (NET-046).
#[derive(Clone, Copy, Debug, Default)]
pub struct AnswersOnUnusedQueues;

impl Mistake for AnswersOnUnusedQueues {
    fn receiver(pair: u16, _: u16) -> u16 {
        pair
    }
}

/// Has a clock that stands still (L2-013).
#[derive(Clone, Copy, Debug, Default)]
pub struct StandsStill;

impl Mistake for StandsStill {
    fn before(&mut self, _: &Guest<'_, RamRegion>, _: u64) -> u64 {
        0
    }
}

/// Takes memory in each wake-up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allocates;

impl Mistake for Allocates {
    fn before(&mut self, _: &Guest<'_, RamRegion>, now_ms: u64) -> u64 {
        drop(std::hint::black_box(vec![1_u8]));
        now_ms
    }
}

/// Reads memory that is none of its business.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadsTooMuch;

impl Mistake for ReadsTooMuch {
    fn before(&mut self, guest: &Guest<'_, RamRegion>, now_ms: u64) -> u64 {
        let mut bytes = [0; 0x1000];
        let slot = guest.table.slots().first();
        let _ = slot.and_then(|slot| slot.backing.read(0, &mut bytes));
        now_ms
    }
}

/// Writes to memory that is none of its business.
#[derive(Clone, Copy, Debug, Default)]
pub struct WritesToTheDriver;

impl Mistake for WritesToTheDriver {
    fn before(&mut self, guest: &Guest<'_, RamRegion>, now_ms: u64) -> u64 {
        let slot = guest.table.slots().first();
        // What is read there is written back: only who counts will see it.
        let _ = slot.and_then(|slot| {
            let found = slot.backing.load_u16(0, Ordering::Relaxed)?;
            slot.backing.store_u16(0, found, Ordering::Relaxed)
        });
        now_ms
    }
}

/// Takes nothing any more after what it could not take: a malformed chain, or a `BROKEN` ring, when
/// a reset does not help either.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stops<const BROKEN: bool> {
    is_done: bool,
}

/// Gives up after a chain that is malformed.
pub type GivesUp = Stops<false>;

/// Takes nothing any more once a ring is broken.
pub type StaysBroken = Stops<true>;

impl<const BROKEN: bool> Mistake for Stops<BROKEN> {
    fn reset(&mut self, _: Features) {
        self.is_done &= BROKEN;
    }

    fn pop<R: Ring>(
        &mut self,
        _: Kind,
        ring: &mut R,
        chain: &mut Chain,
    ) -> Result<Option<Token>, PopError> {
        if self.is_done {
            return Ok(None);
        }
        let popped = ring.pop(chain);
        self.is_done = match popped {
            Err(PopError::Broken(_)) => BROKEN,
            Err(PopError::Malformed { .. }) => !BROKEN,
            _ => false,
        };
        popped
    }

    fn arm<R: Ring>(&mut self, _: Kind, ring: &mut R) -> Result<bool, Broken> {
        let is_more = ring.arm()?;
        Ok(is_more && !self.is_done)
    }
}
