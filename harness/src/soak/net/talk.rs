//! Both channels of a front-end. Nothing on them is waited for longer than patience lasts.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use vhost_fuzz_backend::socket::{ReceiveError, Receiver, send};
use vhost_fuzz_core::frontend::{
    Frontend, FrontendDone, FrontendEffect, FrontendReply, FrontendStep, Setup, SharedObjects,
};
use vhost_fuzz_core::vhost_user::payload::{Inflight, VringFd, VringState};
use vhost_fuzz_core::vhost_user::{
    DEFAULT_PAYLOAD_LIMIT, FrontendRequest as R, Kind, Message, Payload,
};

use super::queue::RINGS_MAX;
use super::report::Fault;

/// What a reply carries, without its bytes.
#[derive(Debug, Default)]
pub(super) struct Reply {
    pub(super) number: u64,
    pub(super) state: Option<VringState>,
    pub(super) inflight: Option<Inflight>,
    pub(super) fd: Option<OwnedFd>,
}

/// A strict front-end on both channels.
pub(super) struct Talk {
    pub(super) stream: UnixStream,
    pub(super) frontend: Frontend<OwnedFd, ()>,
    pub(super) channel: Option<UnixStream>,
    objects: SharedObjects,
    receiver: Receiver,
    heard: Receiver,
}

fn talk(error: impl std::fmt::Display) -> Fault {
    Fault::Talk(error.to_string())
}

impl Talk {
    /// Connected, and nothing else.
    pub(super) fn new(path: &Path, patience: Duration) -> Result<Self, Fault> {
        let system = |error: std::io::Error| Fault::System(error.to_string());
        let stream = UnixStream::connect(path).map_err(system)?;
        stream.set_read_timeout(Some(patience)).map_err(system)?;
        stream.set_write_timeout(Some(patience)).map_err(system)?;
        let setup = Setup {
            owner: 1,
            queues: RINGS_MAX,
            max_regions: 8,
            max_mappings: 1,
            page_size: rustix::param::page_size() as u64,
        };
        Ok(Self {
            stream,
            frontend: Frontend::new(setup),
            channel: None,
            objects: SharedObjects::new(1),
            receiver: Receiver::new(Kind::BACKEND_REPLY, DEFAULT_PAYLOAD_LIMIT),
            heard: Receiver::new(Kind::BACKEND_REQUEST, DEFAULT_PAYLOAD_LIMIT).without_waiting(),
        })
    }

    /// Sends a request, and waits for its reply if one comes: of its own, or the acknowledgement
    /// that it asks for when it can.
    pub(super) fn ask(
        &mut self,
        request: R,
        payload: Payload<'_>,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Reply, Fault> {
        let plain = Message::frontend(request, payload);
        let acknowledged = plain.with_need_reply();
        let is_sent = match self.frontend.send(&acknowledged, fds.len(), &self.objects) {
            Ok(bytes) => send(self.stream.as_fd(), bytes, fds),
            Err(_) => {
                let sent = self.frontend.send(&plain, fds.len(), &self.objects);
                let bytes = sent.map_err(|error| talk(format!("{request:?}: {error}")))?;
                send(self.stream.as_fd(), bytes, fds)
            }
        };
        is_sent.map_err(|error| talk(format!("{request:?}: {error}")))?;
        if self.frontend.awaited() == 0 {
            return Ok(Reply::default());
        }
        let frame = match self.receiver.receive(self.stream.as_fd()) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(talk(format!("{request:?}: the connection is closed"))),
            Err(error) => return Err(talk(format!("{request:?}: {error}"))),
        };
        let answer = self.frontend.on_reply(frame).map_err(talk)?;
        if !answer.is_success {
            return Err(talk(format!("{request:?} was refused")));
        }
        let mut reply = Reply { fd: answer.fd, ..Reply::default() };
        match answer.payload {
            Payload::U64(number) => reply.number = number,
            Payload::State(state) => reply.state = Some(state),
            Payload::Inflight(inflight) => reply.inflight = Some(inflight),
            _ => {}
        }
        Ok(reply)
    }

    /// Asks for a number.
    pub(super) fn number(&mut self, request: R) -> Result<u64, Fault> {
        self.ask(request, Payload::None, &[]).map(|reply| reply.number)
    }

    /// Sends a number.
    pub(super) fn tell(&mut self, request: R, number: u64) -> Result<(), Fault> {
        self.ask(request, Payload::U64(number), &[]).map(drop)
    }

    /// Sends a number about a ring.
    pub(super) fn state(&mut self, request: R, index: u16, num: u32) -> Result<Reply, Fault> {
        self.ask(request, Payload::State(VringState { index: index.into(), num }), &[])
    }

    /// Sends a descriptor for a ring, or says that there is none.
    pub(super) fn vring_fd(
        &mut self,
        request: R,
        index: u16,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(), Fault> {
        let none = if fd.is_none() { VringFd::NO_FD } else { 0 };
        let payload = Payload::VringFd(VringFd(u64::from(index) | none));
        self.ask(request, payload, fd.as_slice()).map(drop)
    }

    /// Opens the back-end channel.
    pub(super) fn open_channel(&mut self) -> Result<(), Fault> {
        let (ours, theirs) = UnixStream::pair().map_err(talk)?;
        self.ask(R::SET_BACKEND_REQ_FD, Payload::None, &[theirs.as_fd()])?;
        self.channel = Some(ours);
        Ok(())
    }

    /// Takes the calls that came on the back-end channel, and acknowledges them. How many there
    /// were.
    pub(super) fn hear(&mut self) -> Result<u64, Fault> {
        let Self { frontend, channel: Some(channel), objects, heard, .. } = self else {
            return Ok(0);
        };
        let mut calls = 0;
        loop {
            let frame = match heard.receive(channel.as_fd()) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err(talk("the back-end channel is closed")),
                Err(ReceiveError::System(rustix::io::Errno::AGAIN)) => return Ok(calls),
                Err(error) => return Err(talk(error)),
            };
            match frontend.on_request(frame, objects) {
                FrontendStep::Need(FrontendEffect::Call { .. }) => {}
                step => return Err(talk(format!("on the back-end channel: {step:?}"))),
            }
            calls += 1;
            match frontend.on_done(Ok(FrontendDone::Nothing)) {
                FrontendStep::Reply(FrontendReply { bytes, .. }) => {
                    send(channel.as_fd(), bytes, &[]).map_err(talk)?;
                }
                FrontendStep::Silent => {}
                step => return Err(talk(format!("on the back-end channel: {step:?}"))),
            }
        }
    }
}
