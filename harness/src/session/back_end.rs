//! What a target demands of a back-end's session, so that broken ones can take its place.

use vhost_fuzz_core::session::{Done, EffectError, Offer, Session, Step};
use vhost_fuzz_core::vhost_user::Frame;

use crate::ledger::Token;

/// The session under test: descriptors and mappings are tokens of two ledgers.
pub type Core = Session<Token, Token>;

/// A session of the back-end role.
pub trait BackEnd {
    /// A session for a device; the offer is a legal one.
    fn new(offer: Offer) -> Self;

    /// What the session believes.
    fn session(&self) -> &Core;

    /// Takes a message.
    fn on_frame<'a>(&'a mut self, frame: Frame<'a, Token>) -> Step<'a, Token>;

    /// Goes on after an effect.
    fn on_done<'a>(
        &'a mut self,
        result: Result<Done<'_, Token, Token>, EffectError>,
    ) -> Step<'a, Token>;

    /// The connection ended.
    fn reset(&mut self);
}

impl BackEnd for Core {
    #[inline]
    fn new(offer: Offer) -> Self {
        match Session::new(offer) {
            Ok(session) => session,
            Err(error) => panic!("the offer of a script is legal, but {error}"),
        }
    }

    #[inline]
    fn session(&self) -> &Core {
        self
    }

    #[inline]
    fn on_frame<'a>(&'a mut self, frame: Frame<'a, Token>) -> Step<'a, Token> {
        Self::on_frame(self, frame)
    }

    #[inline]
    fn on_done<'a>(
        &'a mut self,
        result: Result<Done<'_, Token, Token>, EffectError>,
    ) -> Step<'a, Token> {
        Self::on_done(self, result)
    }

    #[inline]
    fn reset(&mut self) {
        Self::reset(self);
    }
}
