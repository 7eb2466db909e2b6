//! Sessions with one mistake each, around the session of the core.
//!
//! A mistake changes what the session gets to see, what it says, or what becomes of a handle.

use vhost_fuzz_core::session::{Done, EffectError, Offer, Refusal, Reply, Step};
use vhost_fuzz_core::vhost_user::payload::{VringFd, VringState};
use vhost_fuzz_core::vhost_user::{
    Channel, Frame, FrontendRequest as R, HEADER_LEN, Header, Kind, Message, Payload,
};
use vhost_fuzz_core::wire::Reader;

use crate::ledger::Token;
use crate::session::back_end::{BackEnd, Core};

/// What a broken session does otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Nothing.
    Nothing,
    /// A request is acknowledged that did not ask for it (MC13).
    AcksUnasked,
    /// An acknowledgement that was asked for is not sent (MC14).
    ForgetsAcks,
    /// The request's `need_reply` comes back in the reply (DV-03).
    EchoesFlags,
    /// A refusal is acknowledged as success (DV-02).
    SaysYes,
    /// The reply carries the id of another request.
    AnswersAnother,
    /// Descriptors of a refused message stay open (MC05, MC06).
    LeaksOnRefusal,
    /// A descriptor that a new one replaces stays open (SE02).
    LeaksReplaced,
    /// A descriptor has two owners (VS12).
    ClosesTwice,
    /// A mapping stays when the one after it fails (SE23).
    LeaksMappings,
    /// A ring index is cut to 16 bits before it is checked (MC07).
    CutsTheIndex,
    /// `SET_VRING_ENABLE` is refused before `SET_FEATURES` (DV-23).
    WantsFeaturesFirst,
    /// Protocol features are refused before `SET_FEATURES` (SE08).
    GatesProtocolFeatures,
    /// `SET_VRING_NUM` takes a size that is no power of two, and keeps another (SE06).
    RoundsTheSize,
    /// `RESET_DEVICE` leaves the rings enabled.
    KeepsRingsOnReset,
    /// `GET_VRING_BASE` leaves the ring started.
    RestartsAfterBase,
    /// After a ring was stopped no message is answered any more.
    Stalls,
    /// Memory is allocated for each message (SE01).
    Allocates,
}

macro_rules! sessions {
    ($($name:ident)*) => {$(
        #[doc = concat!("A session with [`Mistake::", stringify!($name), "`].")]
        #[derive(Debug)]
        pub struct $name(Broken);

        impl BackEnd for $name {
            fn new(offer: Offer) -> Self {
                Self(Broken::new(offer, Mistake::$name))
            }

            fn session(&self) -> &Core {
                &self.0.session
            }

            fn on_frame<'a>(&'a mut self, frame: Frame<'a, Token>) -> Step<'a, Token> {
                self.0.on_frame(frame)
            }

            fn on_done<'a>(
                &'a mut self,
                result: Result<Done<'_, Token, Token>, EffectError>,
            ) -> Step<'a, Token> {
                self.0.on_done(result)
            }

            fn reset(&mut self) {
                self.0.session.reset();
                self.0.behind.clear();
                self.0.mapped = None;
            }
        }
    )*};
}
sessions! {
    Nothing AcksUnasked ForgetsAcks EchoesFlags SaysYes AnswersAnother LeaksOnRefusal LeaksReplaced
    ClosesTwice LeaksMappings CutsTheIndex WantsFeaturesFirst GatesProtocolFeatures RoundsTheSize
    KeepsRingsOnReset RestartsAfterBase Stalls Allocates
}

/// A session and its mistake.
#[derive(Debug)]
struct Broken {
    session: Core,
    mistake: Mistake,
    /// The message that is being answered, and its header.
    request: Vec<u8>,
    reply: Vec<u8>,
    /// A message that the session gets before the next one, behind everybody's back; empty for
    /// none.
    behind: Vec<u8>,
    is_stalled: bool,
    /// A descriptor of the message.
    fd: Option<Token>,
    /// The last mapping.
    mapped: Option<Token>,
}

