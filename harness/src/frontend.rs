//! What the oracle of the back-end channel tests: something that serves it.

use vhost_fuzz_core::frontend::{Frontend, FrontendDone, FrontendStep, Setup, SharedObjects};
use vhost_fuzz_core::session::EffectError;
use vhost_fuzz_core::vhost_user::{Frame, Message};

use crate::ledger::Token;

/// The result of an effect, with counted handles.
pub type Done = Result<FrontendDone<Token, Token>, EffectError>;

/// The front-end's end of a connection over counted descriptors and mappings: ours, or a broken
/// one.
pub trait FrontendRole {
    /// A front-end that has just connected.
    fn open(setup: Setup) -> Self;

    /// A request went out on the main channel.
    fn sent(&mut self, message: &Message<'_>, fds: usize);

    /// A legal reply came on the main channel.
    fn on_reply(&mut self, frame: Frame<'_, Token>);

    /// As [`Frontend::on_request`].
    fn on_request(
        &mut self,
        frame: Frame<'_, Token>,
        objects: &mut SharedObjects,
    ) -> FrontendStep<'_, Token>;

    /// As [`Frontend::on_done`].
    fn on_done(&mut self, result: Done) -> FrontendStep<'_, Token>;

    /// As [`Frontend::on_device_reset`].
    fn on_device_reset(&mut self);
}

/// The front-end of the core.
pub type Core = Frontend<Token, Token>;

impl FrontendRole for Core {
    fn open(setup: Setup) -> Self {
        Self::new(setup)
    }

    fn sent(&mut self, message: &Message<'_>, fds: usize) {
        let sent = Self::sent(self, message, fds);
        assert_eq!(sent, Ok(()), "model: a legal request cannot be sent");
    }

    fn on_reply(&mut self, frame: Frame<'_, Token>) {
        let answer = Self::on_reply(self, frame).map(|answer| answer.is_success);
        assert_eq!(answer, Ok(true), "model: a legal reply is refused");
    }

    fn on_request(
        &mut self,
        frame: Frame<'_, Token>,
        objects: &mut SharedObjects,
    ) -> FrontendStep<'_, Token> {
        Self::on_request(self, frame, objects)
    }

    fn on_done(&mut self, result: Done) -> FrontendStep<'_, Token> {
        Self::on_done(self, result)
    }

    fn on_device_reset(&mut self) {
        Self::on_device_reset(self);
    }
}
