//! Front-ends with one mistake in how they serve the back-end channel, around that of the core.

use std::any::TypeId;

use arrayvec::ArrayVec;
use vhost_fuzz_core::frontend::{
    FrontendDone, FrontendEffect, FrontendReply, FrontendStep, Setup, SharedObjects,
};
use vhost_fuzz_core::vhost_user::{
    BackendRequest as B, Channel, Flags, Frame, HEADER_LEN, Header, MAX_FDS, Message, Payload,
};
use vhost_fuzz_core::wire::Reader;

use crate::frontend::{Core, Done, FrontendRole};
use crate::ledger::{Ledger, Token};

macro_rules! mistakes {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
    )*};
}
mistakes! {
    /// None.
    Nothing,
    /// Descriptors of a refused request stay open (MC02).
    LeaksRefused,
    /// Mappings outlive a reset of the device (VU-244).
    KeepsMappings,
    /// A lookup that succeeds is answered without the descriptor (DV-21).
    LooksUpWithoutFd,
    /// `need_reply` is answered whether or not `REPLY_ACK` was negotiated (DV-56).
    AlwaysAcknowledges,
    /// What a request asks for counts as done whatever came of it (DV-02).
    IgnoresFailure,
    /// A reply is made by editing the request, so that its flags survive (DV-03).
    EchoesFlags,
    /// A buffer is allocated for each reply.
    Allocates,
}

/// The front-end of the core, with the mistake `M` of those above.
#[derive(Debug)]
pub struct Mistaken<M> {
    core: Core,
    reply: [u8; HEADER_LEN + 8],
    /// The request that is worked on.
    header: Option<Header>,
    has_reply_ack: bool,
    /// Second owners of it stand in for descriptors that are kept back.
    stand_in: Token,
    mistake: std::marker::PhantomData<M>,
}

impl<M: 'static> Mistaken<M> {
    /// Whether this front-end makes the mistake `T`.
    fn makes<T: 'static>() -> bool {
        TypeId::of::<M>() == TypeId::of::<T>()
    }

    /// Replaces the descriptors of a frame by stand-ins, which are all that the core gets.
    fn keep_back(&self, frame: &mut Frame<'_, Token>) -> ArrayVec<Token, MAX_FDS> {
        let stand_ins = frame.fds.iter().map(|_| self.stand_in.alias()).collect();
        std::mem::replace(&mut frame.fds, stand_ins)
    }

    fn spoil<'a>(
        step: FrontendStep<'a, Token>,
        header: Option<Header>,
        has_reply_ack: bool,
        out: &'a mut [u8; HEADER_LEN + 8],
    ) -> FrontendStep<'a, Token> {
        let asks = header.is_some_and(|header| header.flags.needs_reply());
        match (step, header) {
            (FrontendStep::Reply(reply), Some(header)) => {
                if Self::makes::<Allocates>() {
                    drop(std::hint::black_box(reply.bytes.to_vec()));
                }
                let is_lookup = B(header.code) == B::SHARED_OBJECT_LOOKUP;
                let drops_fd = Self::makes::<LooksUpWithoutFd>() && is_lookup;
                let fd = if drops_fd { None } else { reply.fd };
                out.copy_from_slice(reply.bytes);
                if Self::makes::<EchoesFlags>() {
                    let flags = header.flags.0 | Flags::REPLY_BIT;
                    out[4..8].copy_from_slice(&flags.to_ne_bytes());
                }
                FrontendStep::Reply(FrontendReply { bytes: out, fd, refusal: reply.refusal })
            }
            (FrontendStep::Silent, Some(header))
                if Self::makes::<AlwaysAcknowledges>() && asks && !has_reply_ack =>
            {
                let reply = Message::reply(Channel::Backend, header.code, Payload::U64(0));
                let written = reply.encode(out);
                debug_assert_eq!(written, Ok(out.len()));
                FrontendStep::Reply(FrontendReply { bytes: out, fd: None, refusal: None })
            }
            (step, _) => step,
        }
    }
}

impl<M: 'static> FrontendRole for Mistaken<M> {
    fn open(setup: Setup) -> Self {
        Self {
            core: Core::open(setup),
            reply: [0; HEADER_LEN + 8],
            header: None,
            has_reply_ack: false,
            stand_in: Ledger::default().open(),
            mistake: std::marker::PhantomData,
        }
    }

    fn sent(&mut self, message: &Message<'_>, fds: usize) {
        FrontendRole::sent(&mut self.core, message, fds);
        self.has_reply_ack = self.core.negotiated().has_reply_ack();
    }

    fn on_reply(&mut self, frame: Frame<'_, Token>) {
        FrontendRole::on_reply(&mut self.core, frame);
    }

    fn on_request(
        &mut self,
        mut frame: Frame<'_, Token>,
        objects: &mut SharedObjects,
    ) -> FrontendStep<'_, Token> {
        self.header = Header::read(&mut Reader::new(frame.bytes)).ok();
        if Self::makes::<LeaksRefused>() && !frame.fds.is_empty() {
            let mut real = self.keep_back(&mut frame);
            let step = self.core.on_request(frame, objects);
            return match step {
                FrontendStep::Need(effect) => FrontendStep::Need(with_fd(effect, real.pop())),
                FrontendStep::Silent => FrontendStep::Silent,
                refused => {
                    real.drain(..).for_each(std::mem::forget);
                    refused
                }
            };
        }
        let step = self.core.on_request(frame, objects);
        Self::spoil(step, self.header, self.has_reply_ack, &mut self.reply)
    }

    fn on_done(&mut self, result: Done) -> FrontendStep<'_, Token> {
        let result = match result {
            Err(_) if Self::makes::<IgnoresFailure>() => Ok(FrontendDone::Nothing),
            result => result,
        };
        let step = FrontendRole::on_done(&mut self.core, result);
        Self::spoil(step, self.header, self.has_reply_ack, &mut self.reply)
    }

    fn on_device_reset(&mut self) {
        if !Self::makes::<KeepsMappings>() {
            FrontendRole::on_device_reset(&mut self.core);
        }
    }
}

/// The effect with the descriptor that really came.
fn with_fd(effect: FrontendEffect<Token>, real: Option<Token>) -> FrontendEffect<Token> {
    use FrontendEffect as E;
    match (effect, real) {
        (E::MapNotifier { index, offset, size, .. }, Some(fd)) => {
            E::MapNotifier { index, fd, offset, size }
        }
        (E::MapShmem { range, fd_offset, is_writable, .. }, Some(fd)) => {
            E::MapShmem { range, fd, fd_offset, is_writable }
        }
        (effect, _) => effect,
    }
}