impl Broken {
    fn new(offer: Offer, mistake: Mistake) -> Self {
        Self {
            session: <Core as BackEnd>::new(offer),
            mistake,
            request: Vec::with_capacity(1 << 13),
            reply: Vec::with_capacity(1 << 13),
            behind: Vec::with_capacity(1 << 6),
            is_stalled: false,
            fd: None,
            mapped: None,
        }
    }

    fn on_frame<'a>(&'a mut self, frame: Frame<'a, Token>) -> Step<'a, Token> {
        if self.is_stalled {
            return Step::Close(Refusal::Busy { code: R::GET_VRING_BASE.0 });
        }
        if !self.behind.is_empty() {
            let fds = <_>::default();
            let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes: &self.behind, fds };
            if let Step::Need(_) = self.session.on_frame(frame) {
                drop(self.session.on_done(Ok(Done::Nothing)));
            }
            self.behind.clear();
        }
        self.request.clear();
        self.request.extend(frame.bytes);
        self.before(&frame);
        if self.mistake == Mistake::Allocates {
            drop(std::hint::black_box(vec![0_u8; 64]));
        }
        self.fd = match self.mistake {
            Mistake::LeaksOnRefusal | Mistake::LeaksReplaced => {
                frame.fds.first().map(Token::duplicate)
            }
            Mistake::ClosesTwice => frame.fds.first().map(Token::alias),
            _ => None,
        };
        let Self { session, request, .. } = self;
        let frame = Frame { kind: frame.kind, bytes: request, fds: frame.fds };
        let step = session.on_frame(frame);
        Self::after(self.mistake, step, &mut self.reply, &mut self.is_stalled, self.fd.take())
    }

    fn on_done<'a>(
        &'a mut self,
        result: Result<Done<'_, Token, Token>, EffectError>,
    ) -> Step<'a, Token> {
        if self.mistake == Mistake::LeaksMappings {
            match &result {
                Ok(Done::Mapped { mapping, .. }) => {
                    self.mapped = Some(mapping.duplicate());
                }
                Err(_) => std::mem::forget(self.mapped.take()),
                Ok(_) => self.mapped = None,
            }
        }
        let step = self.session.on_done(result);
        Self::after(self.mistake, step, &mut self.reply, &mut self.is_stalled, None)
    }

    /// Changes the message, or remembers one for later.
    fn before(&mut self, frame: &Frame<'_, Token>) {
        let Ok(header) = Header::read(&mut Reader::new(frame.bytes)) else { return };
        let code = R(header.code);
        let has_state = frame.bytes.len() == HEADER_LEN + 8;
        match self.mistake {
            Mistake::CutsTheIndex if has_state && is_about_a_ring(code) => {
                let index = self.word(HEADER_LEN) & 0xffff;
                put(&mut self.request, HEADER_LEN, index);
            }
            Mistake::WantsFeaturesFirst
                if code == R::SET_VRING_ENABLE
                    && self.session.negotiated().virtio.is_none()
                    && has_state =>
            {
                put(&mut self.request, HEADER_LEN + 4, 2);
            }
            Mistake::GatesProtocolFeatures
                if [R::GET_PROTOCOL_FEATURES, R::SET_PROTOCOL_FEATURES].contains(&code)
                    && self.session.negotiated().virtio.is_none() =>
            {
                put(&mut self.request, 0, 46);
            }
            Mistake::RoundsTheSize if code == R::SET_VRING_NUM && has_state => {
                let size = self.word(HEADER_LEN + 4).max(1);
                put(&mut self.request, HEADER_LEN + 4, 1 << size.ilog2());
            }
            Mistake::KeepsRingsOnReset if code == R::RESET_DEVICE => {
                let state = VringState { index: 0, num: 1 };
                encode(R::SET_VRING_ENABLE, Payload::State(state), &mut self.behind);
            }
            Mistake::RestartsAfterBase if code == R::GET_VRING_BASE && has_state => {
                let index = self.word(HEADER_LEN) & 0xff;
                let vring = VringFd(u64::from(index) | VringFd::NO_FD);
                encode(R::SET_VRING_KICK, Payload::VringFd(vring), &mut self.behind);
            }
            _ => {}
        }
    }

    fn word(&self, offset: usize) -> u32 {
        let bytes = self.request.get(offset..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn after<'a>(
        mistake: Mistake,
        step: Step<'a, Token>,
        out: &'a mut Vec<u8>,
        is_stalled: &mut bool,
        fd: Option<Token>,
    ) -> Step<'a, Token> {
        let is_refused = match &step {
            Step::Reply(reply) => reply.refusal.is_some(),
            Step::Close(_) => true,
            Step::Silent | Step::Need(_) => false,
        };
        // What is left open, or closed a second time, is `fd`.
        match mistake {
            Mistake::LeaksOnRefusal if is_refused => std::mem::forget(fd),
            Mistake::LeaksReplaced if !is_refused => std::mem::forget(fd),
            _ => drop(fd),
        }
        match (mistake, step) {
            (Mistake::AcksUnasked, Step::Silent) => {
                let reply = Message::reply(Channel::Main, R::SET_OWNER.0, Payload::U64(0));
                put_message(&reply, out);
                Step::Reply(Reply { bytes: out, fd: None, refusal: None })
            }
            (Mistake::ForgetsAcks, Step::Reply(reply)) if is_ack(reply.bytes) => Step::Silent,
            (_, Step::Reply(mut reply)) => {
                out.clear();
                out.extend(reply.bytes);
                change(mistake, out, &mut reply, is_stalled);
                Step::Reply(Reply { bytes: out, ..reply })
            }
            (_, step) => step,
        }
    }
}

fn change(mistake: Mistake, bytes: &mut [u8], reply: &mut Reply<'_, Token>, is_stalled: &mut bool) {
    let code = Header::read(&mut Reader::new(bytes)).map_or(0, |header| header.code);
    match mistake {
        Mistake::EchoesFlags => put(bytes, 4, 0xd),
        Mistake::AnswersAnother => put(bytes, 0, code + 1),
        Mistake::SaysYes if is_ack(bytes) => {
            bytes[HEADER_LEN..].fill(0);
            reply.refusal = None;
        }
        Mistake::Stalls if R(code) == R::GET_VRING_BASE => *is_stalled = true,
        _ => {}
    }
}

const fn is_about_a_ring(code: R) -> bool {
    matches!(code, R::SET_VRING_NUM | R::SET_VRING_BASE | R::SET_VRING_ENABLE | R::GET_VRING_BASE)
}

/// Whether a reply is a u64 to a request without a reply of its own.
fn is_ack(reply: &[u8]) -> bool {
    let code = Header::read(&mut Reader::new(reply)).map_or(0, |header| header.code);
    let row = R(code).row();
    reply.len() == HEADER_LEN + 8
        && row.is_some_and(|row| {
            row.reply.class == vhost_fuzz_core::vhost_user::request::ReplyClass::Ack
        })
}

fn put(bytes: &mut [u8], offset: usize, value: u32) {
    if let Some(word) = bytes.get_mut(offset..offset + 4) {
        word.copy_from_slice(&value.to_ne_bytes());
    }
}

fn encode(code: R, payload: Payload<'_>, out: &mut Vec<u8>) {
    put_message(&Message::frontend(code, payload), out);
}

/// The bytes of a short message, in memory that is already there.
fn put_message(message: &Message<'_>, out: &mut Vec<u8>) {
    let mut bytes = [0; 64];
    let len = message.encode(&mut bytes).expect("it is short");
    out.clear();
    out.extend(&bytes[..len]);
}
